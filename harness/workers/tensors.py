"""Arrays as safetensors files: row-major, little-endian, written complete or not at all.

The format (https://github.com/huggingface/safetensors) is an unsigned 64-bit length, a JSON header of that length, and
the arrays without gaps. It is written here directly because the library's NumPy half knows no bfloat16.
"""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.workers.engine import Array, BadInput, Unsupported

_NAMES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}
_DTYPES = {stored: name for name, stored in _NAMES.items()}
_MAX_HEADER = 100_000_000


def dtype_of(name: str) -> np.dtype[np.generic]:
    """The NumPy dtype of a name, those of ml_dtypes (``bfloat16``, ``float8_...``) included."""
    if name == "bfloat16" or name.startswith("float8"):
        import ml_dtypes

        extended: np.dtype[np.generic] = np.dtype(getattr(ml_dtypes, name))
        return extended
    return np.dtype(name)


def write_tensors(path: Path, tensors: dict[str, Array]) -> None:
    """Write named arrays. The bytes depend on names and values alone. Raises Unsupported on a dtype without a place.

    Safetensors has no texts: they are written as their bytes, see :func:`text_bytes`.
    """
    arrays: dict[str, Array] = {}
    for name in sorted(tensors, key=lambda name: (-np.asarray(tensors[name]).dtype.itemsize, name)):
        array = np.asarray(tensors[name])
        if array.dtype.kind in "OUS":
            array = text_bytes(name, array)
        if array.dtype.name not in _NAMES:
            raise Unsupported(f"tensor '{name}' is {array.dtype.name}, which safetensors cannot hold")
        if array.dtype.byteorder == ">":
            array = array.astype(array.dtype.newbyteorder("<"))
        arrays[name] = np.require(array, requirements="C")
    text, _ = _header({name: (array.dtype, array.shape) for name, array in arrays.items()})
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with beside.open("wb") as file:
            file.write(text)
            for array in arrays.values():
                file.write(array.reshape(-1).view(np.uint8).data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _header(arrays: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]) -> tuple[bytes, dict[str, int]]:
    """What a file begins with, for dtypes and shapes by name in their order, and where each array begins."""
    header: dict[str, object] = {}
    offset = 0
    begins: dict[str, int] = {}
    for name, (dtype, shape) in arrays.items():
        begins[name], size = offset, dtype.itemsize * math.prod(shape)
        header[name] = {"dtype": _NAMES[dtype.name], "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, {name: 8 + len(text) + begin for name, begin in begins.items()}


class RowsFile:
    """A file like that of :func:`write_tensors`, written batch by batch along axis 0, of which ``total`` rows are to come.

    A context manager: the file is there when it ends without an error, and not otherwise.
    """

    def __init__(self, path: Path, total: int, first: Mapping[str, Array]) -> None:
        names = sorted(first, key=lambda name: (-first[name].dtype.itemsize, name))
        self._shapes = {name: (first[name].dtype, (total, *first[name].shape[1:])) for name in names}
        text, self._places = _header(self._shapes)
        self._path, self._beside = path, path.with_name(f".{path.name}.{os.getpid()}.partial")
        self._file = self._beside.open("wb")
        self._file.write(text)

    @staticmethod
    def takes(arrays: Mapping[str, Array]) -> bool:
        """Whether arrays are of dtypes that are written as they are, and have rows."""
        return all(
            array.ndim > 0 and array.dtype.name in _NAMES and array.dtype.byteorder != ">" for array in arrays.values()
        )

    def add(self, rows: Mapping[str, Array]) -> None:
        """The next rows of every array. Raises BadInput where they have another dtype or shape than the first."""
        for name, array in rows.items():
            dtype, shape = self._shapes[name]
            if array.dtype != dtype or array.shape[1:] != shape[1:]:
                raise BadInput(f"output '{name}' is {array.dtype.name} {array.shape[1:]} per sample after {shape[1:]}")
            self._file.seek(self._places[name])
            self._file.write(np.require(array, requirements="C").reshape(-1).view(np.uint8).data)
            self._places[name] += array.nbytes

    def __enter__(self) -> RowsFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        try:
            if kind is None:
                self._beside.replace(self._path)
        finally:
            self._beside.unlink(missing_ok=True)


def text_bytes(name: str, array: Array) -> Array:
    """Texts as uint8 with one axis more: UTF-8, filled with zeros to the longest. Raises Unsupported on other objects."""
    texts = [text.encode() if isinstance(text, str) else text for text in array.ravel().tolist()]
    if not all(isinstance(text, bytes) for text in texts):
        raise Unsupported(f"tensor '{name}' holds Python objects, which safetensors cannot hold")
    width = max(map(len, texts), default=0)
    joined = b"".join(text.ljust(width, b"\0") for text in texts)
    return np.frombuffer(joined, np.uint8).reshape(*array.shape, width)


def read_tensors(path: Path, mapped: list[mmap.mmap] | None = None) -> dict[str, Array]:
    """Read every array of a safetensors file. Raises BadInput where it is missing, truncated or corrupt.

    With a list for ``mapped``, arrays are read when they are used; the file's map is added to the list.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(_MAX_HEADER, size - 8):
                raise BadInput(f"{path}: not a safetensors file, or a truncated one ({size} bytes)")
            header = json.loads(file.read(length))
            if not isinstance(header, dict):
                raise ValueError("the header is not an object")
            header.pop("__metadata__", None)
            tensors: dict[str, Array] = {}
            held = 0
            for name, entry in header.items():
                dtype = dtype_of(_DTYPES[entry["dtype"]])
                shape = tuple(int(axis) for axis in entry["shape"])
                begin, end = (int(offset) for offset in entry["data_offsets"])
                count = 1
                for axis in shape:
                    count *= axis
                if min((begin, *shape)) < 0 or end - begin != count * dtype.itemsize:
                    raise ValueError(f"tensor '{name}' has a size that does not fit its shape")
                if 8 + length + end > size:
                    raise BadInput(f"{path}: truncated: tensor '{name}' ends beyond the file's {size} bytes")
                held += end - begin
                if held > size:
                    raise ValueError(f"tensor '{name}' overlaps another")
                if mapped is not None and end > begin:
                    if not mapped:
                        mapped.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
                    data = np.frombuffer(mapped[0], np.uint8, end - begin, 8 + length + begin)
                else:
                    file.seek(8 + length + begin)
                    data = np.empty(end - begin, dtype=np.uint8)
                    file.readinto(data.data)
                tensors[name] = data.view(dtype).reshape(shape)
            return tensors
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: not a safetensors file: {error}") from error
