"""What the makers of BreizhCrops publish, where, and how it becomes the folder that the data source reads.

Addresses and sizes: breizhcrops/datasets/urls.py of github.com/dl4sits/BreizhCrops. Below the base address lie::

    classmapping.csv  codes.csv
    2017/<level>/<region>.csv  2017/<level>/<region>.h5.tar.gz
    2017/shp/<region>.tar.gz

Data of 2018 are published as raw CSV files only, not as HDF5.
"""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from harness.data.archives import unpack
from harness.data.breizhcrops_layout import Level
from harness.data.dataset import Wanted
from harness.data.transfer import Progress, check_address, fetch
from harness.errors import DataError

BASE_URL = "https://breizhcrops.s3.eu-central-1.amazonaws.com"

#: Names another base address, of a mirror.
ENVIRONMENT_VARIABLE = "HARNESS_BREIZHCROPS_URL"

YEAR = 2017

#: Bytes of the unpacked HDF5 files by level and region. Belle-Île and Kermaux are small parts of Brittany, for trying out.
SIZES: dict[Level, dict[str, int]] = {
    "L1C": {
        "frh01": 2_559_635_960,
        "frh02": 2_253_658_856,
        "frh03": 2_493_572_704,
        "frh04": 1_555_075_632,
        "belle-ile": 17_038_944,
        "kermaux": 1_259_784,
    },
    "L2A": {
        "frh01": 987_259_904,
        "frh02": 803_457_960,
        "frh03": 890_027_448,
        "frh04": 639_215_848,
        "belle-ile": 8_037_952,
    },
}

#: No file of the data set unpacks to more: its largest HDF5 file has 2.6 GB.
_LARGEST = 4 << 30

#: What a shapefile consists of at least.
_SHAPEFILE = (".shp", ".shx", ".dbf")

_HDF5 = b"\x89HDF\r\n\x1a\n"
_INDEX_COLUMNS = ("CODE_CULTU", "path", "sequencelength")
_CLASS_COLUMNS = ("id", "classname", "code")


def obtain(root: Path, wanted: Wanted, progress: Progress) -> list[Path]:
    """Put the regions that are wanted below ``root``, as the data source reads them; returns their files, sorted.

    Files that are there and whole are kept; what was interrupted goes on. Raises DataError on unknown regions or levels,
    and where a file cannot be had or is not what it should be; StoreError where the folder cannot be written.
    """
    if wanted.product is not None or wanted.first is not None or wanted.last is not None:
        raise DataError("has no products or periods", where="breizhcrops", hint="choose --region and --level")
    level, regions = _chosen(wanted)
    base = check_address(wanted.base_url or os.environ.get(ENVIRONMENT_VARIABLE) or BASE_URL)
    files = [root / "classmapping.csv", root / "codes.csv"]
    _get(f"{base}/classmapping.csv", files[0], _table_of(_CLASS_COLUMNS), progress)
    _get(f"{base}/codes.csv", files[1], _not_empty, progress)
    for region in regions:
        folder = root / str(YEAR) / level
        address = f"{base}/{YEAR}/{level}/{region}"
        _get(f"{address}.csv", folder / f"{region}.csv", _table_of(_INDEX_COLUMNS), progress)
        size = None if wanted.any_size else SIZES[level][region]
        files.append(folder / f"{region}.csv")
        files.append(_series(f"{address}.h5.tar.gz", folder / f"{region}.h5", size, progress))
        if wanted.shapefile:
            files.extend(_shapefile(f"{base}/{YEAR}/shp/{region}.tar.gz", root / str(YEAR), region, progress))
    return sorted(files)


def _chosen(wanted: Wanted) -> tuple[Level, tuple[str, ...]]:
    levels = {str(level): level for level in SIZES}
    level = levels.get(wanted.level or "L1C")
    if level is None:
        raise DataError(f"there is no level '{wanted.level}'", where="--level", hint=f"choose {' or '.join(levels)}")
    offered = ", ".join(f"{region} ({size / 1e6:.0f} MB)" for region, size in SIZES[level].items())
    if not wanted.regions:
        raise DataError("no region is named", where="--region", hint=f"choose one or more of {offered}")
    for region in wanted.regions:
        if region not in SIZES[level]:
            near = get_close_matches(region, SIZES[level], n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"choose one or more of {offered}"
            raise DataError(f"{level} has no region '{region}'", where="--region", hint=hint)
    return level, tuple(dict.fromkeys(wanted.regions))


def _get(url: str, target: Path, check: Callable[[Path], None], progress: Progress) -> None:
    """Fetch a file unless it is there and as it should be."""
    if target.is_file():
        try:
            check(target)
            return
        except DataError:
            # Cut short by something else than this command: fetched anew.
            pass
    fetch(url, target, check, progress)


def _series(url: str, target: Path, size: int | None, progress: Progress) -> Path:
    """The HDF5 file of a region, unpacked from its archive, which is removed afterwards."""
    if target.is_file():
        try:
            _check_series(target, size)
            return target
        except DataError:
            target.unlink()
    archive = target.with_name(f"{target.name}.tar.gz")
    _get(url, archive, _archive, progress)
    with _used_up(archive):
        unpack(archive, target.parent, lambda name: name == target.name, _LARGEST, progress)
        if not target.is_file():
            raise DataError(f"the archive does not hold {target.name}", where=url)
        try:
            _check_series(target, size)
        except DataError:
            target.unlink()
            raise
    return target


@contextlib.contextmanager
def _used_up(archive: Path) -> Iterator[None]:
    """Remove an archive that is done with, or broken; one that only found no room, or was interrupted, is kept."""
    try:
        yield
    except DataError:
        archive.unlink()
        raise
    archive.unlink()


def _check_series(path: Path, size: int | None) -> None:
    with path.open("rb") as file:
        if file.read(len(_HDF5)) != _HDF5:
            raise DataError("not an HDF5 file", where=str(path))
    found = path.stat().st_size
    if size is not None and found != size:
        raise DataError(
            f"has {found} bytes, not the {size} that were published",
            where=str(path),
            hint="take it as it is with --any-size, if its maker is known",
        )


def _shapefile(url: str, folder: Path, region: str, progress: Progress) -> list[Path]:
    """The parcels' outlines, unpacked beside the levels, as the original package does."""
    needed = [folder / f"{region}{suffix}" for suffix in _SHAPEFILE]
    if not all(path.is_file() for path in needed):
        archive = folder / f"{region}.tar.gz"
        _get(url, archive, _archive, progress)
        with _used_up(archive):
            # Not the archive itself, should it hold one of its own name.
            unpack(
                archive, folder, lambda name: name.startswith(f"{region}.") and name != archive.name, _LARGEST, progress
            )
            missing = next((path for path in needed if not path.is_file()), None)
            if missing is not None:
                raise DataError(f"the archive does not hold {missing.name}", where=url)
    return [path for path in folder.glob(f"{region}.*") if path.is_file()]


def _not_empty(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(256).lstrip().lower()
    if not head or head.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise DataError("not the data: the server sent a web page or nothing", where=str(path))


def _archive(path: Path) -> None:
    _not_empty(path)
    with path.open("rb") as file:
        if not file.read(4).startswith((b"\x1f\x8b", b"PK\x03\x04")):
            raise DataError("not an archive", where=str(path), hint="look at the address with a browser")


def _table_of(columns: Sequence[str]) -> Callable[[Path], None]:
    def check(path: Path) -> None:
        _not_empty(path)
        try:
            with path.open(newline="", encoding="utf-8") as file:
                header = next(csv.reader(file), [])
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"not a CSV file ({error})", where=str(path)) from error
        missing = [name for name in columns if name not in header]
        if missing:
            raise DataError(f"column {missing[0]} is missing; there are {', '.join(header[:20])}", where=str(path))

    return check
