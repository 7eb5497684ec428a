"""Graphs as an exporter writes them that unrolls recurrences. Test data: nothing was exported."""

from __future__ import annotations

from typing import Any


def unrolled(steps: int = 18, kernels: tuple[int, ...] = (7, 5, 3, 1), *, copies: bool = False) -> dict[str, Any]:
    """Layers of a convolutional LSTM, ``steps`` times 14 nodes each; ``copies``: with the weights stored at every step."""
    nodes: list[dict[str, Any]] = []
    stored = []

    def node(operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(nodes)}"
        nodes.append(
            {
                "name": name,
                "operator": operator,
                "domain": "",
                "inputs": list(inputs),
                "outputs": [name],
                "attributes": attributes,
            }
        )
        return name

    def hold(name: str, shape: list[int], sha256: str) -> str:
        stored.append({"name": name, "dtype": "float32", "shape": shape, "sha256": sha256})
        return name

    zeros = hold("zeros", [1, 8, 4, 4], "zeros")
    series = ["x"]
    for layer, kernel in enumerate(kernels):
        hidden = cell = zeros
        given, series = series, []
        weight = "" if copies else hold(f"cell{layer}.weight", [32, 16, kernel, kernel], f"layer {layer}")
        for step in range(steps):
            now = node(
                "Gather", given[0] if len(given) == 1 else given[step], hold(f"at{layer}.{step}", [], ""), axis=1
            )
            if copies:
                weight = hold(f"cell{layer}.weight.{step}", [32, 16, kernel, kernel], f"layer {layer}")
            joined = node("Concat", now, hidden, axis=1)
            gates = node("Split", node("Conv", joined, weight, kernel_shape=[kernel, kernel]), axis=1)
            forgotten = node("Mul", node("Sigmoid", gates), cell)
            added = node("Mul", node("Sigmoid", gates), node("Tanh", gates))
            cell = node("Add", forgotten, added)
            hidden = node("Mul", node("Sigmoid", gates), node("Tanh", cell))
            series.append(node("Unsqueeze", hidden))
        series = [node("Concat", *series, axis=2)]
    return {
        "inputs": [{"name": "x", "dtype": "float32", "shape": [1, steps, 8, 4, 4]}],
        "outputs": [{"name": series[0], "dtype": "float32", "shape": [1, steps, 8, 4, 4]}],
        "nodes": nodes,
        "initializers": stored,
    }
