"""Resampling of frames: bilinear with antialiasing, with no-data kept apart and the rounding named.

The filter is the triangle, widened by the factor of reduction where an axis shrinks; it runs along columns first, then
along rows, as in Pillow's ``Image.resize`` with ``BILINEAR`` and in torchvision's ``Resize`` with ``antialias=True``.
Turkowski (1990): Filters for common resampling tasks. Graphics Gems, 147-165.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

#: ``each-pass``: to whole counts after columns and again after rows, as Pillow and torchvision do on integers; ``once``: at
#: the end; ``none``: not at all. Halves go up.
Rounding = Literal["each-pass", "once", "none"]

#: The name of the one resampler there is, as data sets state it.
RESAMPLER = "bilinear-antialiased"

#: A pixel is a measurement where at least this share of the filter's weight lies on measurements.
COVERAGE = 0.5


def filter_weights(old: int, new: int) -> NDArray[np.float64]:
    """Weights (new, old) of the triangle filter between pixel centres; every row sums to 1."""
    scale = old / new
    support = max(scale, 1.0)
    centres = (np.arange(new)[:, None] + 0.5) * scale
    distances = np.abs(np.arange(old)[None, :] + 0.5 - centres) / support
    weights = np.clip(1.0 - distances, 0.0, None)
    normalised: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return normalised


def resample(
    counts: NDArray[np.integer] | NDArray[np.floating],
    valid: NDArray[np.bool_],
    size: tuple[int, int],
    rounding: Rounding,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Bring counts (row, column) to ``size``; returns float64 counts and where they are measurements.

    What is no measurement has no weight: a value next to it is the mean of the measurements within its filter. Values that
    are not valid are 0. Nothing is done where the size is right already.
    """
    values = np.where(valid, counts, 0).astype(np.float64)
    if counts.shape == size:
        return values, valid.copy()
    cover = valid.astype(np.float64)
    horizontal, vertical = filter_weights(counts.shape[1], size[1]).T, filter_weights(counts.shape[0], size[0])
    values, cover = _weighted(values * cover @ horizontal, cover @ horizontal)
    if rounding == "each-pass":
        values = np.floor(values + 0.5)
    values, cover = _weighted(vertical @ (values * cover), vertical @ cover)
    if rounding != "none":
        values = np.floor(values + 0.5)
    # A hair below, since weights of a fully covered half are rounded.
    kept = cover >= COVERAGE - 1e-9
    return np.where(kept, values, 0.0), kept


def _weighted(sums: NDArray[np.float64], cover: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means from weighted sums and the weight that lies on measurements."""
    return np.divide(sums, cover, out=np.zeros_like(sums), where=cover > 1e-12), cover
