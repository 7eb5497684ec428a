"""Two files of float32 compared in a stream: bounded memory whatever their size, at a multiple of plain numpy's speed.

Files are read into buffers that are used again and again (mapping them would count as resident memory), and a chunk is
small enough to stay in the processor's cache while it is worked on.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError

#: Values per chunk and file, rounded to whole rows: the buffers of a chunk then fit into a second-level cache.
CHUNK = 65_536

#: Headers are a few hundred bytes; a longer one is not what it says it is.
_LONGEST_HEADER = 16 * 1024 * 1024

_FLOAT32 = np.dtype("<f4")
_MAGNITUDE = np.int32(0x7FFFFFFF)
_INFINITY = 0x7F800000


@dataclass(frozen=True)
class Float32File:
    """Where the float32 values of a file lie: little-endian, row-major, ``shape`` by axis, from byte ``offset`` on."""

    path: Path
    shape: tuple[int, ...]
    offset: int

    @property
    def count(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class StreamComparison:
    """Two files of float32 compared. Errors are over the pairs in which both are finite; None where there is no pair.

    ``non_finite``: pairs in which either is NaN or infinite. ``differing``: pairs with other bits. ``max_ulp``: in
    representable values, across signs, the two zeros 0 apart. ``top1_agreement``: share of rows with the same first
    largest value along the last axis, None where the values have no rows; a NaN counts as the largest, as in
    ``numpy.argmax``. ``rows``: number of rows.
    """

    count: int
    differing: int
    non_finite: int
    max_abs: float | None
    mean_abs: float | None
    rms: float | None
    max_ulp: int | None
    top1_agreement: float | None
    rows: int


def open_float32(path: Path, tensor: str | None = None, shape: tuple[int, ...] | None = None) -> Float32File:
    """Find the float32 values of a file by its suffix: ``.npy``, ``.safetensors``, or anything else as raw values.

    ``tensor`` names the tensor of a safetensors file with several. ``shape`` gives raw values their axes; by default
    they have one. Raises DataError where the file is missing, truncated, not float32 or not row-major.
    """
    if not path.is_file():
        raise DataError("there is no such file", where=str(path))
    size = path.stat().st_size
    if path.suffix == ".npy":
        found = _npy(path)
    elif path.suffix == ".safetensors":
        found = _safetensors(path, tensor)
    else:
        if size % 4:
            raise DataError(f"{size} bytes are not a whole number of float32 values", where=str(path))
        found = Float32File(path, shape or (size // 4,), 0)
    wanted = found.offset + 4 * found.count
    if size < wanted:
        raise DataError(f"the file is truncated: {size} bytes instead of {wanted}", where=str(path))
    return found


def compare_files(candidate: Float32File, reference: Float32File, *, classes: int | None = None) -> StreamComparison:
    """Compare two files of one shape, chunk by chunk. ``classes``: length of the last axis, by default the shape's own.

    Raises DataError where shapes differ, rows are not whole, or a file ends early.
    """
    if candidate.shape != reference.shape:
        raise DataError(
            f"shapes differ: {candidate.shape} and {reference.shape}", where=f"{candidate.path}, {reference.path}"
        )
    if classes is None and len(candidate.shape) > 1:
        classes = candidate.shape[-1]
    width = classes or 1
    if classes is not None and (classes < 1 or candidate.count % classes):
        raise DataError(f"{candidate.count} values are not whole rows of {classes}", where=str(candidate.path))
    chunk = _Chunk(max(1, CHUNK // width) * width, classes)
    for values in _pairs(candidate, reference, chunk):
        chunk.add(values)
    return chunk.result(candidate.count)


def _pairs(candidate: Float32File, reference: Float32File, chunk: _Chunk) -> Iterator[int]:
    """Fill the chunk's two buffers from both files, again and again; yields the number of values."""
    with ExitStack() as stack:
        files = [stack.enter_context(FileIO(file.path, "rb")) for file in (candidate, reference)]
        for file, opened in zip((candidate, reference), files, strict=True):
            opened.seek(file.offset)
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(opened.fileno(), file.offset, 0, os.POSIX_FADV_SEQUENTIAL)
        left = candidate.count
        while left:
            values = min(left, chunk.size)
            for file, opened, buffer in zip((candidate, reference), files, chunk.buffers, strict=True):
                _fill(opened, buffer[:values].view(np.uint8).data, file.path)
            yield values
            left -= values


def _fill(opened: FileIO, view: memoryview, path: Path) -> None:
    done = 0
    while done < len(view):
        read = opened.readinto(view[done:])
        if not read:
            raise DataError("the file ended while it was read", where=str(path))
        done += read


class _Chunk:
    """The buffers of a chunk, what is done with them, and the sums over all chunks so far."""

    def __init__(self, size: int, classes: int | None) -> None:
        self.size = size
        self.classes = classes
        self.buffers = (np.empty(size, _FLOAT32), np.empty(size, _FLOAT32))
        self._error = np.empty(size, np.float32)
        self._double = np.empty(size, np.float64)
        self._keys = tuple(np.empty(size, np.int32) for _ in range(3))
        rows = size // (classes or 1)
        self._columns = tuple(np.empty((classes or 1, rows if classes else 0), np.float32) for _ in range(2))
        self._tops = tuple(np.empty((classes or 1, rows if classes else 0), np.bool_) for _ in range(2))
        self.differing = self.non_finite = self.max_ulp = self.agreeing = self.rows = self.finite = 0
        self.max_abs = self.sum_abs = self.sum_squares = 0.0

    def add(self, values: int) -> None:
        """Take the first ``values`` values of both buffers into account."""
        first, second = (buffer[:values] for buffer in self.buffers)
        if self._equal_and_finite(first, second):
            self.finite += values
            if self.classes:
                self.rows += values // self.classes
                self.agreeing += values // self.classes
            return
        if self.classes:
            self._add_tops(first, second)
        first_bits, second_bits = first.view(np.int32), second.view(np.int32)
        self.differing += int(np.count_nonzero(first_bits != second_bits))
        with np.errstate(invalid="ignore", over="ignore"):
            error = np.subtract(first, second, out=self._error[:values])
        magnitude = error.view(np.int32)
        np.bitwise_and(magnitude, _MAGNITUDE, out=magnitude)
        # Ordered as integers, infinities and NaN come last: one maximum tells whether anything is not finite.
        if int(magnitude.max()) < _INFINITY:
            self._add_errors(error)
            self._add_ulp(first_bits, second_bits)
        else:
            self._add_partly_finite(first, second)

    def result(self, count: int) -> StreamComparison:
        """The comparison over everything added."""
        some = self.finite > 0
        return StreamComparison(
            count=count,
            differing=self.differing,
            non_finite=self.non_finite,
            max_abs=self.max_abs if some else None,
            mean_abs=self.sum_abs / self.finite if some else None,
            rms=math.sqrt(self.sum_squares / self.finite) if some else None,
            max_ulp=self.max_ulp if some else None,
            top1_agreement=self.agreeing / self.rows if self.rows else None,
            rows=self.rows,
        )

    def _equal_and_finite(self, first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
        # The first values decide for all chunks but those that are nearly equal.
        if not np.array_equal(first[:64].view(np.int32), second[:64].view(np.int32)):
            return False
        if not np.array_equal(first.view(np.int32), second.view(np.int32)):
            return False
        magnitude = np.bitwise_and(first.view(np.int32), _MAGNITUDE, out=self._keys[0][: len(first)])
        return int(magnitude.max(initial=0)) < _INFINITY

    def _add_errors(self, magnitude: NDArray[np.float32]) -> None:
        self.max_abs = max(self.max_abs, float(magnitude.max()))
        double = self._double[: len(magnitude)]
        np.copyto(double, magnitude)
        self.sum_abs += float(double.sum())
        self.sum_squares += float(np.dot(double, double))
        self.finite += len(magnitude)

    def _add_ulp(self, first: NDArray[np.int32], second: NDArray[np.int32]) -> None:
        """Bits to integers in the order of the numbers; their difference, wrapped, is exact when read as unsigned."""
        one, other, sign = (key[: len(first)] for key in self._keys)
        for raw, key in ((first, one), (second, other)):
            np.right_shift(raw, 31, out=sign)
            np.bitwise_and(raw, _MAGNITUDE, out=key)
            np.bitwise_xor(key, sign, out=key)
            np.subtract(key, sign, out=key)
        np.minimum(one, other, out=sign)
        np.maximum(one, other, out=one)
        np.subtract(one, sign, out=one)
        self.max_ulp = max(self.max_ulp, int(one.view(np.uint32).max()))

    def _add_partly_finite(self, first: NDArray[np.float32], second: NDArray[np.float32]) -> None:
        """A chunk with values that are not finite, or differences beyond float32: its finite pairs, in float64."""
        finite = np.isfinite(first) & np.isfinite(second)
        pairs = int(np.count_nonzero(finite))
        self.non_finite += len(first) - pairs
        if not pairs:
            return
        one, other = first[finite], second[finite]
        error = np.abs(one.astype(np.float64) - other)
        self.max_abs = max(self.max_abs, float(error.max()))
        self.sum_abs += float(error.sum())
        self.sum_squares += float(np.dot(error, error))
        self.finite += pairs
        self._add_ulp(one.view(np.int32), other.view(np.int32))

    def _add_tops(self, first: NDArray[np.float32], second: NDArray[np.float32]) -> None:
        """Rows with the same largest value, without the slow argmax over short rows.

        Values are laid out by column, where maxima are taken whole columns at a time. A row whose maximum stands alone
        on both sides agrees where the two marks meet; the rare rows with a tie or a NaN are left to argmax.
        """
        classes = self.classes or 1
        rows = len(first) // classes
        marks = []
        for values, columns, tops in zip((first, second), self._columns, self._tops, strict=True):
            laid, top = columns[:, :rows], tops[:, :rows]
            np.copyto(laid, values.reshape(rows, classes).T)
            np.equal(laid, laid.max(axis=0), out=top)
            marks.append(top)
        alone = all(int(np.count_nonzero(top)) == rows for top in marks)
        # As many marks as rows may still be a row of two and one of none, where there is a NaN.
        if alone and not any(_has_nan(columns[:, :rows]) for columns in self._columns):
            np.logical_and(marks[0], marks[1], out=marks[0])
            agreeing = int(np.count_nonzero(marks[0]))
        else:
            agreeing = self._agreeing_slowly(first.reshape(rows, classes), second.reshape(rows, classes), marks)
        self.rows += rows
        self.agreeing += agreeing

    @staticmethod
    def _agreeing_slowly(
        first: NDArray[np.float32], second: NDArray[np.float32], marks: list[NDArray[np.bool_]]
    ) -> int:
        plain = (marks[0].sum(axis=0) == 1) & (marks[1].sum(axis=0) == 1)
        agreeing = int(np.count_nonzero((marks[0] & marks[1]).any(axis=0) & plain))
        other = ~plain
        return agreeing + int(np.count_nonzero(first[other].argmax(axis=1) == second[other].argmax(axis=1)))


def _has_nan(values: NDArray[np.float32]) -> bool:
    return bool(np.isnan(values.max(initial=-np.inf)))


def _npy(path: Path) -> Float32File:
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            if version == (1, 0):
                shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
            elif version == (2, 0):
                shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
            else:
                raise DataError(f"version {version[0]}.{version[1]} of the .npy format is not read", where=str(path))
            offset = file.tell()
    except ValueError as error:
        text = str(error).splitlines()[0] if str(error) else "unreadable"
        raise DataError(f"not a readable .npy file: {text}", where=str(path)) from error
    if dtype != _FLOAT32:
        raise DataError(f"the values are {dtype}, not little-endian float32", where=str(path))
    if fortran and len(shape) > 1:
        raise DataError(
            "the values are stored column-major", where=str(path), hint="save numpy.ascontiguousarray of them"
        )
    return Float32File(path, tuple(int(size) for size in shape), offset)


def _safetensors(path: Path, tensor: str | None) -> Float32File:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(_LONGEST_HEADER, path.stat().st_size - 8):
            raise DataError("the file is truncated or not in the safetensors format", where=str(path))
        try:
            header: dict[str, Any] = json.loads(file.read(length))
            entries = {str(name): entry for name, entry in header.items() if name != "__metadata__"}
        except (ValueError, AttributeError) as error:
            raise DataError("the header is not that of the safetensors format", where=str(path)) from error
    if tensor is None and len(entries) == 1:
        tensor = next(iter(entries))
    if tensor is None or tensor not in entries:
        found = ", ".join(sorted(entries)) or "none"
        what = f"there is no tensor '{tensor}'" if tensor else "name the tensor to compare"
        raise DataError(what, where=str(path), hint=f"it holds {found}")
    try:
        entry = entries[tensor]
        dtype, shape, begin, end = entry["dtype"], tuple(map(int, entry["shape"])), *map(int, entry["data_offsets"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"the entry of tensor '{tensor}' is not complete", where=str(path)) from error
    if dtype != "F32":
        raise DataError(f"tensor '{tensor}' is {dtype}, not F32", where=str(path))
    if begin < 0 or end - begin != 4 * math.prod(shape):
        raise DataError(f"the bytes of tensor '{tensor}' do not fit its shape {shape}", where=str(path))
    return Float32File(path, shape, 8 + length + begin)
