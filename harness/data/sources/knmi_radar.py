"""KNMI's 5-minute radar composites of the Netherlands: sequences of frames to forecast.

Two products are read alike: rainfall accumulations (``RAD_NL25_RAP_5min``, uint16, 0.01 mm per count, as rates in mm/h)
and reflectivities (``RAD_NL25_PCP_NA``, uint8, dBZ). All files of a product lie in one folder.

With ``size: [344, 315]``, the default, reflectivities become what Demetrakopoulos (2023) trains on, arXiv:2312.01197:
resampled counts divided by 255.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from harness.data.composites import Quantity, stamped_time
from harness.data.dataset import Band, DatasetInfo, DataSource, FrameDataset, Wanted
from harness.data.frames import FrameReader, SequenceOptions, cut, described, runs_of
from harness.data.locate import find_folder
from harness.errors import DataError

#: Thresholds of what is decided on unless a scenario says otherwise: light to heavy rain. 15, 25 and 35 dBZ are about 0.3,
#: 1.3 and 5.6 mm/h by Z = 200 R^1.6 (Marshall and Palmer 1948).
THRESHOLDS: dict[Quantity, tuple[float, ...]] = {"rain-rate": (0.5, 2.0, 5.0), "reflectivity": (15.0, 25.0, 35.0)}

#: The rain rate in mm/h that becomes 1 unless a scenario says otherwise.
TOP_RATE = 100.0

_NAMES: dict[Quantity, tuple[str, str]] = {
    "rain-rate": ("rain_rate", "rain rate from the accumulation of one interval"),
    "reflectivity": ("reflectivity", "radar reflectivity at 1.5 km height"),
}
_SUFFIXES = (".h5", ".hf5", ".hdf5")


class Options(SequenceOptions):
    """Options of the data source ``knmi-radar``."""

    root: str = Field(
        default="knmi-radar",
        description="folder of the files; looked for here, then below the folder HARNESS_DATA names",
    )
    product: str | None = Field(
        default=None, description="how file names begin, e.g. RAD_NL25_RAP_5min; needed where a folder holds several"
    )
    minutes: int = Field(default=5, ge=1, le=1440, description="minutes from one frame to the next")
    size: tuple[int, int] | None = Field(
        default=(344, 315), description="rows and columns that frames are resampled to; null: as they are"
    )


def product_files(folder: Path, product: str | None) -> list[Path]:
    """The files of one product in a folder, sorted by name. Raises DataError on none, and on several products."""
    files = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES and not path.name.startswith("."))
    products = sorted({path.stem.rpartition("_")[0] for path in files})
    if product is not None:
        kept = [path for path in files if path.stem.rpartition("_")[0] == product]
        if not kept:
            raise DataError(
                f"holds no file {product}_YYYYMMDDHHMM.h5",
                where=str(folder),
                hint=f"there are files of {', '.join(products)}" if products else "see `harness data get knmi-radar`",
            )
        return kept
    if not files:
        raise DataError("holds no .h5 file", where=str(folder), hint="see `harness data get knmi-radar`")
    if len(products) > 1:
        raise DataError(
            f"holds files of several products: {', '.join(products)}",
            where=str(folder),
            hint="name one by the option product",
        )
    return files


def read_frames(
    files: Sequence[Path], options: SequenceOptions, interval: timedelta, info: DatasetInfo, where: str
) -> FrameDataset:
    """Frames of composites as a data set; ``info`` lacks its band and what is known of the frames only, which is added."""
    runs, gap_notes = runs_of(files, interval, options.gaps)
    ordered = [path for run in runs for path in run]
    reader = FrameReader(options.size, options.rounding)
    shape: tuple[int, ...] = ()
    values = np.empty(0, dtype=np.float32)
    valid = np.empty(0, dtype=np.bool_)
    for index, path in enumerate(ordered):
        counts, known = reader.read(path)
        if not index:
            shape = counts.shape
            values = np.empty((len(ordered), *shape), dtype=np.float32)
            valid = np.empty((len(ordered), *shape), dtype=np.bool_)
        values[index], valid[index] = counts, known
    calibration = reader.calibration
    if calibration is None:
        raise ValueError("no frame was read")
    bottom, top, thresholds = _scale(options, calibration.quantity, calibration.gain, calibration.offset)
    physical = np.where(valid, values.astype(np.float64) * calibration.gain + calibration.offset, 0.0)
    outside = int(np.count_nonzero(valid & ((physical > top) | (physical < bottom))))
    notes = list(gap_notes)
    if outside:
        notes.append(
            f"{outside} of {int(valid.sum())} pixels lie outside of {bottom:g} to {top:g} {calibration.unit} and were cut off."
        )
        physical = np.where(valid, np.clip(physical, bottom, top), 0.0)
    if calibration.missing_is_lowest:
        notes.append("Count 0, which the files call missing, is the bottom of the reflectivity scale: no echo.")
    parts = cut(physical.astype(np.float32), valid, [stamped_time(path) for path in ordered], options, interval, where)
    notes += described(parts, options)
    name, description = _NAMES[calibration.quantity]
    return FrameDataset(
        info=replace(info, bands=(Band(name, calibration.unit, description),), notes=(*info.notes, *notes)),
        parts=parts,
        history=options.history,
        horizon=options.horizon,
        interval=int(interval.total_seconds()),
        bottom=bottom,
        top=top,
        thresholds=thresholds,
        resampling=reader.resampling,
    )


def _scale(
    options: SequenceOptions, quantity: Quantity, gain: float, offset: float
) -> tuple[float, float, tuple[float, ...]]:
    """Bottom and top of the scale and the thresholds; counts of 0 and 255 for reflectivities, as pictures have them."""
    lowest, highest = (0.0, TOP_RATE) if quantity == "rain-rate" else (offset, 255 * gain + offset)
    bottom = lowest if options.bottom is None else options.bottom
    top = highest if options.top is None else options.top
    if bottom >= top:
        raise DataError(f"bottom {bottom:g} does not lie below top {top:g}", where="data.options")
    thresholds = options.thresholds or tuple(one for one in THRESHOLDS[quantity] if bottom < one <= top)
    wrong = [one for one in thresholds if not bottom < one <= top]
    if wrong or not thresholds:
        raise DataError(
            f"no threshold of {list(thresholds)} may lie outside of {bottom:g} to {top:g}",
            where="data.options.thresholds",
            hint="state thresholds within bottom and top",
        )
    return bottom, top, thresholds


def _files(options: Options) -> tuple[Path, list[Path]]:
    folder = find_folder(options.root)
    return folder, product_files(folder, options.product)


def _read(options: Options, folder: Path, seed: int) -> FrameDataset:
    root, files = _files(options)
    product = files[0].stem.rpartition("_")[0]
    info = DatasetInfo(
        name="knmi-radar",
        title=f"KNMI radar composites of the Netherlands, {product}",
        synthetic=False,
        bands=(),
        class_names=(),
        licence="CC BY 4.0 (KNMI Data Platform)",
        citation="Royal Netherlands Meteorological Institute (KNMI): radar composites over the Netherlands, KNMI Data Platform.",
        url="https://dataplatform.knmi.nl",
    )
    return read_frames(files, options, timedelta(minutes=options.minutes), info, str(root))


def _fingerprint(options: Options) -> str:
    """SHA-256 over names and contents of all files: they are small, and times of modification come and go."""
    digest = hashlib.sha256()
    for path in _files(options)[1]:
        digest.update(path.name.encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _download(folder: Path, wanted: Wanted, progress: Any) -> list[Path]:
    from harness.data.knmi_published import obtain

    return obtain(folder, wanted, progress)


SOURCE = DataSource(
    name="knmi-radar",
    title="KNMI's 5-minute radar composites of the Netherlands: sequences of frames to forecast",
    options=Options,
    read=_read,
    fingerprint=_fingerprint,
    places=("root",),
    download=_download,
    obtain="fetch it with `harness data get knmi-radar --from 2024-07-09T00:00 --to 2024-07-09T23:55`, with a key of KNMI",
    kind="frames",
    tasks=("forecast",),
)
