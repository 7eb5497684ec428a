"""R data files (.rda, as ``save()`` writes them), read as plain data: vectors, lists and data frames, nothing that runs.

The bytes are taken apart by the package ``rdata``, which builds a tree of what the file holds and calls nothing in it.
Only that tree is used: the package's own conversion to pandas, which picks constructors by class names that the file
states, is not. Of the tree, vectors, strings, factors and data frames are read; functions, environments and pointers
stay unread and are refused by name where a data frame should be.
"""

from __future__ import annotations

import bz2
import functools
import gzip
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError

#: Bytes of a file after decompression, objects in it, and numbers in its compact sequences (1:n): far above any table of
#: samples, and low enough that a small hostile file cannot fill the memory (an object takes some 600 bytes).
LARGEST_FILE, MOST_OBJECTS, LONGEST_SEQUENCES = 1 << 30, 4_000_000, 1 << 20

_CHUNK = 1 << 20
_INSTALL = "pip install 'rdata>=1.1,<1.2'"
_XDR = (b"RDX2\nX\n", b"RDX3\nX\n")
_COMPRESSED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}

#: What R calls the things that are not data.
_KINDS = {
    "CLO": "a function",
    "SPECIAL": "a function",
    "BUILTIN": "a function",
    "ENV": "an environment",
    "GLOBALENV": "an environment",
    "PROM": "a promise",
    "LANG": "R code",
    "EXPR": "R code",
    "BCODE": "R code",
    "EXTPTR": "an external pointer",
    "WEAKREF": "a weak reference",
    "S4": "an S4 object",
    "SYM": "a name",
    "NILVALUE": "NULL",
    "VEC": "a list",
    "LIST": "a pairlist",
    "STR": "a character vector",
    "INT": "an integer vector",
    "REAL": "a numeric vector",
    "LGL": "a logical vector",
    "CPLX": "a complex vector",
    "RAW": "a raw vector",
}


class _Refused(Exception):
    """Found inside the file while it is parsed."""


@dataclass(frozen=True)
class Column:
    """A column of a data frame, not yet read: ``tree`` is the package's node, ``where`` names it for messages."""

    tree: Any
    where: str

    @property
    def kind(self) -> str:
        """What R calls it, e.g. 'a numeric vector'."""
        name = self.tree.info.type.name
        return _KINDS.get(name, f"an object of type {name}")

    def numbers(self) -> NDArray[np.float64]:
        """Numbers (row,) float64, NA as NaN. Raises DataError on anything else."""
        if self.tree.info.type.name not in ("REAL", "INT") or "factor" in _classes(self.tree):
            raise DataError(f"{self.kind}, not numbers", where=self.where)
        return np.ma.filled(np.ma.asarray(self.tree.value).astype(np.float64), np.nan)

    def dates(self) -> NDArray[np.datetime64]:
        """Dates (row,) datetime64[D] of R's class Date. Raises DataError on anything else and on NA."""
        if "Date" not in _classes(self.tree):
            raise DataError(f"{self.kind}, not of class Date", where=self.where)
        days = self.numbers()
        bad = ~(np.abs(days) < 1e7)
        if bad.any():
            raise DataError("not a date", where=f"{self.where}, row {int(np.flatnonzero(bad)[0]) + 1}")
        return np.floor(days).astype(np.int64).astype("datetime64[D]")

    def texts(self) -> list[str]:
        """Texts by row; a factor's are its levels. Raises DataError on anything else and on NA."""
        if self.tree.info.type.name == "STR":
            return [_text(one, self.where) for one in self.tree.value]
        levels = _attributes(self.tree).get("levels")
        if self.tree.info.type.name != "INT" or levels is None:
            raise DataError(f"{self.kind}, not text", where=self.where)
        names = Column(levels, f"{self.where}, levels").texts()
        codes = np.ma.filled(np.ma.asarray(self.tree.value), 0)
        if len(codes) and (codes.min() < 1 or codes.max() > len(names)):
            row = int(np.flatnonzero((codes < 1) | (codes > len(names)))[0])
            raise DataError("a factor without a level (NA)", where=f"{self.where}, row {row + 1}")
        return [names[code - 1] for code in codes.tolist()]

    def frames(self) -> list[Frame]:
        """A data frame per row. Raises DataError on anything else."""
        if self.tree.info.type.name != "VEC":
            raise DataError(f"{self.kind}, not a list of data frames", where=self.where)
        return [_frame(one, f"{self.where}, row {row}") for row, one in enumerate(self.tree.value, start=1)]


@dataclass(frozen=True)
class Frame:
    """A data frame or tibble: its columns by name, in order, all ``rows`` long."""

    columns: dict[str, Column]
    rows: int
    where: str

    def column(self, name: str) -> Column:
        """The column of a name. Raises DataError, naming those there are."""
        if name not in self.columns:
            raise DataError(f"there is no column {name}; there are {', '.join(self.columns)}", where=self.where)
        return self.columns[name]


def read_frame(path: Path, name: str | None = None) -> tuple[str, Frame]:
    """A data frame of an .rda file and its name; ``name`` may be left out where the file holds one object only.

    Raises DataError on a missing, foreign, truncated or oversized file, on a name that is not there, on what is not a
    data frame, and where the package ``rdata`` is not installed.
    """
    objects = _objects(path)
    if name is None:
        if len(objects) != 1:
            raise DataError(
                f"holds {len(objects)} objects: {', '.join(objects)}",
                where=str(path),
                hint="name one by the option object",
            )
        name = next(iter(objects))
    if name not in objects:
        raise DataError(f"there is no object {name}; there are {', '.join(objects)}", where=str(path))
    return name, _frame(objects[name], f"{path}:{name}")


def _objects(path: Path) -> dict[str, Any]:
    """The saved objects by name, as nodes of the package's tree."""
    data = _decompressed(path)
    reader = _reader()
    try:
        top = reader(memoryview(data)[len(_XDR[0]) :]).parse_all().object
        found = {}
        while top.info.type.name == "LIST":
            value, rest = top.value
            symbol = top.tag.referenced_object or top.tag
            found[_text(symbol.value, str(path))] = value
            top = rest
        return found
    except _Refused as error:
        raise DataError(str(error), where=str(path)) from error
    except RecursionError as error:
        raise DataError("is nested too deeply to be data", where=str(path)) from error
    except DataError:
        raise
    except Exception as error:
        # The package checks little, and a broken file may trip it anywhere.
        raise DataError(
            f"not a whole R data file ({type(error).__name__}: {error})",
            where=str(path),
            hint="it may be truncated: fetch it again",
        ) from error


def _decompressed(path: Path) -> bytes:
    """The file's bytes, decompressed up to :data:`LARGEST_FILE`; raises DataError on what is not an XDR .rda file."""
    pieces, size = [], 0
    try:
        with path.open("rb") as raw:
            magic = raw.read(6)
            raw.seek(0)
            opener = next((opener for head, opener in _COMPRESSED.items() if magic.startswith(head)), None)
            with opener(raw) if opener else raw as file:
                while piece := file.read(_CHUNK):
                    size += len(piece)
                    if size > LARGEST_FILE:
                        raise DataError(f"more than {LARGEST_FILE >> 20} MiB when decompressed", where=str(path))
                    pieces.append(piece)
    except FileNotFoundError as error:
        raise DataError("the file does not exist", where=str(path)) from error
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise DataError(
            f"cannot be decompressed ({error})", where=str(path), hint="it may be truncated: fetch it again"
        ) from error
    data = b"".join(pieces)
    if not data.startswith(_XDR):
        raise DataError(
            "not an R data file in its usual binary form",
            where=str(path),
            hint="write it with save(samples, file = 'samples.rda'), without ascii = TRUE",
        )
    return data


@functools.cache
def _reader() -> Any:
    """The package's parser, with limits of our own: raises DataError where the package is not installed.

    The package trusts every length that a file states. Here arrays and strings must lie within the file, and objects,
    compact sequences and the table that compiled code asks for are bounded.
    """
    try:
        from rdata.parser import DEFAULT_ALTREP_MAP, RObjectInfo, RObjectType
        from rdata.parser._xdr import ParserXDR
    except ImportError as error:
        raise DataError("R data files are read by the package rdata, version 1.1", hint=_INSTALL) from error

    class Reader(ParserXDR):  # type: ignore[misc, unused-ignore]
        def __init__(self, data: memoryview) -> None:
            super().__init__(data, expand_altrep=True, altrep_constructor_dict=self._expanding())
            self._size, self._objects, self._expanded = len(data), 0, 0

        def _expanding(self) -> dict[bytes, Callable[[Any], Any]]:
            # Built here, since the package (1.1.0) loses two numbers of a descending sequence such as -1:-40.
            def sequence(state: Any, kind: Any, dtype: Any) -> tuple[Any, NDArray[Any]]:
                count, start, step = (float(value) for value in state.value)
                self._expanded += abs(int(count))
                if self._expanded > LONGEST_SEQUENCES:
                    raise _Refused(f"holds compact sequences of more than {LONGEST_SEQUENCES} numbers")
                info = RObjectInfo(type=kind, object=False, attributes=False, tag=False, gp=0, reference=0)
                return info, (start + step * np.arange(int(count))).astype(dtype)

            return dict(DEFAULT_ALTREP_MAP) | {
                b"compact_intseq": functools.partial(sequence, kind=RObjectType.INT, dtype=np.int32),
                b"compact_realseq": functools.partial(sequence, kind=RObjectType.REAL, dtype=np.float64),
            }

        def _count(self, objects: int) -> None:
            self._objects += abs(objects)
            if self._objects > MOST_OBJECTS:
                raise _Refused(f"holds more than {MOST_OBJECTS} objects")

        def parse_R_object(self, *arguments: Any, **named: Any) -> Any:
            self._count(1)
            return super().parse_R_object(*arguments, **named)

        def _within(self, size: int) -> None:
            if not 0 <= size <= self._size - self.file.tell():
                raise _Refused("states a length that the file does not have: it may be truncated; fetch it again")

        def _parse_array_values(self, dtype: Any, length: int) -> Any:
            self._within(length * np.dtype(dtype).itemsize)
            return super()._parse_array_values(dtype, length)

        def parse_string(self, length: int) -> bytes:
            self._within(length)
            return bytes(super().parse_string(length))

        def _parse_bytecode(self, references: Any, repeated: list[Any] | None = None) -> Any:
            if repeated is None:
                count = self.parse_int()
                self._count(count)
                repeated = [None] * count
            return super()._parse_bytecode(references, repeated)

    return Reader


def _attributes(tree: Any) -> dict[str, Any]:
    """The attributes of a node by name."""
    found, node = {}, tree.attributes
    while node is not None and node.info.type.name == "LIST":
        symbol = node.tag.referenced_object or node.tag
        found[_text(symbol.value, "attributes")] = node.value[0]
        node = node.value[1]
    return found


def _classes(tree: Any) -> list[str]:
    node = _attributes(tree).get("class")
    return [] if node is None or node.info.type.name != "STR" else [_text(one, "class") for one in node.value]


def _text(tree: Any, where: str) -> str:
    """A string of R in the encoding it is marked with; raises DataError on NA."""
    from rdata.parser import CharFlags

    if tree.value is None:
        raise DataError("NA where a text should be", where=where)
    try:
        return bytes(tree.value).decode("latin-1" if tree.info.gp & CharFlags.LATIN1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"text that is not UTF-8 ({tree.value!r})", where=where) from error


def _length(tree: Any) -> int:
    return len(tree.value) if hasattr(tree.value, "__len__") else 0


def _frame(tree: Any, where: str) -> Frame:
    if tree.info.type.name != "VEC" or "data.frame" not in _classes(tree):
        raise DataError(f"{Column(tree, where).kind}, not a data frame", where=where)
    names = _attributes(tree).get("names")
    if names is None or names.info.type.name != "STR" or len(names.value) != len(tree.value):
        raise DataError("a data frame whose columns are not named", where=where)
    columns: dict[str, Column] = {}
    for symbol, column in zip(names.value, tree.value, strict=True):
        name = _text(symbol, f"{where}, names")
        if name in columns:
            raise DataError(f"two columns are named {name}", where=where)
        columns[name] = Column(column, f"{where}${name}")
    lengths = {name: _length(column.tree) for name, column in columns.items()}
    rows = max(lengths.values(), default=0)
    for name, length in lengths.items():
        if length != rows:
            raise DataError(f"column {name} has {length} rows, others {rows}", where=where)
    return Frame(columns, rows, where)
