"""Sizes, files and units of small data sets of crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data.prepare import PreparedData

SMALL = {"train": 120, "valid": 60, "test": 90}
SEED = 5


def write_csv(path: Path, rows: list[tuple[int, int, list[float]]]) -> Path:
    path.write_text("".join(",".join(map(str, (label, polygon, *values))) + "\n" for label, polygon, values in rows))
    return path


def physical(data: PreparedData, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """What was normalised in physical units again: (sample, date, band) from (sample, band, date)."""
    return x.transpose(0, 2, 1).astype(np.float64) / data.normalisation.scale + data.normalisation.offset
