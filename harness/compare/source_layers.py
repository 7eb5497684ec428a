"""The layers of a whole model beside a file that was made from it: which the file has, and the first that it does not have so.

Layers are found by what exporters store of a node (PyTorch's scopes in its metadata or its name), by names, and by their values
where names say nothing. A file has a layer where one of its tensors holds the layer's values: a name alone proves nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from harness.compare.alike import Alike, Known, layout_of
from harness.compare.placement import WalkedLayer

Array = NDArray[Any]

#: Tensors that are paired by name are compared however far apart they are.
_ANY_GAP = 1e9


@dataclass(frozen=True)
class SourceLayer:
    """One layer as the source tells it, in the order in which layers are run; ``inputs``: the layers that it reads."""

    name: str
    kind: str
    namespace: str
    source_line: str
    inputs: tuple[str, ...]

    @property
    def label(self) -> str:
        """The layer in words: the module that it belongs to, else its own name."""
        return self.namespace or self.name


def walked_layers(
    layers: Sequence[SourceLayer], values: Mapping[str, Array], file: Mapping[str, Array], limit: float
) -> list[WalkedLayer]:
    """Every layer with the tensor of the file that holds its output. ``values``: by layer, ``file``: by tensor, float64."""
    known = Known(file)
    shown = []
    for layer in layers:
        found = known.find(values[layer.name], limit) if layer.name in values else []
        best = min(found, key=lambda alike: alike.gap, default=None)
        shown.append(
            WalkedLayer(
                layer=layer.name,
                kind=layer.kind,
                tensor="" if best is None else best.name,
                gap=None if best is None else best.gap,
                namespace=layer.namespace,
                source_line=layer.source_line,
            )
        )
    return shown


def first_that_parts(layers: Sequence[SourceLayer], walked: Sequence[WalkedLayer]) -> SourceLayer | None:
    """The first layer whose values the file does not have, and that it did not only write in another way.

    A layer whose readers are all accounted for was folded into them (a convolution into its normalisation).
    """
    found = {row.layer for row in walked if row.tensor}
    readers: dict[str, list[str]] = {}
    for layer in layers:
        for name in layer.inputs:
            readers.setdefault(name, []).append(layer.name)
    settled: set[str] = set()
    for layer in reversed(layers):
        read = readers.get(layer.name, [])
        if layer.name in found or (read and all(name in settled for name in read)):
            settled.add(layer.name)
    return next((layer for layer in layers if layer.name not in settled), None)


def parting_sentence(layers: Sequence[SourceLayer], walked: Sequence[WalkedLayer], operators: Mapping[str, str]) -> str:
    """The first layer that parts, in words, with its line; empty where none does. ``operators``: by layer, the file's node."""
    first = first_that_parts(layers, walked)
    if first is None:
        return ""
    named = {layer.name: layer for layer in layers}
    before = next((named[name].label for name in first.inputs if name in named), "")
    kind = "" if first.kind == first.label else f" ({first.kind})"
    text = f"{first.label}{kind} is the first layer that the file does not have as the source"
    if before and before != first.label:
        text += f", after {before}"
    if operator := operators.get(first.name):
        text += f"; the file has {operator} there"
    return f"{text}; {first.source_line}" if first.source_line else text


def named_nodes(nodes: Sequence[Mapping[str, Any]], layers: Sequence[SourceLayer]) -> dict[str, Mapping[str, Any]]:
    """By layer the node of the file that exporters or names say was made of it: the last one where several were."""
    own = {layer.name: layer.name for layer in layers}
    modules = {layer.namespace: layer.name for layer in layers if layer.namespace}
    found: dict[str, Mapping[str, Any]] = {}
    for node in nodes:
        scopes = _scopes(node)
        layer = own.get(scopes[-1], "") if scopes else ""
        if not layer:
            path = ".".join(scope for scope in scopes if scope)
            layer = modules.get(path, "") or next((own[scope] for scope in reversed(scopes) if scope in own), "")
        if layer:
            found[layer] = node
    return found


def _scopes(node: Mapping[str, Any]) -> list[str]:
    """Where a node comes from: what PyTorch's exporters store of it, else the parts of its name without its operator."""
    stored = (node.get("metadata") or {}).get("pkg.torch.onnx.name_scopes", "")
    try:
        scopes = ast.literal_eval(stored) if stored else []
    except (ValueError, SyntaxError):
        scopes = []
    if scopes:
        return [str(scope) for scope in scopes]
    parts = [part for part in str(node.get("name") or "").split("/") if part]
    return parts[:-1] if len(parts) > 1 else parts


def paired_by_name(
    named: Mapping[str, Mapping[str, Any]],
    values: Mapping[str, Array],
    file: Mapping[str, Array],
    pairs: Mapping[str, Sequence[Alike]],
) -> dict[str, Sequence[Alike]]:
    """Pairs by values, and for nodes behind the fault those by name: the tensor of the file with the layer it was made of."""
    both: dict[str, Sequence[Alike]] = dict(pairs)
    for layer, node in named.items():
        tensor = next((name for name in node["outputs"] if name in file), "")
        if not tensor or tensor in both or layer not in values or file[tensor].size != values[layer].size:
            continue
        squeezed = tuple(size for size in values[layer].shape if size != 1)
        layout = layout_of(file[tensor], values[layer], _ANY_GAP)
        if layout is not None and tuple(size for size in file[tensor].shape if size != 1) == squeezed:
            both[tensor] = [Alike(layer, tuple(range(len(squeezed))), layout[1])]
    return both
