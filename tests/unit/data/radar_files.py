"""Small composites in KNMI's files, and what may be wrong with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from harness.data.composites import Calibration, Composite, write_composite

RAIN = Calibration("rain-rate", gain=0.12, offset=0.0, missing=65535, out_of_image=65535)
REFLECTIVITY = Calibration("reflectivity", gain=0.5, offset=-32.0, missing=0, out_of_image=255)
FIVE = timedelta(minutes=5)
START = datetime(2024, 7, 9, 12, tzinfo=UTC)
PREFIX = {"rain-rate": "RAD_NL25_RAP_5min", "reflectivity": "RAD_NL25_PCP_NA"}


def frame_path(folder: Path, index: int, calibration: Calibration = RAIN) -> Path:
    return folder / f"{PREFIX[calibration.quantity]}_{START + index * FIVE:%Y%m%d%H%M}.h5"


def write_frame(folder: Path, index: int, counts: Any, calibration: Calibration = RAIN) -> Path:
    path = frame_path(folder, index, calibration)
    write_composite(path, Composite(counts, calibration, START + index * FIVE), FIVE, PREFIX[calibration.quantity])
    return path


def write_frames(folder: Path, count: int, size: tuple[int, int] = (12, 10)) -> None:
    """Frames whose counts are random, with a corner that is no-data."""
    random = np.random.default_rng(3)
    for index in range(count):
        counts = random.integers(0, 400, size).astype(np.uint16)
        counts[:2, :3] = 65535
        write_frame(folder, index, counts)


def change(path: Path, place: str, attribute: str, value: Any) -> None:
    """Set an attribute of a file anew; None takes it away."""
    with h5py.File(path, "r+") as file:
        if value is None:
            del file[place].attrs[attribute]
        else:
            file[place].attrs[attribute] = value
