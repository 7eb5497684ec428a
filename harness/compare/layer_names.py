"""Where a node stands, by the layers of its model: what a layer owns, what comes after it, what is inside of one."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from harness.compare.graph import Graph, Node
from harness.compare.parting import ancestors, is_neutral
from harness.compare.subgraphs import all_nodes, bodies


def _named_in(body: Mapping[str, Any]) -> Iterator[str]:
    """What the nodes of a graph inside of a node read: parameters of the layer that it loops over."""
    yield from (name for node in all_nodes(body) for name in node["inputs"])


class LayerNames:
    """Places of a graph in words.

    ``layers``: names of the layers where they are known; ``outputs``: by layer the tensor that holds its output. Without them,
    what exporters write serves: the names of stored tensors and the scopes in names of nodes.
    """

    def __init__(self, graph: Graph, layers: Collection[str] = (), outputs: Mapping[str, str] | None = None) -> None:
        self._graph = graph
        self._layers = [*layers]
        self._inside = {layer: ancestors(graph, [name]) for layer, name in (outputs or {}).items()}

    def owner(self, node: Node) -> str:
        """The layer whose parameters a node reads; empty where it reads none."""
        inside = [name for _, body in bodies({"attributes": node.attributes}) for name in _named_in(body)]
        for name in (*node.inputs[1:], *inside):
            if name and not self._graph.flows(name) and (layer := self._layer_of(self._graph.stored_name(name))):
                return layer
        if node.operator in ("Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "LayerNormalization"):
            return self._scope(node)
        return ""

    def _layer_of(self, stored: str) -> str:
        if self._layers:
            parts = re.split(r"[/.:]", stored)
            exact = [layer for layer in self._layers if layer in parts]
            near = [layer for layer in self._layers if any(part.startswith(f"{layer}_") for part in parts)]
            return max(exact or near, key=len, default="")
        return "" if "::" in stored or "." not in stored else stored.rpartition(".")[0]

    def _scope(self, node: Node) -> str:
        """The scope in a node's name: ``/encoder/conv1/Conv`` stands in ``encoder/conv1``."""
        parts = node.name.strip("/").split("/") if node.name.startswith("/") else []
        return "/".join(parts[:-1])

    def of(self, node: Node) -> str:
        """Where a node stands: ``norm2``, ``in lstm1``, ``after norm2``, ``at the input x``."""
        if layer := self.owner(node):
            return layer
        return self._after(node.inputs, node.outputs)

    def _after(self, inputs: Collection[str], outputs: Collection[str]) -> str:
        seen: set[str] = set()
        front = [name for name in inputs if name and self._graph.flows(name)]
        while front:
            following: list[str] = []
            for name in front:
                if name in seen:
                    continue
                seen.add(name)
                node = self._graph.producer.get(name)
                if node is None:
                    continue
                if layer := self.owner(node):
                    inside = self._inside.get(layer, set())
                    return f"in {layer}" if inside & set(outputs) else f"after {layer}"
                following += [before for before in node.inputs if before and self._graph.flows(before)]
            front = following
        return f"at the input {self._graph.inputs[0]}" if self._graph.inputs else "at the input"

    def behind(self, tensor: str) -> str:
        """Where something stands that reads a tensor: ``after conv2``, ``after the Relu after norm1``."""
        node = self._graph.producer.get(tensor)
        while node is not None and is_neutral(node):
            tensor = node.input(0)
            node = self._graph.producer.get(tensor)
        if node is None:
            return f"at the input {tensor}"
        if layer := self.owner(node):
            inside = self._inside.get(layer, set())
            strictly = tensor in inside and any(
                tensor in reader.inputs and set(reader.outputs) & inside
                for reader in self._graph.consumers.get(tensor, ())
            )
            return f"in {layer}" if strictly else f"after {layer}"
        where = self._after(node.inputs, node.outputs)
        return where if where.startswith("in ") else f"after the {node.operator} {where}"
