"""A probe that a user gives: arrays as NumPy files, under the names of a model's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError

#: Name under which a probe of one array is given, whatever the model calls its only input.
ONLY = ""


def read_array(path: Path) -> NDArray[Any]:
    """One array of a ``.npy`` file; never unpickles. Raises DataError on anything else."""
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError("no such file", where=str(path), hint="name a .npy file") from error
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            "is cut short or not a .npy file of numbers", where=str(path), hint="save it with numpy.save"
        ) from error
    if not isinstance(array, np.ndarray):
        raise DataError("holds several arrays", where=str(path), hint="save each array as .npy of its own")
    if array.dtype.kind not in "biuf":
        raise DataError(f"holds {array.dtype}, not numbers", where=str(path), hint="save an array of numbers")
    return array


def read_probe(files: Mapping[str, Path], inputs: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    """Arrays by input name, checked against the model's inputs (``name``, ``dtype``, ``shape`` of the worker contract).

    ``files``: by input name, or one file under :data:`ONLY` for a model with one input. Axis 0 is the sample. Raises
    DataError, naming file and input, on a missing or unknown input, another dtype or shape, and values that are not
    finite.
    """
    names = [str(entry["name"]) for entry in inputs]
    if set(files) == {ONLY}:
        if len(names) != 1:
            raise DataError(
                f"the model has {len(names)} inputs: {', '.join(names)}",
                where=str(files[ONLY]),
                hint="give one array for each, as --probe NAME=FILE.npy",
            )
        files = {names[0]: files[ONLY]}
    for name in files:
        if name not in names:
            raise DataError(
                f"the model has no input '{name}'", where=str(files[name]), hint=f"it has {', '.join(names)}"
            )
    missing = [name for name in names if name not in files]
    if missing:
        raise DataError(f"the probe lacks the input '{missing[0]}'", where="--probe", hint=f"add {missing[0]}=FILE.npy")
    arrays = {
        name: np.ascontiguousarray(_fitting(files[name], entry)) for name, entry in zip(names, inputs, strict=True)
    }
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(
            f"the arrays differ in their number of samples: {lengths}", where="--probe", hint="make them equal"
        )
    return arrays


def _fitting(path: Path, entry: Mapping[str, Any]) -> NDArray[Any]:
    array = read_array(path)
    name, wanted, shape = entry["name"], str(entry["dtype"]), list(entry["shape"])
    if array.dtype.name != wanted:
        raise DataError(
            f"holds {array.dtype.name}, the input '{name}' takes {wanted}",
            where=str(path),
            hint=f"save it as {wanted}, if that is what it means",
        )
    # A file that takes one number of samples alone is asked again and again.
    fits = array.ndim == len(shape) and all(
        not isinstance(size, int) or size == found or (axis == 0 and size > 0 and found % size == 0)
        for axis, (size, found) in enumerate(zip(shape, array.shape, strict=True))
    )
    if not fits:
        text = " x ".join("?" if size is None else str(size) for size in shape)
        found = " x ".join(str(size) for size in array.shape)
        raise DataError(
            f"has the shape {found}, the input '{name}' takes {text}",
            where=str(path),
            hint="mind the order of the axes",
        )
    if array.ndim == 0 or len(array) == 0:
        raise DataError("holds no sample", where=str(path), hint="axis 0 is the sample")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        first = np.argwhere(~np.isfinite(array))[0]
        raise DataError(
            f"holds a value that is not finite at {first.tolist()}", where=str(path), hint="leave such samples out"
        )
    return array
