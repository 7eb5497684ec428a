"""Named arrays in safetensors files, for the harness's own process; the library is imported when there is something to read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def load_arrays(path: Path) -> dict[str, Array]:
    """All tensors of a safetensors file by name."""
    from safetensors.numpy import load_file

    arrays: dict[str, Array] = load_file(path)
    return arrays


#: What NumPy maps as it is stored.
_PLAIN = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"}


def mapped_arrays(path: Path) -> dict[str, Array]:
    """The same, read as they are used: of a file of many samples a few cost no more than these."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    if not all(entry["dtype"] in _PLAIN and 0 not in entry["shape"] for entry in header.values()):
        return load_arrays(path)
    return {
        name: np.memmap(path, _PLAIN[entry["dtype"]], "r", 8 + length + entry["data_offsets"][0], tuple(entry["shape"]))
        for name, entry in header.items()
    }


def texts_of(stored: Array) -> Array:
    """Texts that are stored as uint8 with one axis more, the bytes of UTF-8 filled with zeros, as an array of them."""
    shape, width = stored.shape[:-1], stored.shape[-1]
    rows = np.ascontiguousarray(stored).reshape(-1, max(width, 1)) if width else [b""] * int(np.prod(shape))
    return np.array([bytes(row).rstrip(b"\0").decode() for row in rows], dtype=np.str_).reshape(shape)


def stored_texts(texts: Array) -> Array:
    """The inverse of :func:`texts_of`."""
    encoded = [str(text).encode() for text in texts.ravel()]
    width = max(map(len, encoded), default=0)
    joined = b"".join(text.ljust(width, b"\0") for text in encoded)
    return np.frombuffer(joined, np.uint8).reshape(*texts.shape, width)


def save_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write named arrays, row-major: the library writes the memory of an array whatever its order of axes."""
    path.write_bytes(stored_arrays(arrays))


def stored_arrays(arrays: Mapping[str, Array]) -> bytes:
    """The bytes of such a file; equal arrays give equal bytes."""
    from safetensors.numpy import save

    content: bytes = save({name: np.require(array, requirements="C") for name, array in arrays.items()})
    return content
