"""Satellite image time series as CSV, the format of the original TempCNN: class, polygon, date1.band1, date1.band2, ...

Pelletier, Webb, Petitjean (2019): Temporal Convolutional Neural Network for the Classification of Satellite Image Time
Series. Remote Sensing 11(5), 523. https://doi.org/10.3390/rs11050523

No header; any bands and dates, every row of the same length. The sample that was published with the paper's code is
recognised by its content, and described by what its authors say of it; nothing is assumed of other files.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from harness.data.checks import first_not_finite
from harness.data.dataset import Band, Dataset, DatasetInfo, DataSource, Part, Series
from harness.data.described import Described
from harness.data.locate import ENVIRONMENT_VARIABLE, find
from harness.data.split import held_out
from harness.errors import DataError
from harness.files.digests import file_hash
from harness.files.remembered_digests import named_hashes

#: SHA-256 of train_dataset.csv and test_dataset.csv as published in the folder example/ of the paper's code.
FORMOSAT2_SAMPLE = (
    "06936ce3cb79666403fbc2dbe55dfe6af766864bd6a145a19159100b600f3fa1",
    "414c4d7eab67f680ce2d81138d92bdfe2c0c5f8644da6d6a08399deb05eb9328",
)

#: map/class_map.txt of the paper's code lists these names for the values 1 to 13 of its land-cover maps.
FORMOSAT2_CLASSES = (
    *("wheat", "barley", "rapeseed", "corn", "soy", "sunflower", "sorghum", "pea", "grassland", "deciduous"),
    *("conifer", "water", "urban"),
)

_FORMOSAT2: dict[str, Any] = {
    "title": "Formosat-2 image time series: the sample published with TempCNN",
    "unit": "as stored (scale not documented)",
    "licence": "published with the paper's code, which is under GPL-3.0",
    "citation": (
        "Pelletier, C., Webb, G. I., Petitjean, F. (2019). Temporal Convolutional Neural Network for the "
        "Classification of Satellite Image Time Series. Remote Sensing 11(5), 523."
    ),
    "doi": "10.3390/rs11050523",
    "url": "https://github.com/charlotte-pel/temporalCNN",
}

_FORMOSAT2_NOTE = (
    "The files number the classes 0 to 12 without names; the names are those that map/class_map.txt of the paper's "
    "code gives to the values 1 to 13 of its maps, in that order (the series agree: class 11 has the "
    "reflectance of water)."
)

#: Columns before the series: class and polygon.
_LEADING = 2


class Options(Described):
    """Options of the data source ``sits-csv``."""

    train: str = Field(description="CSV of the training and validation parts")
    test: str = Field(description="CSV of the test part")
    base: str | None = Field(
        default=None,
        description=f"folder of relative paths; the environment variable {ENVIRONMENT_VARIABLE}, or else the current "
        "folder, if left out",
    )
    bands: tuple[str, ...] = Field(default=("NIR", "R", "G"), min_length=1, description="names of the bands in order")
    classes: dict[int, str] | None = Field(
        default=None, description="name of every class number in the files; 'class 0', 'class 1', ... if left out"
    )
    valid_fraction: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="fraction of every class's training samples kept for validation, by polygon",
    )
    days_of_year: tuple[int, ...] | None = Field(default=None, description="day of the year of every date")
    name: str = Field(default="sits-csv", description="short name of the data set")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.bands)) < len(self.bands):
            raise ValueError(f"a band is named twice in {', '.join(self.bands)}")
        if self.classes is not None and len(set(self.classes.values())) < len(self.classes):
            raise ValueError("two classes have the same name")
        return self


@dataclass(frozen=True)
class Table:
    """A file as read: ``classes`` and ``polygons`` (row,) int64, ``values`` (row, date, band) float32."""

    path: Path
    classes: NDArray[np.int64]
    polygons: NDArray[np.int64]
    values: NDArray[np.float32]


def read_table(path: Path, bands: int) -> Table:
    """Read a file. Raises DataError, with file and line, on rows of different lengths and on what is not a number."""
    try:
        with path.open(encoding="utf-8") as file, warnings.catch_warnings(action="ignore"):
            numbers = np.loadtxt(file, delimiter=",", comments=None, dtype=np.float64, ndmin=2)
    except ValueError as error:
        raise _explained(path, error) from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=str(path)) from error
    rows, columns = numbers.shape
    if rows == 0:
        raise DataError("the file is empty", where=str(path))
    if columns <= _LEADING or (columns - _LEADING) % bands:
        raise DataError(
            f"{columns} columns are not class, polygon and {bands} bands per date",
            where=f"{path}:1",
            hint="name all bands by the option bands, in the order of the file",
        )
    leading = numbers[:, :_LEADING]
    with np.errstate(invalid="ignore"):
        wrong = ~(np.isfinite(leading) & (leading == np.floor(leading)) & (np.abs(leading) < 2**53))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        what = ("class", "polygon")[column]
        raise DataError(
            f"{what} {leading[row, column]:g} is not a whole number", where=f"{path}:{_line_of(path, int(row))}"
        )
    at = first_not_finite(numbers)
    if at is not None:
        date, band = divmod(at[1] - _LEADING, bands)
        raise DataError(
            f"{numbers[at]} is not a finite value: date {date + 1}, band {band + 1}",
            where=f"{path}:{_line_of(path, at[0])}",
        )
    with np.errstate(over="ignore"):
        values = numbers[:, _LEADING:].astype(np.float32).reshape(rows, -1, bands)
    return Table(path, leading[:, 0].astype(np.int64), leading[:, 1].astype(np.int64), values)


def _line_of(path: Path, row: int) -> int:
    """The line, from 1, on which a row stands: empty lines are not rows."""
    with path.open(encoding="utf-8") as file:
        lines = (number for number, line in enumerate(file, start=1) if line.strip())
        return next(number for index, number in enumerate(lines) if index == row)


def _explained(path: Path, error: ValueError) -> DataError:
    """Where and why a file cannot be read: the first line that is ragged or holds something else than numbers."""
    if isinstance(error, UnicodeDecodeError):
        return DataError("not a text file", where=str(path))
    width = 0
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            cells = line.rstrip("\r\n").split(",")
            if not line.strip():
                continue
            where = f"{path}:{number}"
            for column, cell in enumerate(cells, start=1):
                try:
                    float(cell)
                except ValueError:
                    hint = "the format has no header" if number == 1 else None
                    return DataError(f"column {column}, '{cell.strip()}', is not a number", where=where, hint=hint)
            width = width or len(cells)
            if len(cells) != width:
                return DataError(
                    f"{len(cells)} columns, but {width} in the lines before",
                    where=where,
                    hint="the file may be truncated",
                )
    return DataError(f"cannot be read ({error})", where=str(path))


def _series(table: Table, rows: NDArray[np.bool_], labels: NDArray[np.int64]) -> Series:
    values = table.values[rows]
    count, dates, bands = values.shape
    return Series(
        values=values.reshape(count * dates, bands),
        offsets=np.arange(count + 1, dtype=np.int64) * dates,
        labels=labels[rows],
        ids=np.flatnonzero(rows) + 1,
        groups=table.polygons[rows],
        regions=np.full(count, table.path.stem),
    )


def _class_names(options: Options, known: bool, numbers: NDArray[np.int64], where: Path) -> dict[int, str]:
    """The name of every class number, in the order of the numbers."""
    names = options.classes
    if names is None and known:
        names = dict(enumerate(FORMOSAT2_CLASSES))
    if names is None:
        return {number: f"class {number}" for number in numbers.tolist()}
    missing = [number for number in numbers.tolist() if number not in names]
    if missing:
        raise DataError(f"class {missing[0]} has no name", where=str(where), hint="name it in the option classes")
    return {number: names[number] for number in sorted(names)}


def _read(options: Options, folder: Path, seed: int) -> Dataset:
    train_path, test_path = find(options.train, options.base), find(options.test, options.base)
    train, test = read_table(train_path, len(options.bands)), read_table(test_path, len(options.bands))
    dates = train.values.shape[1]
    if test.values.shape[1] != dates:
        raise DataError(f"{test.values.shape[1]} dates, but {dates} in {train_path}", where=str(test_path))
    if options.days_of_year is not None and len(options.days_of_year) != dates:
        raise DataError(
            f"{len(options.days_of_year)} days for {dates} dates of {train_path}", where="data.options.days_of_year"
        )
    shared = np.intersect1d(train.polygons, test.polygons)
    if len(shared):
        raise DataError(
            f"polygon {shared[0]} is also in {train_path} ({len(shared)} shared in all)",
            where=str(test_path),
            hint="pixels of one polygon must not straddle a split: they are near copies of one another",
        )
    known = (file_hash(train_path), file_hash(test_path)) == FORMOSAT2_SAMPLE
    names = _class_names(options, known, np.union1d(train.classes, test.classes), train_path)
    numbers = np.array(list(names), dtype=np.int64)
    valid_rows = held_out(train.classes, train.polygons, options.valid_fraction, seed)
    if not valid_rows.any():
        raise DataError("no class has a second polygon to validate on", where=str(train_path))
    train_labels, test_labels = (np.searchsorted(numbers, table.classes) for table in (train, test))
    told = options.told(_FORMOSAT2 if known else None)
    info = DatasetInfo(
        name=options.name,
        title=told["title"] or f"Image time series of {train_path.name} and {test_path.name}",
        synthetic=False,
        bands=tuple(Band(name, told["unit"]) for name in options.bands),
        class_names=tuple(names.values()),
        licence=told["licence"],
        citation=told["citation"],
        doi=told["doi"],
        url=told["url"],
        notes=(
            "The files hold no pixel ids: an id is the number of the row in its file, from 1; the region is the file.",
            f"Validation: {valid_rows.sum()} of {len(valid_rows)} rows of {train_path.name}, whole polygons, about "
            f"{options.valid_fraction:g} of every class, seed {seed}. "
            f"Test: {test_path.name}, none of its polygons shared.",
            *((_FORMOSAT2_NOTE,) if known and options.classes is None else ()),
        ),
    )
    parts: dict[Part, Series] = {
        "train": _series(train, ~valid_rows, train_labels),
        "valid": _series(train, valid_rows, train_labels),
        "test": _series(test, np.ones(len(test.classes), dtype=bool), test_labels),
    }
    extras = {} if options.days_of_year is None else {"days_of_year": list(options.days_of_year)}
    return Dataset(info=info, parts=parts, dates=dates, normalisation="percentile", extras=extras)


def _fingerprint(options: Options) -> str:
    return named_hashes(find(name, options.base) for name in (options.train, options.test))


SOURCE = DataSource(
    name="sits-csv",
    title="image time series as CSV, the format of the original TempCNN",
    options=Options,
    read=_read,
    fingerprint=_fingerprint,
    places=("train", "test", "base"),
    obtain="name your own CSV files as train and test, or take the sample in example/ of github.com/charlotte-pel/temporalCNN",
)
