"""The folder layout of BreizhCrops: which files there are, what stands in them, and how they are read.

::

    <root>/classmapping.csv                     columns id, classname, code: crop codes merged into classes
    <root>/<year>/<level>/<region>.csv          index: CODE_CULTU, path, sequencelength, id of every parcel
    <root>/<year>/<level>/<region>.h5           one dataset (date, column) per parcel, named by ``path``

``<root>/<region>.csv`` and ``.h5``, the layout of the package's first releases, are read as well. Parcels whose crop
code is not in the class mapping are left out, as in the original, and so are parcels without dates.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.data.checks import first_not_finite
from harness.data.dataset import PARTS, Band, Part, Series
from harness.data.draw import draw
from harness.errors import DataError

Level = Literal["L1C", "L2A"]

#: Bands in the order of the model's channels: the original's ``selected_bands``.
BANDS: dict[Level, tuple[str, ...]] = {
    "L1C": ("B1", "B10", "B11", "B12", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9"),
    "L2A": ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12"),
}

_QUALITY = ("QA10", "QA20", "QA60", "doa")

#: Columns of the HDF5 datasets. The package changed its list in 2021 without a change in the files' names or sizes, so
#: both orders may be met; ``lexical`` is that of the first releases.
COLUMNS: dict[Level, dict[str, tuple[str, ...]]] = {
    "L1C": {
        "lexical": (*BANDS["L1C"], *_QUALITY),
        "spectral": (
            *("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12"),
            *_QUALITY,
        ),
    },
    "L2A": {
        "date-last": (*BANDS["L2A"], "CLD", "EDG", "SAT", "doa"),
        "date-first": ("doa", *BANDS["L2A"], "CLD", "EDG", "SAT"),
    },
}

#: Sentinel-2 bands: central wavelength in nanometres and use.
DESCRIPTIONS = {
    "B1": "443 nm, coastal aerosol",
    "B2": "490 nm, blue",
    "B3": "560 nm, green",
    "B4": "665 nm, red",
    "B5": "705 nm, red edge",
    "B6": "740 nm, red edge",
    "B7": "783 nm, red edge",
    "B8": "842 nm, near infrared",
    "B8A": "865 nm, narrow near infrared",
    "B9": "945 nm, water vapour",
    "B10": "1375 nm, cirrus",
    "B11": "1610 nm, short-wave infrared",
    "B12": "2190 nm, short-wave infrared",
}

#: Dates that the original draws from every series.
DATES = 45
#: From digital numbers to reflectance.
FACTOR = 1e-4

#: The split of the paper's validation mode, tested on the region that the paper evaluates on.
SPLIT: dict[Part, tuple[str, ...]] = {"train": ("frh01", "frh02"), "valid": ("frh03",), "test": ("frh04",)}

#: Parcels that are read to tell the order of columns, and the share of the other column that the cirrus band may reach.
_INSPECTED_PARCELS, _CIRRUS_RATIO = 64, 0.5


@dataclass(frozen=True)
class ClassMapping:
    """Class names in the order of their ids, and the class (index) of every crop code."""

    names: tuple[str, ...]
    classes: dict[str, int]


@dataclass(frozen=True)
class Parcel:
    """A row of the index."""

    identifier: int
    path: str
    label: int


def bands(level: Level) -> tuple[Band, ...]:
    """The bands of a level in the order of the channels."""
    return tuple(Band(name, "reflectance x 10000", DESCRIPTIONS[name]) for name in BANDS[level])


def _rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and row of a CSV with a header; raises DataError on a missing file, column or cell."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in needed if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(
                    f"column {missing[0]} is missing; there are {', '.join(reader.fieldnames or ['none'])}",
                    where=str(path),
                )
            for row in reader:
                if any(not row[name] for name in needed):
                    raise DataError("the row is cut short", where=f"{path}:{reader.line_num}")
                yield reader.line_num, row
    except FileNotFoundError as error:
        raise DataError("the file does not exist", where=str(path), hint=LAYOUT_HINT) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"not a CSV file ({error})", where=str(path)) from error


LAYOUT_HINT = "the root holds classmapping.csv and 2017/L1C/<region>.csv and .h5, see `harness data get breizhcrops`"


def _integer(text: str, what: str, where: str) -> int:
    try:
        number = float(text)
        if number != int(number):
            raise ValueError(text)
        return int(number)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{what} '{text}' is not a whole number", where=where) from error


def read_classmapping(path: Path) -> ClassMapping:
    """Read classmapping.csv. Classes keep the order of their ids, which need not be without gaps."""
    names: dict[int, str] = {}
    codes: dict[str, int] = {}
    for line, row in _rows(path, ("id", "classname", "code")):
        identifier = _integer(row["id"], "class id", f"{path}:{line}")
        names.setdefault(identifier, row["classname"])
        if codes.setdefault(row["code"], identifier) != identifier:
            raise DataError(f"crop code {row['code']} is mapped to two classes", where=f"{path}:{line}")
    order = {identifier: index for index, identifier in enumerate(sorted(names))}
    if not order:
        raise DataError("no class is mapped", where=str(path))
    return ClassMapping(
        tuple(names[identifier] for identifier in order), {code: order[number] for code, number in codes.items()}
    )


def read_index(path: Path, mapping: ClassMapping) -> list[Parcel]:
    """The parcels of a region that are mapped to a class and have dates, in the order of the index."""
    parcels = []
    for line, row in _rows(path, ("CODE_CULTU", "path", "sequencelength")):
        label = mapping.classes.get(row["CODE_CULTU"])
        if label is None or _integer(row["sequencelength"], "sequencelength", f"{path}:{line}") < 1:
            continue
        identifier = row.get("id") or Path(row["path"]).stem
        parcels.append(Parcel(_integer(identifier, "parcel id", f"{path}:{line}"), row["path"], label))
    return parcels


def column_order(level: Level, sample: NDArray[np.float64], where: str) -> str:
    """Which of :data:`COLUMNS` a file has, told from values (date, column).

    The cirrus band B10 sees almost nothing of the ground: it is by far the darker of the two columns where it may be.
    The date of acquisition, in nanoseconds, is larger than any reflectance. Raises DataError where neither is plain.
    """
    orders = COLUMNS[level]
    typical = np.median(sample, axis=0)
    if level == "L2A":
        return max(orders, key=lambda order: typical[orders[order].index("doa")])
    cirrus = {order: float(typical[columns.index("B10")]) for order, columns in orders.items()}
    darkest, other = sorted(cirrus, key=lambda order: cirrus[order])
    if cirrus[darkest] > _CIRRUS_RATIO * cirrus[other]:
        raise DataError(
            "cannot tell the order of the bands: neither column 2 nor column 11 is as dark as the cirrus band B10",
            where=where,
            hint="state it by the option columns: lexical (B1, B10, B11, ...) or spectral (B1, B2, B3, ...)",
        )
    return darkest


def region_files(root: Path, year: int, level: Level, region: str) -> tuple[Path, Path]:
    """Index and HDF5 file of a region, in the nested layout or in the flat one of the first releases."""
    for folder in (root / str(year) / level, root):
        if (folder / f"{region}.csv").exists():
            return folder / f"{region}.csv", folder / f"{region}.h5"
    raise DataError(
        f"there is no index of region {region}",
        where=str(root / str(year) / level / f"{region}.csv"),
        hint=LAYOUT_HINT,
    )


def read_region(
    index: Path, database: Path, region: str, parcels: Sequence[Parcel], level: Level, columns: str | None = None
) -> Series:
    """Read the series of parcels of one region: float32 (date, band) in the order of :data:`BANDS`, digital numbers.

    ``columns`` names the order of the file's columns; None tells it from the values. Raises DataError, with file and
    parcel, on a missing or truncated file, a missing parcel, a wrong width or a value that is not finite.
    """
    import h5py

    if not parcels:
        raise DataError("no parcel has a mapped crop code and dates", where=str(index))
    if not database.exists():
        raise DataError("the file does not exist", where=str(database), hint=LAYOUT_HINT)
    try:
        with h5py.File(database, "r") as file:
            width = len(next(iter(COLUMNS[level].values())))
            if columns is None:
                some = parcels[:: max(1, len(parcels) // _INSPECTED_PARCELS)]
                sample = np.concatenate([_table(file, parcel, database, width) for parcel in some])
                columns = column_order(level, sample, str(database))
            chosen = [COLUMNS[level][columns].index(name) for name in BANDS[level]]
            pieces = [_table(file, parcel, database, width)[:, chosen].astype(np.float32) for parcel in parcels]
    except OSError as error:
        raise DataError(
            f"not a whole HDF5 file ({error})", where=str(database), hint="it may be truncated: download it again"
        ) from error
    lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
    values = np.concatenate(pieces)
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
    at = first_not_finite(values)
    if at is not None:
        number = int(np.searchsorted(offsets, at[0], side="right")) - 1
        raise DataError(
            f"parcel {parcels[number].identifier} holds a value that is not finite: band {BANDS[level][at[1]]}, "
            f"date {at[0] - int(offsets[number])}",
            where=f"{database}:{parcels[number].path}",
        )
    identifiers = np.array([parcel.identifier for parcel in parcels], dtype=np.int64)
    return Series(
        values=values,
        offsets=offsets,
        labels=np.array([parcel.label for parcel in parcels], dtype=np.int64),
        ids=identifiers,
        groups=identifiers,
        regions=np.full(len(parcels), region),
    )


def _table(file: Any, parcel: Parcel, database: Path, width: int) -> NDArray[np.float64]:
    where = f"{database}:{parcel.path}"
    try:
        dataset = file[parcel.path]
    except KeyError as error:
        raise DataError("the index names a parcel that the file does not hold", where=where) from error
    if getattr(dataset, "ndim", None) != 2 or dataset.shape[1] != width:
        raise DataError(f"the parcel has shape {getattr(dataset, 'shape', None)}, not (date, {width})", where=where)
    if len(dataset) == 0:
        raise DataError("the parcel has no dates, though the index says so", where=where)
    table: NDArray[np.float64] = dataset[()]
    return table


def joined(series: Sequence[Series]) -> Series:
    """Several series, one after the other."""
    starts = np.cumsum([0, *(len(one.values) for one in series)])
    return Series(
        values=np.concatenate([one.values for one in series]),
        offsets=np.concatenate(
            [
                np.zeros(1, dtype=np.int64),
                *(one.offsets[1:] + start for one, start in zip(series, starts[:-1], strict=True)),
            ]
        ),
        labels=np.concatenate([one.labels for one in series]),
        ids=np.concatenate([one.ids for one in series]),
        groups=np.concatenate([one.groups for one in series]),
        regions=np.concatenate([one.regions for one in series]),
    )


def read_layout(
    root: Path,
    *,
    year: int,
    level: Level,
    split: dict[Part, tuple[str, ...]],
    columns: str | None = None,
    parcels: int | None = None,
    seed: int = 0,
) -> tuple[dict[Part, Series], ClassMapping, tuple[str, ...]]:
    """Read a folder in BreizhCrops' layout: the parts, the class mapping and notes on what was left out.

    ``parcels`` limits every region to that many parcels, chosen by ``seed``. A parcel that lies in regions of two parts
    is kept in the later one of train, valid, test.
    """
    mapping = read_classmapping(root / "classmapping.csv")
    taken: set[int] = set()
    parts: dict[Part, Series] = {}
    notes: list[str] = []
    for part in reversed(PARTS):
        regions: list[Series] = []
        new: set[int] = set()
        for region in split[part]:
            index, database = region_files(root, year, level, region)
            listed = read_index(index, mapping)
            kept = [parcel for parcel in listed if parcel.identifier not in taken]
            if len(kept) < len(listed):
                notes.append(
                    f"{len(listed) - len(kept)} parcels of {region} are left out of the {part} part: "
                    "a later part holds them too."
                )
            if parcels is not None and parcels < len(kept):
                chosen = draw(len(kept), parcels, seed, zlib.crc32(region.encode()))
                notes.append(f"{parcels} of {len(kept)} parcels of {region} were drawn, seed {seed}.")
                kept = [kept[i] for i in chosen]
            regions.append(read_region(index, database, region, kept, level, columns))
            new.update(parcel.identifier for parcel in kept)
        taken |= new
        parts[part] = joined(regions)
    return {part: parts[part] for part in PARTS}, mapping, tuple(reversed(notes))
