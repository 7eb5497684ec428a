"""What an exporter made of a loop over time: kept as a loop, or unrolled, and with how many copies of a weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.compare.graph import LAYOUT_OPERATORS, Graph
from harness.compare.subgraphs import CONTROL, all_nodes, flattened, stated, stored

#: Operators by the place of the weight among their inputs.
_WEIGHTED = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1, "LSTM": 1, "GRU": 1, "RNN": 1}


def loops_of(structure: Mapping[str, Any]) -> dict[str, Any]:
    """The loops of a graph, in plain numbers for tables.

    ``nodes_inside``: nodes of the graphs inside of nodes. ``loops``: Loop, Scan and If by number. ``steps``: how often the
    same weight is used, its copies included, at most; 1 where nothing was unrolled. ``distinct_parameters``: scalars of
    floating-point initializers, equal tensors once; None where hashes are not known, as those of Constant nodes are. Weights
    are equal by the SHA-256 of their bytes, whatever they are called.
    """
    nodes = list(all_nodes(structure))
    flat = flattened(structure)
    hashes = {str(entry["name"]): entry.get("sha256") for entry in (*flat["initializers"], *stated(flat))}
    graph = Graph(flat, {})
    uses: Counter[tuple[Any, ...]] = Counter()
    for node in graph.nodes:
        place = _WEIGHTED.get(node.operator)
        if place is not None and node.input(place) and not graph.flows(node.input(place)):
            root, parts = _origin(graph, node.input(place))
            if root in hashes:
                uses[(hashes[root] or root, *parts)] += 1
    floats = [entry for entry in stored(structure) if "float" in str(entry["dtype"])]
    known = all(entry.get("sha256") for entry in floats) and not any(True for _ in stated(structure))
    once = {(entry["sha256"], tuple(entry["shape"])) for entry in floats} if known else set()
    return {
        "nodes_inside": len(nodes) - len(structure["nodes"]),
        "loops": dict(sorted(Counter(str(node["operator"]) for node in nodes if node["operator"] in CONTROL).items())),
        "steps": max(uses.values(), default=1),
        "distinct_parameters": sum(int(np.prod(shape, dtype=np.int64)) for _, shape in once) if known else None,
    }


def _origin(graph: Graph, name: str) -> tuple[str, tuple[int, ...]]:
    """The stored tensor that a weight comes from, and which parts of it were taken by Split."""
    parts: list[int] = []
    while (node := graph.producer.get(name)) is not None and node.input(0):
        if node.operator == "Split":
            parts.append(node.outputs.index(name))
        elif node.operator not in LAYOUT_OPERATORS:
            break
        name = node.input(0)
    return name, tuple(parts)


def in_words(loops: Mapping[str, int], steps: int) -> str | None:
    """``4 × Scan``, ``unrolled, 18 steps``; None where there is neither loop nor repetition."""
    if loops:
        return ", ".join(f"{count} × {operator}" for operator, count in sorted(loops.items()))
    return f"unrolled, {steps} steps" if steps > 1 else None
