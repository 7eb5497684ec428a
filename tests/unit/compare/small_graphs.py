"""Graphs of a few nodes, written by hand, as the worker contract tells them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from harness.compare.graph import Graph

#: Operator, inputs and outputs by name, separated by blanks ("-" where one is left out), attributes.
Written = tuple[str, str, str] | tuple[str, str, str, dict[str, Any]]


def names(text: str) -> list[str]:
    return ["" if name == "-" else name for name in text.split()]


def structure(
    *nodes: Written, values: Mapping[str, Any] | None = None, inputs: str = "x", outputs: str = "y", **parts: Any
) -> dict[str, Any]:
    """Nodes are called by operator and place: ``Gemm_0``."""
    return {
        "inputs": [{"name": name} for name in names(inputs)],
        "outputs": [{"name": name} for name in names(outputs)],
        "initializers": [{"name": name} for name in values or {}],
        "nodes": [
            {
                "name": f"{operator}_{place}",
                "operator": operator,
                "inputs": names(given),
                "outputs": names(made),
                "attributes": dict(*attributes),
            }
            for place, (operator, given, made, *attributes) in enumerate(nodes)
        ],
    } | parts


def graph(*nodes: Written, values: Mapping[str, Any] | None = None, unknown: Iterable[str] = (), **parts: Any) -> Graph:
    """``unknown``: names of initializers whose values are not reported."""
    held = {name: np.asarray(value) for name, value in (values or {}).items()}
    written = structure(*nodes, values=held | dict.fromkeys(unknown, np.empty(0)), **parts)
    return Graph(written, held)


def floats(*shape: int, start: float = 1.0) -> Any:
    """float32 numbers, each one more than the one before."""
    return np.arange(start, start + np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
