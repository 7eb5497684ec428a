"""What KNMI publishes of its radar composites, and how it becomes the folder that the data source reads.

KNMI Data Platform, Open Data API: a dataset of a version lists its files by name, and gives each a temporary address::

    <base>/datasets/<name>/versions/<version>/files?maxKeys=1000&startAfterFilename=<file>
    <base>/datasets/<name>/versions/<version>/files/<file>/url

Both want a key in the header ``Authorization``, which everyone gets at the developer portal; the temporary address does not,
and is never sent it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from harness.data.dataset import Wanted
from harness.data.transfer import Progress, ask, check_address, fetch
from harness.errors import DataError

BASE_URL = "https://api.dataplatform.knmi.nl/open-data/v1"

#: Name the user's key, and another base address.
KEY_VARIABLE, ENVIRONMENT_VARIABLE = "KNMI_API_KEY", "HARNESS_KNMI_URL"

#: Where a key is had.
PORTAL = "https://developer.dataplatform.knmi.nl"

INTERVAL = timedelta(minutes=5)

#: Files that one answer lists at most, and frames that one command fetches at most: thirty days.
_PAGE, MOST_FRAMES = 1000, 30 * 288

_HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Product:
    """A product in single files: how their names begin, and the dataset and version that lists them."""

    prefix: str
    dataset: str
    version: str
    title: str

    def file(self, time: datetime) -> str:
        """The name of the file whose measurement ends at a time (UTC)."""
        return f"{self.prefix}_{time:%Y%m%d%H%M}.h5"


PRODUCTS = (
    Product("RAD_NL25_PCP_NA", "radar_reflectivity_composites", "2.0", "reflectivity in dBZ"),
    Product("RAD_NL25_RAC_RT", "nl_rdr_data_rtcor_5m", "1.0", "rainfall in 5 minutes, corrected in real time"),
)


def obtain(root: Path, wanted: Wanted, progress: Progress) -> list[Path]:
    """Put the frames of the period that is wanted below ``root``; returns their files, sorted.

    Files that are there and whole are kept; what was interrupted goes on. Raises DataError without a key, on a period that is
    none, where KNMI has not all of its frames, and where a file cannot be had or is not what it should be; StoreError where
    the folder cannot be written.
    """
    if wanted.regions or wanted.level is not None or not wanted.shapefile or wanted.any_size:
        raise DataError(
            "has no regions, levels or outlines", where="knmi-radar", hint="choose --product, --from and --to"
        )
    product, times = _product(wanted.product), _times(wanted)
    base = check_address(wanted.base_url or os.environ.get(ENVIRONMENT_VARIABLE) or BASE_URL)
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        raise DataError(
            "the key of KNMI's open-data interface is not known",
            where="knmi-radar",
            hint=f"get one at {PORTAL} and set the environment variable {KEY_VARIABLE}",
        )
    files = [product.file(time) for time in times]
    needed = [name for name in files if not _whole(root / name, None)]
    if needed:
        listing = f"{base}/datasets/{product.dataset}/versions/{product.version}/files"
        sizes = dict(_listed(listing, key, product, needed[0], needed[-1]))
        absent = [name for name in needed if name not in sizes]
        if absent:
            raise DataError(
                f"KNMI lists no {absent[0]}" + (f" and {len(absent) - 1} more of {len(needed)}" if absent[1:] else ""),
                where=listing,
                hint="choose a period that is published without gaps",
            )
        for name in needed:
            address = _address(f"{listing}/{quote(name)}/url", key)
            fetch(address, root / name, _check(sizes[name]), progress)
    return sorted(root / name for name in files)


def _product(prefix: str | None) -> Product:
    named = {product.prefix: product for product in PRODUCTS}
    if prefix is None:
        return PRODUCTS[0]
    if prefix not in named:
        near = get_close_matches(prefix, named, n=1)
        offered = ", ".join(f"{product.prefix} ({product.title})" for product in PRODUCTS)
        hint = f"did you mean '{near[0]}'?" if near else f"choose one of {offered}"
        raise DataError(f"there is no product '{prefix}' in single files", where="--product", hint=hint)
    return named[prefix]


def _times(wanted: Wanted) -> list[datetime]:
    """The ends of the measurements of a period, first and last included."""
    first, last = _time(wanted.first, "--from"), _time(wanted.last, "--to")
    if last < first:
        raise DataError(f"ends before it begins, {first:%Y-%m-%dT%H:%M}", where="--to", hint="name a later time")
    count = int((last - first) / INTERVAL) + 1
    if count > MOST_FRAMES:
        raise DataError(f"{count} frames are too many at once", where="--to", hint=f"take {MOST_FRAMES} at most")
    return [first + index * INTERVAL for index in range(count)]


def _time(text: str | None, option: str) -> datetime:
    try:
        if text is None:
            raise ValueError
        time = datetime.fromisoformat(text)
    except ValueError as error:
        found = "no time is named" if text is None else f"'{text}' is not a time"
        raise DataError(found, where=option, hint="write it as 2024-07-09T12:00, in UTC") from error
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    if time.second or time.microsecond or time.minute % 5:
        raise DataError(
            f"'{text}' is not a multiple of five minutes", where=option, hint="frames are five minutes apart"
        )
    return time


def _listed(listing: str, key: str, product: Product, first: str, last: str) -> Iterator[tuple[str, int]]:
    """Name and size of the published files of a product from ``first`` to ``last``, in order."""
    # Files are listed after a name: the one that would come right before the first.
    after = first.removesuffix(".h5")
    while True:
        query = urlencode({"maxKeys": _PAGE, "startAfterFilename": after})
        answer = _asked(f"{listing}?{query}", key)
        try:
            page = [(str(file["filename"]), int(file["size"])) for file in answer["files"]]
            more = bool(answer.get("isTruncated", False))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError("the answer is not a list of files", where=listing) from error
        yield from ((name, size) for name, size in page if first <= name <= last and name.startswith(product.prefix))
        if not more or not page or page[-1][0] >= last:
            return
        if page[-1][0] <= after:
            raise DataError("the list of files does not go on", where=listing)
        after = page[-1][0]


def _address(url: str, key: str) -> str:
    answer = _asked(url, key)
    address = answer.get("temporaryDownloadUrl") if isinstance(answer, dict) else None
    if not isinstance(address, str):
        raise DataError("the answer holds no temporaryDownloadUrl", where=url)
    return check_address(address)


def _asked(url: str, key: str) -> Any:
    return ask(url, {"Authorization": key}, f"the key in {KEY_VARIABLE} is refused: get a valid one at {PORTAL}")


def _whole(path: Path, size: int | None) -> bool:
    try:
        _check(size)(path)
    except (DataError, OSError):
        return False
    return True


def _check(size: int | None) -> Callable[[Path], None]:
    def check(path: Path) -> None:
        with path.open("rb") as file:
            if file.read(len(_HDF5)) != _HDF5:
                raise DataError("not an HDF5 file", where=str(path))
        found = path.stat().st_size
        if size is not None and found != size:
            raise DataError(f"has {found} bytes, not the {size} that were listed", where=str(path))

    return check
