"""A user's own arrays: series, labels and, where there are some, ids, groups and regions, each as a .npy file.

Only plain arrays are read: a file that asks for unpickling is refused, so that no file runs code. Series are mapped, not
loaded, and go through memory a few thousand at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.data.dataset import Band, Dataset, DatasetInfo, DataSource, NormalisationKind, Part, Series
from harness.data.locate import ENVIRONMENT_VARIABLE, find
from harness.data.split import three_parts
from harness.errors import DataError
from harness.files.remembered_digests import named_hashes

Axis = Literal["sample", "time", "band"]
AXES: tuple[Axis, Axis, Axis] = ("sample", "time", "band")

#: Samples that are copied and checked at once.
_CHUNK = 4096

_NUMBERS, _WHOLE, _TEXT = "fiu", "iu", "U"


class Options(BaseModel):
    """Options of the data source ``npy``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    x: str = Field(description="series: numbers of three axes")
    y: str = Field(description="labels (sample,): whole numbers that count the class names from 0")
    ids: str | None = Field(
        default=None, description="ids (sample,): distinct whole numbers; rows are counted if left out"
    )
    groups: str | None = Field(
        default=None,
        description="what must not straddle a split (sample,), e.g. polygons: whole numbers; every sample its own if left out",
    )
    regions: str | None = Field(default=None, description="region of every sample (sample,), text")
    x_test: str | None = Field(default=None, description="series of the test part; drawn from x if left out")
    y_test: str | None = Field(default=None, description="labels of the test part")
    ids_test: str | None = Field(default=None, description="ids of the test part")
    groups_test: str | None = Field(default=None, description="groups of the test part, numbered as in groups")
    regions_test: str | None = Field(default=None, description="regions of the test part")
    base: str | None = Field(
        default=None,
        description=f"folder of relative paths; the environment variable {ENVIRONMENT_VARIABLE}, or else the current "
        "folder, if left out",
    )
    axes: tuple[Axis, Axis, Axis] = Field(default=AXES, description="the axes of x in order: sample, time and band")
    bands: tuple[str, ...] = Field(min_length=1, description="names of the bands in order")
    class_names: tuple[str, ...] = Field(min_length=2, description="names of the classes in order")
    test_fraction: float = Field(
        default=0.25, gt=0, lt=1, description="fraction of every class's samples for testing, without x_test"
    )
    valid_fraction: float = Field(
        default=0.15, gt=0, lt=1, description="fraction of every class's samples in x for validation"
    )
    factor: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="from the values to physical units, for normalisation: scale",
    )
    nan: Literal["refuse", "allow"] = Field(
        default="refuse",
        description="whether test samples may hold NaN and infinities, as nodata: their positions must then be equal in all "
        "outputs",
    )
    days_of_year: tuple[int, ...] | None = Field(default=None, description="day of the year of every date")
    name: str = Field(default="npy", description="short name of the data set")
    title: str | None = Field(default=None, description="title of the data set")
    unit: str = Field(default="as stored", description="unit of the values")
    licence: str = Field(default="not stated", description="licence of the data")
    citation: str = Field(default="not stated", description="how to cite the data")
    doi: str | None = Field(default=None, description="DOI of the data")
    url: str | None = Field(default=None, description="where the data come from")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sorted(self.axes) != sorted(AXES):
            raise ValueError(f"axes must name sample, time and band once each, not {', '.join(self.axes)}")
        for what, names in (("band", self.bands), ("class", self.class_names)):
            if len(set(names)) < len(names):
                raise ValueError(f"a {what} is named twice in {', '.join(names)}")
        if (self.x_test is None) != (self.y_test is None):
            raise ValueError("x_test and y_test belong together")
        if self.x_test is None:
            given = next((name for name in ("ids_test", "groups_test", "regions_test") if getattr(self, name)), None)
            if given:
                raise ValueError(f"{given} is given, but x_test is not")
            if self.test_fraction + self.valid_fraction >= 1:
                raise ValueError("test_fraction and valid_fraction leave nothing for training")
        elif (self.groups is None) != (self.groups_test is None):
            raise ValueError("groups and groups_test belong together: only then can a shared group be seen")
        return self


@dataclass(frozen=True)
class Arrays:
    """The arrays of one set of files; ``x`` (sample, time, band) is a view of the mapped file."""

    path: Path
    x: NDArray[Any]
    y: NDArray[np.int64]
    ids: NDArray[np.int64]
    groups: NDArray[np.int64]
    regions: NDArray[np.str_]


def read_array(path: Path, kinds: str, axes: int) -> NDArray[Any]:
    """Map a .npy file. Raises DataError on what is no whole .npy file, or has other kinds of dtype or numbers of axes.

    ``kinds`` are letters of ``numpy.dtype.kind``. Nothing is unpickled.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(6)
        if magic != b"\x93NUMPY":
            hint = "save each array alone with numpy.save" if magic.startswith(b"PK") else None
            raise DataError("not a .npy file", where=str(path), hint=hint)
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        if "Python objects" in str(error) or "allow_pickle" in str(error):
            raise DataError(
                "holds Python objects, which are never loaded", where=str(path), hint="save it with a plain dtype"
            ) from error
        raise DataError(
            f"not a whole .npy file ({error})", where=str(path), hint="it may be truncated: save it again"
        ) from error
    if array.dtype.kind not in kinds:
        wanted = {_NUMBERS: "numbers", _WHOLE: "whole numbers", _TEXT: "text", _WHOLE + _TEXT: "whole numbers or text"}
        raise DataError(f"dtype {array.dtype}, not {wanted[kinds]}", where=str(path))
    if array.ndim != axes:
        raise DataError(f"shape {array.shape}, not {axes} {'axis' if axes == 1 else 'axes'}", where=str(path))
    return array


def _column(path: Path, kinds: str, count: int, of: Path) -> NDArray[Any]:
    array = read_array(path, kinds, 1)
    if len(array) != count:
        raise DataError(f"{len(array)} entries, but {of} has {count} samples", where=str(path))
    if array.dtype.kind == "u" and count and array.max() > np.iinfo(np.int64).max:
        raise DataError(f"{array.max()} does not fit into int64", where=str(path))
    return np.array(array, dtype=array.dtype if array.dtype.kind == "U" else np.int64)


def _read_arrays(options: Options, part: Literal["", "_test"], first_group: int) -> Arrays:
    """Read x, y, ids, groups and regions of the options without or with the suffix ``_test``."""

    def named(what: str) -> Path | None:
        name = getattr(options, what + part)
        return None if name is None else find(name, options.base)

    path, labels = named("x"), named("y")
    assert path is not None
    assert labels is not None
    stored = read_array(path, _NUMBERS, 3)
    x = stored.transpose([options.axes.index(axis) for axis in AXES])
    count, dates, bands = x.shape
    if count == 0 or dates == 0:
        raise DataError(f"there is no {'sample' if count == 0 else 'date'}", where=str(path))
    if bands != len(options.bands):
        raise DataError(
            f"axis band has {bands} entries, but {len(options.bands)} bands are named",
            where=str(path),
            hint=f"shape {stored.shape} was read as ({', '.join(options.axes)}); name other axes by the option axes",
        )
    y = _column(labels, _WHOLE, count, path)
    for wrong in np.flatnonzero((y < 0) | (y >= len(options.class_names)))[:1].tolist():
        raise DataError(
            f"sample {wrong} has label {y[wrong]}, but {len(options.class_names)} classes are named, counted from 0",
            where=str(labels),
        )
    numbers = np.arange(count, dtype=np.int64)
    of_ids, of_groups, of_regions = named("ids"), named("groups"), named("regions")
    ids = numbers if of_ids is None else _column(of_ids, _WHOLE, count, path)
    groups = numbers + first_group if of_groups is None else _column(of_groups, _WHOLE, count, path)
    regions = np.full(count, path.stem) if of_regions is None else _column(of_regions, _TEXT, count, path)
    names, counts = np.unique(ids, return_counts=True)
    if len(names) < count:
        raise DataError(f"id {names[counts > 1][0]} occurs {counts[counts > 1][0]} times", where=str(of_ids))
    return Arrays(path, x, y, ids, groups, regions)


def _series(arrays: Arrays, rows: NDArray[np.bool_], bands: tuple[str, ...], allow_nan: bool) -> Series:
    """The series of some rows, copied in pieces. Raises DataError on a value that is not finite in float32 and not allowed."""
    chosen = np.flatnonzero(rows)
    _, dates, count = arrays.x.shape
    values = np.empty((len(chosen), dates, count), dtype=np.float32)
    for start in range(0, len(chosen), _CHUNK):
        piece = chosen[start : start + _CHUNK]
        with np.errstate(over="ignore"):
            values[start : start + _CHUNK] = arrays.x[piece]
        finite = np.isfinite(values[start : start + _CHUNK])
        if allow_nan and arrays.x.dtype.kind == "f":
            # What is finite as it is stored, and too large for float32, is no nodata.
            finite |= ~np.isfinite(arrays.x[piece])
        if not finite.all():
            sample, date, band = np.argwhere(~finite)[0].tolist()
            value = arrays.x[piece[sample], date, band]
            raise DataError(
                f"sample {piece[sample]} holds {value:g}, which is not finite in float32: band {bands[band]}, date {date}",
                where=str(arrays.path),
                hint="fill gaps, or leave such samples out, before saving; the option nan: allow takes them for testing",
            )
    return Series(
        values=values.reshape(-1, count),
        offsets=np.arange(len(chosen) + 1, dtype=np.int64) * dates,
        labels=arrays.y[chosen],
        ids=arrays.ids[chosen],
        groups=arrays.groups[chosen],
        regions=arrays.regions[chosen],
    )


def _notes(options: Options, rows: dict[Part, NDArray[np.bool_]], y: NDArray[np.int64], seed: int) -> tuple[str, ...]:
    notes = []
    if options.ids is None:
        notes.append("No ids were given: an id is the place of a sample in its file, from 0.")
    if options.groups is None:
        notes.append(
            "No groups were given, so that neighbouring pixels of one field may lie on both sides of the split: "
            "scores may be too good."
        )
    drawn = "" if options.x_test else f"about {options.test_fraction:g} of every class for testing and "
    notes.append(
        f"Split: {drawn}{options.valid_fraction:g} for validation, whole groups, seed {seed}: "
        + ", ".join(f"{one.sum()} for {part}" for part, one in rows.items())
        + "."
    )
    unseen = [name for number, name in enumerate(options.class_names) if number not in y[rows["train"]]]
    if unseen:
        notes.append(f"No training sample is of class {', '.join(unseen)}.")
    return tuple(notes)


def _read(options: Options, folder: Path, seed: int) -> Dataset:
    arrays = _read_arrays(options, "", 0)
    test_fraction = 0.0 if options.x_test else options.test_fraction
    train, valid, test = three_parts(arrays.y, arrays.groups, test_fraction, options.valid_fraction, seed)
    rows: dict[Part, NDArray[np.bool_]] = {"train": train, "valid": valid, "test": test}
    testing = arrays
    if options.x_test:
        testing = _read_arrays(options, "_test", len(arrays.y))
        if testing.x.shape[1] != arrays.x.shape[1]:
            raise DataError(
                f"{testing.x.shape[1]} dates, but {arrays.x.shape[1]} in {arrays.path}", where=str(testing.path)
            )
        rows["test"] = np.ones(len(testing.y), dtype=bool)
    for part, chosen in rows.items():
        if not chosen.any():
            raise DataError(
                f"no sample is left for the {part} part: a class needs samples of several groups",
                where=str(arrays.path),
                hint="raise test_fraction and valid_fraction, or give more samples",
            )
    dates = arrays.x.shape[1]
    if options.days_of_year is not None and len(options.days_of_year) != dates:
        raise DataError(
            f"{len(options.days_of_year)} days for {dates} dates of {arrays.path}", where="data.options.days_of_year"
        )
    info = DatasetInfo(
        name=options.name,
        title=options.title or f"Image time series of {arrays.path.name}",
        synthetic=False,
        bands=tuple(Band(name, options.unit) for name in options.bands),
        class_names=options.class_names,
        licence=options.licence,
        citation=options.citation,
        doi=options.doi,
        url=options.url,
        notes=_notes(options, rows, arrays.y, seed),
        allow_nan=options.nan == "allow",
    )
    parts: dict[Part, Series] = {
        "train": _series(arrays, rows["train"], options.bands, False),
        "valid": _series(arrays, rows["valid"], options.bands, False),
        "test": _series(testing, rows["test"], options.bands, options.nan == "allow"),
    }
    kind: NormalisationKind = "standard" if options.factor is None else "scale"
    extras = {} if options.days_of_year is None else {"days_of_year": list(options.days_of_year)}
    return Dataset(info=info, parts=parts, dates=dates, normalisation=kind, factor=options.factor, extras=extras)


#: Options that name a file.
_FILES = tuple(name + part for part in ("", "_test") for name in ("x", "y", "ids", "groups", "regions"))


def _files(options: Options) -> list[Path]:
    return [find(name, options.base) for key in _FILES if (name := getattr(options, key)) is not None]


SOURCE = DataSource(
    name="npy",
    title="your own arrays (.npy): series, labels and, where there are some, ids, groups and regions",
    options=Options,
    read=_read,
    fingerprint=lambda options: named_hashes(_files(options)),
    places=(*_FILES, "base"),
    obtain="save your own with numpy.save: x (sample, time, band), y (sample,), and name bands and class_names",
)
