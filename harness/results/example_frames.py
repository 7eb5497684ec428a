"""Which sequence a report shows frame by frame, and which forecasts of it differ enough to be drawn."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError

Array = NDArray[Any]
Mask = NDArray[np.bool_]

#: Half a shade of 256 on the scale 0 to 1: pictures that differ by less are one picture.
VISIBLE = 0.5 / 255

_AXES = 5


def sample_with_most_rain(truth: Array, mask: Mask) -> int:
    """The index of the sample whose measured pixels have the largest sum; the first of equal ones.

    ``truth`` and ``mask`` are (sample, band, step, row, column). Raises DataError on other shapes and without samples.
    """
    if truth.ndim != _AXES or truth.shape != mask.shape or not len(truth):
        raise DataError(f"frames must be (sample, band, step, row, column), not of shape {truth.shape}")
    sums = np.where(mask, truth, 0.0).sum(axis=(1, 2, 3, 4), dtype=np.float64)
    return int(sums.argmax())


def visibly_different(forecasts: Iterable[tuple[str, Array]], visible: float = VISIBLE) -> dict[str, Array]:
    """Forecasts of one sequence by name, without those that look like an earlier one.

    Arrays have one shape and the scale 0 to 1; two look alike where no pixel differs by more than ``visible``. A pixel that is
    not finite looks like no finite one.
    """
    kept: dict[str, Array] = {}
    for name, array in forecasts:
        if not any(_look_alike(array, other, visible) for other in kept.values()):
            kept[name] = array
    return kept


def _look_alike(one: Array, other: Array, visible: float) -> bool:
    if one.shape != other.shape or not np.array_equal(np.isfinite(one), np.isfinite(other)):
        return False
    finite = np.isfinite(one)
    return bool(np.all(np.abs(np.asarray(one, np.float64) - other)[finite] <= visible))
