"""A probe for a model file that someone has: drawn from ranges of values, or from data of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.named_arrays import GivenArray
from harness.data.sample_axes import InputSamples, ToldAxes, check_told, find_input_axes
from harness.errors import DataError

Array = NDArray[Any]
#: The lowest and the highest value of an input.
Range = tuple[float, float]

#: What floating-point inputs are drawn from where no range is given.
DEFAULT_RANGE: Range = (0.0, 1.0)


@dataclass(frozen=True)
class Wanted:
    """What a probe is made of.

    ``ranges``: by input, and under "" for all others. ``sizes``: of dynamic dimensions by their name, or by ``input:axis``.
    ``told``: sample axes and shared inputs.
    """

    samples: int
    seed: int
    ranges: Mapping[str, Range] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    told: ToldAxes = field(default_factory=ToldAxes)


def draw_from_ranges(
    wanted: Wanted, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Array], InputSamples]:
    """Arrays by input name, uniform within their ranges; ends included for whole numbers.

    ``inputs`` and ``outputs``: ``name``, ``dtype`` and ``shape`` of the worker contract. Raises DataError where a size or a range
    is not known, and on names that the model does not have.
    """
    for entry in inputs:
        if entry["shape"] is None:
            what = f"the file does not state the shape of '{entry['name']}'"
            raise DataError(what, where="the model", hint="use --from-data")
    _check_names(wanted, inputs)
    check_told(wanted.told, inputs, outputs)
    sample = _sample_size(inputs, outputs, wanted)
    shapes = {str(entry["name"]): _shape(entry, sample, wanted) for entry in inputs}
    found = find_input_axes(inputs, outputs, shapes, wanted.told)
    random = np.random.Generator(np.random.Philox(wanted.seed))
    return {str(entry["name"]): _drawn(entry, shapes[str(entry["name"])], wanted, random) for entry in inputs}, found


def draw_from_data(
    wanted: Wanted,
    given: Mapping[str, GivenArray],
    inputs: Sequence[Mapping[str, Any]],
    outputs: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, Array], InputSamples]:
    """As many samples of ``given`` (by input name) as are wanted, the same of every input, in the order of the data.

    All of them where there are no more. Numbers are taken into the dtype of the input, where it can hold floating-point numbers or
    both are of one kind. Inputs that all samples share are kept whole. Raises DataError on what the model does not take.
    """
    check_told(wanted.told, inputs, outputs)
    names = [str(entry["name"]) for entry in inputs]
    if missing := [name for name in names if name not in given]:
        raise DataError(
            f"nothing is drawn for the input '{missing[0]}'",
            where="--from-data",
            hint=f"add --from-data {missing[0]}=FILE.npy",
        )
    for entry in inputs:
        held = given[str(entry["name"])]
        if entry["shape"] is not None and held.array.ndim != len(entry["shape"]):
            raise DataError(
                f"has {held.array.ndim} axes, the input '{entry['name']}' has {len(entry['shape'])}",
                where=str(held.path),
                hint="mind the axis of samples",
            )
    shapes = {name: given[name].array.shape for name in names}
    found = find_input_axes(inputs, outputs, shapes, wanted.told)
    random = np.random.Generator(np.random.Philox(wanted.seed))
    chosen = np.sort(random.permutation(found.samples)[: wanted.samples])
    arrays = {}
    for entry in inputs:
        name = str(entry["name"])
        axis = None if name in found.repeated else found.axes[name]
        array = given[name].array
        arrays[name] = _as_input(array if axis is None else array.take(chosen, axis), entry, given[name])
    return arrays, find_input_axes(inputs, outputs, {name: array.shape for name, array in arrays.items()}, wanted.told)


def _check_names(wanted: Wanted, inputs: Sequence[Mapping[str, Any]]) -> None:
    names = [str(entry["name"]) for entry in inputs]
    for name in wanted.ranges:
        if name and name not in names:
            raise DataError(f"the model has no input '{name}'", where="--range", hint=f"it has {', '.join(names)}")
    dynamic = [
        called for entry in inputs for axis in range(len(entry["shape"] or ())) for called in _called(entry, axis)
    ]
    for name in wanted.sizes:
        if name not in dynamic:
            raise DataError(
                f"no input has an axis '{name}' whose size is open",
                where="--size",
                hint=f"open are {', '.join(dict.fromkeys(dynamic)) or 'none'}",
            )


def _called(entry: Mapping[str, Any], axis: int) -> tuple[str, ...]:
    """The names under which the size of a dynamic axis may be given; none where it is fixed."""
    size = entry["shape"][axis]
    place = f"{entry['name']}:{axis}"
    return (size, place) if isinstance(size, str) else () if size else (place,)


def _sample_size(
    inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]], wanted: Wanted
) -> int | str | None:
    """The declared size of the axis that is the sample, as :func:`find_input_axes` finds it: mostly the name of a dimension."""
    shapes = {str(entry["name"]): list(entry["shape"]) for entry in (*inputs, *outputs) if entry["shape"] is not None}
    names = [str(entry["name"]) for entry in inputs if str(entry["name"]) not in wanted.told.shared]
    for name, axis in wanted.told.axes.items():
        if name in names and name in shapes:
            return _size(shapes[name][axis])
    for entry in outputs[:1]:
        axis = wanted.told.axes.get(str(entry["name"]), 0)
        shape = entry["shape"] or []
        if (
            axis < len(shape)
            and isinstance(shape[axis], str)
            and any(shape[axis] in shapes.get(name, ()) for name in names)
        ):
            return str(shape[axis])
    sampled = [shapes[name] for name in names if shapes.get(name)]
    if not sampled:
        raise DataError("no input has samples", where="--shared", hint="one input at least has a sample axis")
    return _size(max(sampled, key=len)[0])


def _size(declared: Any) -> int | str | None:
    # A size of 0 stands for one that the exporter did not know.
    return declared or None


def _shape(entry: Mapping[str, Any], sample: int | str | None, wanted: Wanted) -> tuple[int, ...]:
    name = str(entry["name"])
    sizes = []
    for axis, declared in enumerate(entry["shape"]):
        size = _size(declared)
        if name in wanted.told.shared:
            of_samples = False
        elif name in wanted.told.axes:
            of_samples = axis == wanted.told.axes[name]
        else:
            # Without a name, samples lie along the first axis, whatever number of them the file takes per call.
            of_samples = size == sample and (isinstance(sample, str) or axis == 0)
        if of_samples:
            sizes.append(wanted.samples)
        else:
            sizes.append(size if isinstance(size, int) else _size_of(entry, axis, wanted))
    return tuple(sizes)


def _size_of(entry: Mapping[str, Any], axis: int, wanted: Wanted) -> int:
    names = _called(entry, axis)
    for name in names:
        if name in wanted.sizes:
            return wanted.sizes[name]
    raise DataError(
        f"axis {axis} of the input '{entry['name']}'{f' ({names[0]})' if len(names) > 1 else ''} has no fixed size",
        where="the model",
        hint=f"say one, as --size {names[0]}=24",
    )


def _drawn(entry: Mapping[str, Any], shape: tuple[int, ...], wanted: Wanted, random: np.random.Generator) -> Array:
    name, dtype = str(entry["name"]), str(entry["dtype"])
    if dtype == "bool":
        return random.integers(0, 2, shape).astype(bool)
    if dtype not in _DRAWN:
        raise DataError(f"the input '{name}' is {dtype}, which is not drawn", where="the model", hint="use --from-data")
    low, high = wanted.ranges.get(name, wanted.ranges.get("", DEFAULT_RANGE))
    if dtype.startswith("float"):
        return (low + (high - low) * random.random(shape)).astype(dtype)
    if name not in wanted.ranges and "" not in wanted.ranges:
        raise DataError(
            f"the input '{name}' takes whole numbers, and their range is not known",
            where="the model",
            hint=f"say it, as --range {name}=0:10",
        )
    limits = np.iinfo(dtype)
    if low != int(low) or high != int(high) or low < limits.min or high > limits.max:
        raise DataError(
            f"{low:g}:{high:g} is no range of {dtype}, which the input '{name}' takes",
            where="--range",
            hint="give whole numbers that it holds",
        )
    return random.integers(int(low), int(high), shape, dtype=dtype, endpoint=True)


#: The dtypes that are drawn from a range.
_DRAWN = ("float16", "float32", "float64", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))


def _as_input(array: Array, entry: Mapping[str, Any], given: GivenArray) -> Array:
    """The values in the dtype that the model takes."""
    name, dtype = entry["name"], np.dtype(str(entry["dtype"]))
    if dtype.kind != "f" and array.dtype.kind != dtype.kind and not (array.dtype.kind in "iu" and dtype.kind in "iu"):
        raise DataError(
            f"holds {array.dtype.name}, the input '{name}' takes {dtype.name}",
            where=str(given.path),
            hint=f"save it as {dtype.name}, if that is what it means",
        )
    made = array.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(made, array):
        raise DataError(f"holds numbers beyond {dtype.name}", where=str(given.path), hint="give what the model takes")
    return np.require(made, requirements="C")
