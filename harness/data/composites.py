"""Radar composites of the Netherlands as KNMI publishes them: one HDF5 file per frame, read and written.

KNMI HDF5 Data Format Specification, version 3.5 (Roozekrans and Holleman 2003). Of a file these parts are used::

    overview                      product_datetime_start, product_datetime_end: 26-AUG-2010;00:05:00.000, UTC
    image1                        image_geo_parameter: what is measured, its unit in square brackets
    image1/image_data             counts (row, column): uint8 or uint16
    image1/calibration            calibration_flag, calibration_formulas: GEO=0.01*PV+0.0,
                                  calibration_missing_data, calibration_out_of_image: counts that are no measurement

Accumulations in mm become rates in mm/h over the interval that the file states; reflectivities stay in dBZ. In
reflectivities 0, the lowest count, is stated as missing and stands for "no echo": it is the bottom of the scale there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError

Quantity = Literal["rain-rate", "reflectivity"]

#: The unit of each quantity, and the one that ``image_geo_parameter`` states in brackets.
UNITS: dict[Quantity, str] = {"rain-rate": "mm/h", "reflectivity": "dBZ"}
_STATED: dict[str, Quantity] = {"MM": "rain-rate", "DBZ": "reflectivity"}

Counts = NDArray[np.uint8] | NDArray[np.uint16]

_FORMULA = re.compile(r"\s*GEO\s*=\s*([-+.\deE]+)\s*\*\s*PV\s*\+?\s*([-+.\deE]+)\s*")
_TIME = "%d-%b-%Y;%H:%M:%S.%f"
_STAMP = re.compile(r"(?<!\d)(\d{12})(?!\d)")
_AGAIN = "it may be truncated or damaged: fetch it again"


@dataclass(frozen=True)
class Calibration:
    """From counts to a physical value: gain · count + offset, in the unit of ``quantity``; counts without a measurement."""

    quantity: Quantity
    gain: float
    offset: float
    missing: int
    out_of_image: int

    @property
    def unit(self) -> str:
        """The unit of the physical values."""
        return UNITS[self.quantity]

    @property
    def missing_is_lowest(self) -> bool:
        """Whether the count called missing is the bottom of the scale, and so a measurement: no echo."""
        return self.quantity == "reflectivity" and self.missing == 0

    def valid(self, counts: Counts) -> NDArray[np.bool_]:
        """Where a count is a measurement; of the shape of ``counts``."""
        known: NDArray[np.bool_] = counts != self.out_of_image
        return known if self.missing_is_lowest else known & (counts != self.missing)


@dataclass(frozen=True)
class Composite:
    """One frame: counts (row, column) as stored, their calibration, and when the measurement ended (UTC)."""

    counts: Counts
    calibration: Calibration
    time: datetime


def stamped_time(path: Path) -> datetime:
    """The time in a file's name, ``..._YYYYMMDDHHMM.h5``. Raises DataError where there is none."""
    found = _STAMP.findall(path.stem)
    try:
        return datetime.strptime(found[-1], "%Y%m%d%H%M").replace(tzinfo=UTC)
    except (IndexError, ValueError) as error:
        raise DataError(
            "no time in the file's name", where=str(path), hint="names end in YYYYMMDDHHMM.h5, as KNMI's do"
        ) from error


def read_composite(path: Path) -> Composite:
    """Read one frame. Raises DataError, naming file and place, on anything that is not a whole composite."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return _composite(file, path)
    except FileNotFoundError as error:
        raise DataError("the file does not exist", where=str(path)) from error
    except (OSError, RuntimeError) as error:
        raise DataError(f"not a whole HDF5 file ({error})", where=str(path), hint=_AGAIN) from error


def _composite(file: Any, path: Path) -> Composite:
    image = file.get("image1/image_data")
    counts = image[()] if getattr(image, "shape", None) else None
    if counts is None or counts.ndim != 2 or counts.dtype not in (np.uint8, np.uint16) or not counts.size:
        found = "nothing" if counts is None else f"{counts.dtype} of shape {counts.shape}"
        raise DataError(
            f"holds {found}, not counts (row, column) of uint8 or uint16", where=f"{path}:image1/image_data"
        )
    start = _time(file, "product_datetime_start", path)
    end = _time(file, "product_datetime_end", path)
    if end != stamped_time(path):
        raise DataError(
            f"the measurement ended at {end:%Y-%m-%d %H:%M}, the file's name says {stamped_time(path):%Y-%m-%d %H:%M}",
            where=str(path),
            hint="a file was renamed: fetch it again",
        )
    calibration = _calibration(file, path, end - start)
    # Little-endian on any machine, and in memory of its own.
    plain = np.ascontiguousarray(counts, dtype=counts.dtype.newbyteorder("="))
    if not calibration.valid(plain).any():
        raise DataError(
            "every pixel is no-data", where=f"{path}:image1/image_data", hint="leave the period out, or fetch it again"
        )
    return Composite(plain, calibration, end)


def _calibration(file: Any, path: Path, interval: timedelta) -> Calibration:
    place = "image1/calibration"
    where = f"{path}:{place}"
    flag, formula = _text(file, place, "calibration_flag", path), _text(file, place, "calibration_formulas", path)
    if flag != "Y":
        raise DataError(f"calibration_flag is '{flag}': the counts are not calibrated", where=where)
    found = _FORMULA.fullmatch(formula)
    try:
        gain, offset = (float(number) for number in found.groups()) if found else (0.0, 0.0)
    except ValueError:
        gain, offset = 0.0, 0.0
    if not (np.isfinite([gain, offset]).all() and gain > 0):
        raise DataError(
            f"the calibration '{formula}' is not of the form GEO=gain*PV+offset with a gain above 0", where=where
        )
    parameter = _text(file, "image1", "image_geo_parameter", path)
    unit = parameter.rpartition("[")[2].rstrip("] ").upper()
    quantity = _STATED.get(unit)
    if quantity is None:
        raise DataError(
            f"measures {parameter}: neither an accumulation in mm nor a reflectivity in dBZ", where=f"{path}:image1"
        )
    if quantity == "rain-rate":
        hours = interval / timedelta(hours=1)
        if hours <= 0:
            raise DataError(
                "an accumulation over no time: product_datetime_start is not before product_datetime_end",
                where=f"{path}:overview",
            )
        # 0.01 mm in 5 minutes is 0.12 mm/h.
        gain, offset = gain / hours, offset / hours
    missing = _integer(file, place, "calibration_missing_data", path)
    return Calibration(quantity, gain, offset, missing, _integer(file, place, "calibration_out_of_image", path))


def _attribute(file: Any, place: str, name: str, path: Path) -> Any:
    group = file.get(place)
    if group is None or name not in group.attrs:
        raise DataError(
            f"lacks the attribute {name}", where=f"{path}:{place}", hint="it is no KNMI composite, or damaged"
        )
    value = group.attrs[name]
    return value.reshape(-1)[0] if isinstance(value, np.ndarray) and value.size else value


def _text(file: Any, place: str, name: str, path: Path) -> str:
    value = _attribute(file, place, name, path)
    return (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)).strip(" \0")


def _integer(file: Any, place: str, name: str, path: Path) -> int:
    value = _attribute(file, place, name, path)
    try:
        number = float(value)
        if number != int(number):
            raise ValueError(value)
        return int(number)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{name} '{value}' is not a whole number", where=f"{path}:{place}") from error


def _time(file: Any, name: str, path: Path) -> datetime:
    text = _text(file, "overview", name, path)
    try:
        return datetime.strptime(text.title(), _TIME).replace(tzinfo=UTC)
    except ValueError as error:
        raise DataError(
            f"{name} '{text}' is not a time like 26-AUG-2010;00:05:00.000", where=f"{path}:overview"
        ) from error


def write_composite(path: Path, composite: Composite, interval: timedelta, product: str) -> None:
    """Write one frame with the groups and attributes that :func:`read_composite` reads, and those that viewers want."""
    import h5py

    calibration = composite.calibration
    hours = interval / timedelta(hours=1) if calibration.quantity == "rain-rate" else 1.0
    parameter = {"rain-rate": "ACCUMULATED_PRECIPITATION_[MM]", "reflectivity": "REFLECTIVITY_[DBZ]"}
    rows, columns = composite.counts.shape
    # In memory first: HDF5 itself crashes the process when a disk is full.
    with h5py.File(path.name, "w", driver="core", backing_store=False) as file:
        overview = file.create_group("overview")
        overview.attrs["product_datetime_start"] = _stamp(composite.time - interval)
        overview.attrs["product_datetime_end"] = _stamp(composite.time)
        overview.attrs["product_group_name"] = np.bytes_(product)
        overview.attrs["number_image_groups"] = np.array([1], dtype=np.int32)
        geographic = file.create_group("geographic")
        geographic.attrs["geo_number_rows"] = np.array([rows], dtype=np.int32)
        geographic.attrs["geo_number_columns"] = np.array([columns], dtype=np.int32)
        image = file.create_group("image1")
        image.attrs["image_geo_parameter"] = np.bytes_(parameter[calibration.quantity])
        image.attrs["image_product_name"] = np.bytes_(product)
        image.create_dataset("image_data", data=composite.counts, compression="gzip")
        stated = image.create_group("calibration")
        stated.attrs["calibration_flag"] = np.bytes_("Y")
        formula = f"GEO={calibration.gain * hours:.6f}*PV+{calibration.offset * hours:.6f}"
        stated.attrs["calibration_formulas"] = np.bytes_(formula)
        stated.attrs["calibration_missing_data"] = np.array([calibration.missing], dtype=np.int32)
        stated.attrs["calibration_out_of_image"] = np.array([calibration.out_of_image], dtype=np.int32)
        file.flush()
        path.write_bytes(file.id.get_file_image())


def _stamp(time: datetime) -> np.bytes_:
    return np.bytes_(f"{time:%d-%b-%Y;%H:%M:%S}.000".upper())
