"""The sequence that a report shows frame by frame, and the forecasts of it that differ enough to be drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError

Array = NDArray[Any]
Mask = NDArray[np.bool_]

#: How the name of a forecast begins in the file; what follows is who made it.
FORECAST = "forecast."

#: Half a shade of 256 on the scale 0 to 1: pictures that differ by less are one picture.
VISIBLE = 0.5 / 255

_AXES = 5


@dataclass(frozen=True)
class ExampleFrames:
    """One test sequence, scaled to 0..1.

    ``seen`` float32 and ``seen_measured`` bool (time, row, column); ``truth`` float32 and ``measured`` bool (step, row,
    column); ``forecasts`` by who made them, float32 (step, row, column), the source's first; ``last_seen`` in seconds since
    1970 UTC.
    """

    seen: Array
    seen_measured: Array
    truth: Array
    measured: Array
    forecasts: dict[str, Array]
    last_seen: int

    def tensors(self) -> dict[str, Array]:
        """What the file holds, by name."""
        return {
            "seen": self.seen,
            "seen_measured": self.seen_measured,
            "truth": self.truth,
            "measured": self.measured,
            "last_seen": np.asarray([self.last_seen], dtype=np.int64),
            # Names sort in a file; the number keeps the order.
            **{f"{FORECAST}{index:03}.{who}": array for index, (who, array) in enumerate(self.forecasts.items())},
        }


def example_frames(
    inputs: Array, target: Mapping[str, Array], ids: Array, forecasts: Iterable[tuple[str, Array]]
) -> ExampleFrames | None:
    """The sequence with the most rain, with the forecasts that differ visibly; None without sequences.

    ``inputs`` (sample, band, time, row, column); ``target``: ``y``, ``mask`` and ``seen_mask``; ``ids`` int64 (sample,) in
    seconds since 1970-01-01 UTC; ``forecasts``: who forecast, and what.
    """
    truth, measured = target["y"], target["mask"]
    if not len(truth):
        return None
    index = sample_with_most_rain(truth, measured)
    return ExampleFrames(
        seen=inputs[index, 0],
        seen_measured=target["seen_mask"][index, 0],
        truth=truth[index, 0],
        measured=measured[index, 0],
        forecasts=visibly_different(
            # A copy, so that the rest of the array can be freed.
            (name, np.array(array[index, 0]))
            for name, array in forecasts
            if array.shape == truth.shape
        ),
        last_seen=int(ids[index]),
    )


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
