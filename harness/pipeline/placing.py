"""A file and a clean export of its source, both in float64: difference by difference, from the input to the outputs.

Once a difference is named, the tensor behind it is given the value that it has in the source, and the walk goes on from there:
so several differences are found, and what remains at the end tells whether anything was missed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare.alike import Alike, gap_between, layout_of
from harness.compare.differences import describe
from harness.compare.graph import Graph
from harness.compare.layer_names import LayerNames
from harness.compare.parting import Parting, Side, first_parting, paired
from harness.compare.placement import PlacedDifference
from harness.errors import AccidentError, WorkerError
from harness.files.arrays import load_arrays, save_arrays

Array = NDArray[Any]
Ask = Callable[..., dict[str, Any]]
Pairs = Mapping[str, Sequence[Alike]]

#: Differences that are looked for one behind the other.
MOST_DIFFERENCES = 12
#: Operators whose results are no tensors.
_NO_TENSORS = ("Sequence", "Optional", "SplitToSequence")


@dataclass(frozen=True)
class Opened:
    """An ONNX file as the reference implementation has it: its graph, and its tensors on some samples."""

    path: Path
    structure: Mapping[str, Any]
    side: Side


@dataclass(frozen=True)
class Walked:
    """What the walk found. ``pairs``: tensors of the file and of the reference with every named difference set right."""

    differences: list[PlacedDifference]
    pairs: Pairs
    remaining: float | None
    notes: list[str] = field(default_factory=list)


class Rerun:
    """Runs a file in float64 on fixed samples, with other values in place of some of its tensors."""

    def __init__(self, ask: Ask, scratch: Path) -> None:
        self._ask, self._scratch = ask, scratch

    def opened(self, path: Path, inputs: Mapping[str, Array], precision: str = "float64") -> Opened:
        """Graph and values of a file. Raises WorkerError where it cannot be run."""
        described, held = self._scratch / "structure.json", self._scratch / "held.safetensors"
        self._ask("structure", path=str(path), outputs=str(described))
        self._ask("load", path=str(path), precision=precision)
        self._ask("parameters", outputs=str(held))
        structure = json.loads(described.read_text(encoding="utf-8"))
        graph = Graph(structure, load_arrays(held))
        return Opened(path, structure, Side(graph, self._values(graph, inputs)))

    def _values(self, graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
        given, found = self._scratch / "given.safetensors", self._scratch / "values.safetensors"
        save_arrays(given, inputs)
        names = [
            name
            for node in graph.nodes
            if not node.operator.startswith(_NO_TENSORS)
            for name in node.outputs
            if name and graph.flows(name)
        ]
        self._ask("activations", inputs=str(given), names=names, outputs=str(found))
        values = {**{name: inputs[name] for name in graph.inputs if name in inputs}, **load_arrays(found)}
        return {name: array.astype(np.float64) for name, array in values.items() if array.dtype.kind == "f"}

    def replaced(self, opened: Opened, inputs: Mapping[str, Array], changes: Sequence[Change]) -> Side:
        """The same file with the values of ``changes`` in it."""
        path = self._scratch / "replaced.onnx"
        entries = [
            {"tensor": one.tensor, "input": f"{one.tensor}.set.{index}", "reader": one.reader, "axes": one.value.ndim}
            for index, one in enumerate(changes)
        ]
        self._ask("replace", path=str(opened.path), out=str(path), tensors=entries)
        self._ask("load", path=str(path), precision="float64")
        set_right = {str(entry["input"]): one.value for entry, one in zip(entries, changes, strict=True)}
        values = self._values(opened.side.graph, {**inputs, **set_right})
        values |= {one.tensor: one.value for one in changes if one.reader is None}
        return Side(opened.side.graph, values)


@dataclass(frozen=True)
class Change:
    """A tensor of the file that is given a value, for every node that reads it or for the one with that first output."""

    tensor: str
    value: Array
    reader: str | None = None


def walk(
    rerun: Rerun,
    given: Opened,
    inputs: Mapping[str, Array],
    reference: Side,
    names: LayerNames,
    axis_names: Mapping[str, Sequence[str]],
    limit: float,
) -> Walked:
    """The differences between a file and the reference, in the order of the flow of data."""
    side, graph, changes, notes = given.side, given.side.graph, list[Change](), list[str]()
    found: list[PlacedDifference] = []
    pairs = paired(side, reference, limit)
    while (parting := first_parting(side, reference, pairs, limit)) is not None:
        if len(found) == MOST_DIFFERENCES:
            notes.append(f"Only the first {MOST_DIFFERENCES} differences were looked for.")
            break
        found.append(describe(parting, side, reference, pairs, names, axis_names, limit))
        more = _changes(parting, side, reference)
        known = {(old.tensor, old.reader) for old in changes}
        if not more or any((change.tensor, change.reader) in known for change in more):
            if not _at_the_end(parting, graph):
                notes.append("What comes after the last difference named was not compared.")
            break
        changes += more
        try:
            side = rerun.replaced(given, inputs, changes)
        except AccidentError:
            raise
        except WorkerError as error:
            notes.append(f"What comes after the last difference named was not compared: {error.what}")
            break
        pairs = paired(side, reference, limit)
    remaining = None
    if parting is None or _at_the_end(parting, graph):
        remaining = _remaining(side, reference) if parting is None else 0.0
    return Walked(found, pairs, remaining, notes)


def _at_the_end(parting: Parting, graph: Graph) -> bool:
    """Whether nothing of the file comes after a difference."""
    if parting.shape == "missing":
        return parting.reader is None
    return not any(graph.consumers.get(name) for node in parting.given[-1:] for name in node.outputs)


def _changes(parting: Parting, side: Side, reference: Side) -> list[Change]:
    """What sets a difference right, in the layout of the file; empty where it is not known."""
    order = parting.before[1].order if parting.before is not None else ()
    reader = None if parting.reader is None else parting.reader.outputs[0]
    changes = []
    for left, right in parting.links:
        if left not in side.values or right not in reference.values or not side.graph.consumers.get(left):
            continue
        value = _laid_out(reference.values[right], side.values[left].shape, order)
        if value is not None:
            changes.append(Change(left, value, reader))
    return changes


def _laid_out(value: Array, shape: tuple[int, ...], order: tuple[int, ...]) -> Array | None:
    """A value of the reference as the file has its tensor; None where they have other numbers of axes."""
    if order and len(order) == value.ndim and order != tuple(range(value.ndim)):
        value = value.transpose(order)
    if value.shape != shape:
        if value.size == int(np.prod(shape)):
            value = value.reshape(shape)
        elif value.ndim != len(shape):
            return None
    # Of another size is what a stride or a padding changed: the file goes on with the source's, if it can.
    return np.ascontiguousarray(value)


def _remaining(side: Side, reference: Side) -> float | None:
    """The largest gap between the outputs of both, in the order in which they have them."""
    gaps = []
    for own, other in zip(side.graph.outputs, reference.graph.outputs, strict=False):
        if own not in side.values or other not in reference.values:
            continue
        gap = gap_between(side.values[own], reference.values[other])
        if gap is None:
            found = layout_of(side.values[own], reference.values[other], 1.0)
            gap = None if found is None else found[1]
        if gap is None:
            return None
        gaps.append(gap)
    return max(gaps, default=None)
