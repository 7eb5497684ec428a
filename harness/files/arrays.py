"""Named arrays in safetensors files, for the harness's own process; the library is imported when there is something to read."""

from __future__ import annotations

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
