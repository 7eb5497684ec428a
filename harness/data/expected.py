"""Outputs that a user's own framework gave for the probe, under the names of a model's outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.named_arrays import ONLY, GivenArray, read_given
from harness.errors import DataError

#: What the values of an output are, by the kind of its NumPy dtype.
_KINDS = {"b": "truth values", "i": "whole numbers", "u": "whole numbers", "f": "floating-point numbers", "U": "texts"}


def read_expected(
    path: Path,
    outputs: Sequence[Mapping[str, Any]],
    sample_axes: Mapping[str, int | None],
    samples: int,
) -> dict[str, NDArray[Any]]:
    """The arrays of a ``.npy``, ``.npz`` or ``.safetensors`` file by output name, in the model's order of outputs.

    ``outputs``: ``name``, ``dtype`` and ``shape`` of the worker contract. ``sample_axes``: by output the axis that is the sample,
    None where none is; there ``samples`` are wanted. Outputs may be left out, and floating-point ones be of any precision: theirs
    decides how exactly they can be compared. Raises DataError on other names, kinds of values, sizes and numbers of samples.
    """
    given = read_given({ONLY: path}, [str(entry["name"]) for entry in outputs], "output", "--expected")
    for entry in outputs:
        name = str(entry["name"])
        if name in given:
            _check(given[name], entry, sample_axes.get(name, 0), samples)
    arrays = {name: given[name].array for entry in outputs if (name := str(entry["name"])) in given}
    return {name: array.astype(array.dtype.newbyteorder("=")) for name, array in arrays.items()}


def _check(given: GivenArray, entry: Mapping[str, Any], sample_axis: int | None, samples: int) -> None:
    array, name, where = given.array, entry["name"], str(given.path)
    wanted = kind_of(str(entry["dtype"]))
    if _KINDS[array.dtype.kind] != wanted:
        raise DataError(
            f"holds {array.dtype.name}, the output '{name}' is {entry['dtype']}",
            where=where,
            hint=f"save the {wanted} that your framework gave",
        )
    shape = entry["shape"]
    if shape is not None and array.ndim != len(shape):
        raise _other_shape(where, array, str(name), tuple(shape))
    if sample_axis is not None and array.ndim > sample_axis and array.shape[sample_axis] != samples:
        raise DataError(
            f"holds {array.shape[sample_axis]} samples of the output '{name}', the probe has {samples}",
            where=where,
            hint="give the outputs for exactly the samples of --probe, in their order",
        )
    for axis, size in enumerate(shape or ()):
        if axis != sample_axis and isinstance(size, int) and size and array.shape[axis] != size:
            raise _other_shape(where, array, str(name), tuple(shape))


def check_shapes(where: str, expected: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> None:
    """Raises DataError where an expected output has not the shape that the file's own has; axis 0 of both is the sample."""
    for name, array in expected.items():
        if name in outputs and array.shape != outputs[name].shape:
            raise _other_shape(where, array, name, outputs[name].shape)


def kind_of(dtype: str) -> str:
    """What values of a dtype of the worker contract are, in words."""
    if dtype in ("string", "object"):
        return _KINDS["U"]
    return _KINDS["f"] if "float" in dtype else _KINDS[np.dtype(dtype).kind]


def _other_shape(where: str, array: NDArray[Any], name: str, shape: Sequence[int | str | None]) -> DataError:
    """What is said of an array that has not the shape of an output."""
    found = " x ".join(map(str, array.shape)) or "()"
    text = " x ".join("?" if size is None else str(size) for size in shape) or "()"
    return DataError(
        f"has the shape {found}, the output '{name}' is {text}", where=where, hint="mind the order of the axes"
    )
