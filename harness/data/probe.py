"""A probe that a user gives: arrays as NumPy or safetensors files, under the names of a model's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.named_arrays import GivenArray, read_given
from harness.data.sample_axes import InputSamples, ToldAxes, check_told, find_input_axes
from harness.errors import DataError

#: Orders of so many axes are tried.
_MOST_AXES = 6


def read_probe(
    files: Mapping[str, Path],
    inputs: Sequence[Mapping[str, Any]],
    outputs: Sequence[Mapping[str, Any]] = (),
    told: ToldAxes | None = None,
    *,
    allow_nan: bool = False,
) -> tuple[dict[str, NDArray[Any]], InputSamples]:
    """Arrays by input name, checked against the model's inputs (``name``, ``dtype``, ``shape`` of the worker contract).

    ``files``: by input name, or under :data:`harness.data.named_arrays.ONLY` one file for all of them. ``told``: what the user says
    of sample axes; else they are found by :func:`harness.data.sample_axes.find_input_axes`. A file of a fixed number of samples
    takes any number of them. Raises DataError, naming file and input, on a missing or unknown input, another dtype or shape,
    different numbers of samples, and values that are not finite where ``allow_nan`` does not allow them.
    """
    told = told or ToldAxes()
    names = [str(entry["name"]) for entry in inputs]
    given = read_given(files, names, "input", "--probe")
    missing = [name for name in names if name not in given]
    if missing:
        raise DataError(f"the probe lacks the input '{missing[0]}'", where="--probe", hint=f"add {missing[0]}=FILE.npy")
    check_told(told, inputs, outputs)
    arrays = {name: _typed(given[name], entry, allow_nan) for name, entry in zip(names, inputs, strict=True)}
    samples = find_input_axes(inputs, outputs, {name: array.shape for name, array in arrays.items()}, told)
    for name, entry in zip(names, inputs, strict=True):
        _check_sizes(given[name].path, arrays[name], entry, samples.axes[name])
        if name in samples.repeated:
            axis = samples.axes[name]
            arrays[name] = np.repeat(arrays[name], samples.samples, axis=axis)
    return {name: np.require(array, requirements="C") for name, array in arrays.items()}, samples


def _typed(given: GivenArray, entry: Mapping[str, Any], allow_nan: bool) -> NDArray[Any]:
    """An array of the dtype and the number of axes of an input, its values finite or allowed not to be."""
    path, array = given.path, given.array
    name, wanted = entry["name"], str(entry["dtype"])
    if array.dtype.name != wanted:
        raise DataError(
            f"holds {array.dtype.name}, the input '{name}' takes {wanted}",
            where=str(path),
            hint=f"save it as {wanted}, if that is what it means",
        )
    if entry["shape"] is not None and array.ndim != len(entry["shape"]):
        raise _other_shape(path, array, entry)
    if array.dtype.kind == "f" and not allow_nan and not np.isfinite(array).all():
        first = np.argwhere(~np.isfinite(array))[0]
        raise DataError(
            f"holds a value that is not finite at {first.tolist()}",
            where=str(path),
            hint="leave such samples out, or say --nan allow where the model is made for them",
        )
    return array


def _check_sizes(path: Path, array: NDArray[Any], entry: Mapping[str, Any], sample_axis: int | None) -> None:
    """Fixed sizes, all but the number of samples."""
    for axis, size in enumerate(entry["shape"] or ()):
        if axis != sample_axis and isinstance(size, int) and array.shape[axis] != size:
            raise _other_shape(path, array, entry)


def _other_shape(path: Path, array: NDArray[Any], entry: Mapping[str, Any]) -> DataError:
    text = " x ".join("?" if size is None else str(size) for size in entry["shape"])
    found = " x ".join(str(size) for size in array.shape)
    return DataError(
        f"has the shape {found}, the input '{entry['name']}' takes {text}",
        where=str(path),
        hint=_order_that_fits(array.shape, entry["shape"]) or "mind the order of the axes",
    )


def _order_that_fits(shape: Sequence[int], wanted: Sequence[int | str | None]) -> str:
    """The order of axes in which an array fits, in words; empty where there is none, or an axis is too many."""
    if len(shape) != len(wanted) or len(shape) > _MOST_AXES:
        return ""
    axes = range(len(shape))
    fitting = [
        order
        for order in permutations(axes)
        if all(not isinstance(size, int) or shape[axis] == size for axis, size in zip(order, wanted, strict=True))
    ]
    if not fitting:
        return ""
    # The fewest axes that change their place are the likeliest: the sample stays where it is.
    moved = [sum(axis != place for place, axis in enumerate(order)) for order in fitting]
    likeliest = [order for order, count in zip(fitting, moved, strict=True) if count == min(moved)]
    told = " or ".join(f"numpy.transpose(X, {order})" for order in likeliest[:3])
    return f"its axes are in another order: {told} fits"
