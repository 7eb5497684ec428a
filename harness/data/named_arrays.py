"""Arrays that a user gives by name: ``.npz`` and ``.safetensors`` files, and ``.npy`` files of one array without a name."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError

#: Name of an array that a user gives without one.
ONLY = ""

#: What NumPy calls an array of a ``.npz`` file that was saved without a name.
_UNNAMED = "arr_0"

#: Endings of files of named arrays.
NAMED = (".npz", ".safetensors")


@dataclass(frozen=True)
class GivenArray:
    """An array and the file that it comes from."""

    path: Path
    array: NDArray[Any]


def read_array(path: Path) -> NDArray[Any]:
    """One array of a ``.npy`` file; never unpickles. Raises DataError on anything else."""
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError("no such file", where=str(path), hint="name a .npy file") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            "is cut short or not a .npy file of numbers", where=str(path), hint="save it with numpy.save"
        ) from error
    if not isinstance(array, np.ndarray):
        raise DataError("holds several arrays", where=str(path), hint="save each array as .npy of its own")
    if array.dtype.kind not in "biuf":
        raise DataError(f"holds {array.dtype}, not numbers", where=str(path), hint="save an array of numbers")
    return array


def read_named(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of a file by name; that of a ``.npy`` file under :data:`ONLY`. Nothing is unpickled.

    Raises DataError on a missing or broken file, and on what is neither numbers nor texts.
    """
    if path.suffix not in NAMED:
        return {ONLY: read_array(path)}
    try:
        arrays = _read_safetensors(path) if path.suffix == ".safetensors" else _read_npz(path)
    except FileNotFoundError as error:
        raise DataError("no such file", where=str(path), hint="name a .npy, .npz or .safetensors file") from error
    except (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(
            f"is cut short or not a {path.suffix} file of numbers",
            where=str(path),
            hint="save it with numpy.savez(path, name=array)" if path.suffix == ".npz" else "write it anew",
        ) from error
    if not arrays:
        raise DataError("holds no array", where=str(path), hint="save an array for each name")
    for name, array in arrays.items():
        if array.dtype.kind not in "biufU":
            raise DataError(
                f"holds {array.dtype} as '{name}', not numbers", where=str(path), hint="save an array of numbers"
            )
    return arrays


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as archive:
        if isinstance(archive, np.ndarray):
            raise ValueError("one array without a name")
        return {name: archive[name] for name in archive.files}


def _read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays: dict[str, NDArray[Any]] = load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    return arrays


def read_given(files: Mapping[str, Path], names: Sequence[str], kind: str, option: str) -> dict[str, GivenArray]:
    """The arrays of files by the names of a model's tensors; ``names`` has them all.

    ``files``: one ``.npy`` file by the name of its tensor, or one file under :data:`ONLY`. An array without a name is that of the
    model's only tensor. ``kind`` (``input``, ``output``)
    and ``option`` are for messages. Raises DataError on a name that the model does not have, and where a name is needed.
    """
    given: dict[str, GivenArray] = {}
    for name, path in files.items():
        held = read_named(path)
        if len(held) == 1:
            # A file for one tensor: what the array itself is called does not matter where the tensor is named.
            ((own, array),) = held.items()
            given[name or (ONLY if own == _UNNAMED else own)] = GivenArray(path, array)
        elif name != ONLY:
            raise DataError(
                f"holds {len(held)} arrays, {', '.join(held)}, for the {kind} '{name}'",
                where=str(path),
                hint=f"give it as {option} {path.name} where it holds all",
            )
        else:
            given |= {own: GivenArray(path, array) for own, array in held.items()}
    if ONLY in given:
        path = given[ONLY].path
        if len(names) != 1:
            form = f"{option} NAME=FILE.npy, or all in one .npz" if kind == "input" else "names of a .npz file"
            raise DataError(
                f"the model has {len(names)} {kind}s: {', '.join(names)}",
                where=str(path),
                hint=f"give one array for each, as {form}",
            )
        given = {names[0]: given[ONLY]}
    for name, entry in given.items():
        if name not in names:
            raise DataError(
                f"the model has no {kind} '{name}'", where=str(entry.path), hint=f"it has {', '.join(names)}"
            )
    return given
