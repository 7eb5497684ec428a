"""``structures.json`` as the report reads it: the graph of every route's file, as the worker contract tells it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

#: Sizes, names of dynamic dimensions, or None; None in all where no rank is stated.
Shape = tuple[int | str | None, ...] | None


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class NodePart(_Part):
    """One operation; attributes that are graphs stay as they are written."""

    name: str = ""
    operator: str
    domain: str = ""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = {}


class TensorPart(_Part):
    """An input, an output or a stored tensor; ``sha256`` of stored ones, where it is known."""

    name: str
    dtype: str | None = None
    shape: Shape = None
    sha256: str | None = None


class Structure(_Part):
    """One graph. ``shapes``: those of the tensors between nodes, as far as they are known."""

    inputs: tuple[TensorPart, ...]
    outputs: tuple[TensorPart, ...]
    nodes: tuple[NodePart, ...]
    initializers: tuple[TensorPart, ...]
    shapes: dict[str, Shape] = {}
    opsets: dict[str, int] = {}
    bytes: int | None = None
    producer: str | None = None
