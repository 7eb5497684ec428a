"""Which axis of each input of a given file is the sample, as far as shapes and the user tell it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import DataError

#: A size, the name of a dynamic dimension, or None.
Dimension = int | str | None


@dataclass(frozen=True)
class ToldAxes:
    """What a user says: the sample axis of inputs and outputs by name, and those that belong to no sample."""

    axes: Mapping[str, int] = field(default_factory=dict)
    shared: tuple[str, ...] = ()


@dataclass(frozen=True)
class InputSamples:
    """The samples of a probe.

    ``axes``: by name of an input its sample axis, None where all samples share it. ``samples``: how many there are.
    ``fixed``: how many the file takes per call, None where any number. ``repeated``: inputs given once that the file wants for
    every sample, with the axis. ``uncertain``: inputs whose axis 0 could be another dimension of the same size.
    """

    axes: Mapping[str, int | None]
    samples: int
    fixed: int | None
    repeated: tuple[str, ...] = ()
    uncertain: tuple[str, ...] = ()


def check_told(told: ToldAxes, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]) -> None:
    """Raises DataError on names that the model does not have and on axes that its tensors do not have."""
    shapes = {str(entry["name"]): entry["shape"] for entry in (*inputs, *outputs)}
    for kind, entries in (("input", inputs), ("output", outputs)):
        held = [str(entry["name"]) for entry in entries]
        if twice := [name for name in held if held.count(name) > 1]:
            raise DataError(
                f"two {kind}s are named '{twice[0]}'",
                where="the model",
                hint="export it with a name for each",
            )
    for option, names in (("--sample-axis", told.axes), ("--shared", told.shared)):
        for name in names:
            if name not in shapes:
                raise DataError(
                    f"the model has no input or output '{name}'", where=option, hint=f"it has {', '.join(shapes)}"
                )
    for name, axis in told.axes.items():
        if name in told.shared:
            raise DataError(
                f"'{name}' cannot be shared and have a sample axis", where="--shared", hint="give one of them"
            )
        shape = shapes[name]
        if axis < 0 or (shape is not None and axis >= len(shape)):
            count = "no" if not shape else str(len(shape))
            raise DataError(
                f"'{name}' has {count} axes, so that its sample axis cannot be {axis}",
                where="--sample-axis",
                hint="count axes from 0; --shared NAME where none is the sample",
            )


def find_input_axes(
    inputs: Sequence[Mapping[str, Any]],
    outputs: Sequence[Mapping[str, Any]],
    shapes: Mapping[str, tuple[int, ...]],
    told: ToldAxes,
) -> InputSamples:
    """The sample axis of every input. ``inputs`` and ``outputs``: as a worker's ``load`` gives them; ``shapes`` of the probe.

    The dimension that is the sample is the one that the user names, else the first axis of the first output where an input has
    it too, else the first axis of the input with the most axes. An input that begins with another named dimension, or with a
    fixed size that is not the number of samples, is shared.

    Raises DataError where the numbers of samples differ, and where there is none.
    """
    dims = {str(entry["name"]): _dims(entry, shapes[str(entry["name"])]) for entry in inputs}
    sample = _sample_dimension(dims, shapes, outputs, told)
    first = _first_sampled(dims, shapes, sample, told)
    axis = _axis_in(first, dims[first], sample, told)
    total = shapes[first][axis]
    size = dims[first][axis]
    fixed = size if isinstance(size, int) else None
    axes: dict[str, int | None] = {}
    repeated, uncertain = [], []
    for name, wanted in dims.items():
        if name == first:
            axes[name] = axis
        elif name in told.axes:
            axes[name] = told.axes[name]
        elif name in told.shared or not shapes[name]:
            axes[name] = None
        elif isinstance(sample, str) and sample in wanted:
            axes[name] = wanted.index(sample)
        else:
            axes[name] = 0 if _begins_with_samples(wanted[0], shapes[name][0], fixed, total) else None
            if isinstance(wanted[0], str) and shapes[name][0] == total and not _elsewhere(wanted[0], name, dims):
                # The exporter's own name for the batch of this input, or another dimension of the same size.
                axes[name] = 0
                uncertain.append(name)
        if isinstance(sample, str) and sample in wanted and (axes[name] is None or axes[name] != 0):
            place = wanted.index(sample)
            if shapes[name][place] == 1 and total > 1:
                axes[name] = place
                repeated.append(name)
            elif axes[name] is None:
                raise DataError(
                    f"input '{name}' cannot be shared: its axis {place} is '{sample}', the sample",
                    where="--shared",
                    hint="give it for every sample, or once with a size of 1 there",
                )
    lengths = {name: shapes[name][place] for name, place in axes.items() if place is not None and name not in repeated}
    if len(set(lengths.values())) > 1:
        raise DataError(
            f"the arrays differ in their number of samples: {lengths}",
            where="--probe",
            hint="make them equal; --shared NAME says that all samples share one, --sample-axis NAME=K where its samples lie",
        )
    if total == 0:
        raise DataError("holds no sample", where=f"input '{first}'", hint=f"axis {axis} is the sample")
    return InputSamples(axes, total, fixed, tuple(repeated), tuple(uncertain))


def sentences(found: InputSamples) -> list[str]:
    """What is told of it: everything but inputs whose samples lie along axis 0."""
    said = []
    for name, axis in found.axes.items():
        if axis is None:
            said.append(f"input {name} is shared by all samples")
        elif axis:
            said.append(f"the sample axis of input {name} is {axis}")
        if name in found.repeated:
            said.append(f"input {name} is given once and repeated for every sample")
    if found.fixed is not None and found.samples % found.fixed:
        said.append(f"the file takes {found.fixed} samples per call: the last batch is filled and cut")
    elif found.fixed is not None:
        said.append(f"the file takes {found.fixed} sample{'' if found.fixed == 1 else 's'} per call")
    return said


def _dims(entry: Mapping[str, Any], shape: tuple[int, ...]) -> list[Dimension]:
    stated = entry["shape"]
    # A size of 0 stands for one that the exporter did not know.
    return [None] * len(shape) if stated is None else [size or None for size in stated]


def _sample_dimension(
    dims: Mapping[str, list[Dimension]],
    shapes: Mapping[str, tuple[int, ...]],
    outputs: Sequence[Mapping[str, Any]],
    told: ToldAxes,
) -> str | None:
    """The name of the dimension that is the sample; None where it has none."""
    for name, axis in told.axes.items():
        if name in dims and isinstance(found := dims[name][axis], str):
            return found
    of_inputs = {size for name, wanted in dims.items() if name not in told.shared for size in wanted}
    for entry in outputs[:1]:
        axis = told.axes.get(str(entry["name"]), 0)
        shape = entry["shape"] or []
        if axis < len(shape) and isinstance(shape[axis], str) and shape[axis] in of_inputs:
            return str(shape[axis])
    first = _first_sampled(dims, shapes, None, told)
    size = dims[first][told.axes.get(first, 0)]
    return size if isinstance(size, str) else None


def _first_sampled(
    dims: Mapping[str, list[Dimension]], shapes: Mapping[str, tuple[int, ...]], sample: str | None, told: ToldAxes
) -> str:
    """The input that the others are measured by."""
    names = [name for name, wanted in dims.items() if name not in told.shared and wanted]
    if not names:
        raise DataError("no input has samples", where="--shared", hint="one input at least has a sample axis")
    places = {name: dims[name].index(sample) for name in names if sample is not None and sample in dims[name]}
    # An input with the sample first counts before a state that has it elsewhere, and many samples before one that is repeated.
    having = sorted(places, key=lambda name: (0 if name in told.axes else places[name], -shapes[name][places[name]]))
    named = [name for name in names if name in told.axes]
    return next(iter([*having, *named]), max(names, key=lambda name: len(dims[name])))


def _axis_in(name: str, wanted: list[Dimension], sample: str | None, told: ToldAxes) -> int:
    if name in told.axes:
        return told.axes[name]
    return wanted.index(sample) if sample is not None and sample in wanted else 0


def _begins_with_samples(size: Dimension, length: int, fixed: int | None, total: int) -> bool:
    """Whether the first axis of another input can be the sample, by its declared size and its length."""
    if isinstance(size, int):
        return size == fixed and length == total
    return size is None


def _elsewhere(dimension: str, name: str, dims: Mapping[str, list[Dimension]]) -> bool:
    """Whether another input, or another axis of this one, has that dimension."""
    return dimension in dims[name][1:] or any(dimension in wanted for other, wanted in dims.items() if other != name)
