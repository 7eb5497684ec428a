"""Parameters of a given model file that lie in it bit for bit: their places are kept, and not a copy for every runtime."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.files.arrays import load_arrays, save_arrays
from harness.files.atomic import to_json, write_atomically
from harness.files.onnx_external_data import fields

Array = NDArray[Any]

#: Bytes from which on a tensor is not copied.
SMALLEST = 4096
#: Values that are compared at a time.
_CHUNK = 1 << 20


def refer_to_model(stored: Path, model: Path) -> None:
    """Take the tensors out of the file ``stored`` that lie in ``model`` or beside it, equal in every bit, and note where.

    Their names, places, dtypes and shapes are written to a ``.json`` beside it, for :func:`load_parameters`.
    """
    from safetensors import safe_open

    places = dict(_places(model))
    found: dict[str, dict[str, Any]] = {}
    kept: dict[str, Array] = {}
    with safe_open(stored, "numpy") as held:
        for name in held.keys():  # noqa: SIM118 - it is no dict
            if name not in places:
                continue
            array = held.get_tensor(name)
            file, offset, length = places[name]
            place = {"file": file, "offset": offset, "dtype": array.dtype.str, "shape": list(array.shape)}
            path = model.parent / file
            plain = length == array.nbytes >= SMALLEST and array.dtype.kind in "fiu"
            if plain and path.stat().st_size >= offset + length and _equal(array, _mapped(path, place)):
                found[name] = place
        if found:
            kept = {name: held.get_tensor(name) for name in held.keys() if name not in found}  # noqa: SIM118
    if found:
        save_arrays(stored, kept)
        write_atomically(stored.with_suffix(".json"), to_json(found))


def load_parameters(stored: Path, model_folder: Path | None) -> dict[str, Array]:
    """All parameters by name: those of the file, and those that it leaves in the model's own, which are read when they are used."""
    arrays = load_arrays(stored)
    noted = stored.with_suffix(".json")
    if model_folder is not None and noted.exists():
        for name, place in json.loads(noted.read_text()).items():
            arrays[name] = _mapped(model_folder / place["file"], place)
    return arrays


def _mapped(path: Path, place: dict[str, Any]) -> Array:
    return np.memmap(path, np.dtype(place["dtype"]), "r", place["offset"], tuple(place["shape"]))


def _equal(one: Array, other: Array) -> bool:
    """Bit for bit, without copies of the whole."""
    first, second = (np.ascontiguousarray(array).reshape(-1).view(f"u{array.itemsize}") for array in (one, other))
    return all(
        np.array_equal(first[start : start + _CHUNK], second[start : start + _CHUNK])
        for start in range(0, first.size, _CHUNK)
    )


def _places(model: Path) -> Iterator[tuple[str, tuple[str, int, int]]]:
    """Name, and file, offset and bytes, of every initializer of the main graph whose values are stored as raw bytes.

    Field numbers are those of onnx.proto. A file that cannot be read has none.
    """
    try:
        with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for number, start, stop in fields(content, 0, len(content)):
                for inner, begin, end in fields(content, start, stop) if number == 7 else ():
                    if inner == 5 and (found := _place(content, begin, end, model.name)) is not None:
                        yield found
    except (ValueError, IndexError):
        return


def _place(content: mmap.mmap, begin: int, end: int, own: str) -> tuple[str, tuple[str, int, int]] | None:
    name, raw, told = "", None, {}
    for number, start, stop in fields(content, begin, end):
        if number == 8:
            name = content[start:stop].decode()
        elif number == 9:
            raw = (own, start, stop - start)
        elif number == 13:
            entry = {part: content[first:last].decode() for part, first, last in fields(content, start, stop)}
            told[entry.get(1)] = entry.get(2, "")
    if "location" in told and "length" in told:
        raw = (told["location"], int(told.get("offset") or 0), int(told["length"]))
    return None if raw is None else (name, raw)
