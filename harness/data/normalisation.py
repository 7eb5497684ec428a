"""Normalisation per band, fitted on training data only and saved with whatever is made from it.

normalised = (x − offset) · scale, computed in float64 and stored as float32.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

from harness.data.dataset import Band, NormalisationKind
from harness.errors import DataError

#: Percentiles of the normalisation ``percentile``: Pelletier et al. (2019), section 3.2, against outliers.
LOWER_PERCENTILE, UPPER_PERCENTILE = 2.0, 98.0

#: A range below this fraction of the band's magnitude is rounding, not signal.
_CONSTANT = 1e-7

#: A smaller range than this would need a scale near the end of float32.
_SMALLEST = 1e-30

#: Dates that are normalised at once: bounds the float64 copy.
_CHUNK = 65536


class Normalisation(BaseModel):
    """What is subtracted and multiplied per band, in the order of the bands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: NormalisationKind
    offset: tuple[float, ...]
    scale: tuple[float, ...]

    @model_validator(mode="after")
    def _invertible(self) -> Self:
        if len(self.offset) != len(self.scale):
            raise ValueError(f"{len(self.offset)} offsets and {len(self.scale)} scales")
        if not (np.isfinite(self.offset).all() and np.isfinite(self.scale).all() and np.all(self.scale)):
            raise ValueError("offsets must be finite, scales finite and not zero")
        return self

    def apply(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Normalise values whose last axis is the band: float32 of the same shape."""
        offset, scale = np.array(self.offset), np.array(self.scale)
        normalised = np.empty(values.shape, dtype=np.float32)
        for start in range(0, len(values), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            normalised[chunk] = (values[chunk].astype(np.float64) - offset) * scale
        return normalised


def fit(
    kind: NormalisationKind,
    training: NDArray[np.float32],
    bands: tuple[Band, ...],
    factor: float | None = None,
) -> tuple[Normalisation, tuple[str, ...]]:
    """Fit a normalisation on the training values (date, band); returns it with notes on bands it cannot scale.

    ``scale``: multiply by ``factor``. ``percentile``: the 2nd percentile becomes 0, the 98th 1. ``standard``: mean 0,
    standard deviation 1. ``none``: as it is. A band that is constant in the training data is shifted, not scaled, and a
    note says so. Raises DataError where ``scale`` is asked for and there is no factor.
    """
    count = len(bands)
    if kind == "none":
        return Normalisation(kind=kind, offset=(0.0,) * count, scale=(1.0,) * count), ()
    if kind == "scale":
        if factor is None:
            raise DataError(
                "the data source states no scale factor",
                where="data.normalisation",
                hint="choose percentile, standard or none",
            )
        return Normalisation(kind=kind, offset=(0.0,) * count, scale=(factor,) * count), ()
    offsets, scales, notes = [], [], []
    for index, band in enumerate(bands):
        values = training[:, index].astype(np.float64)
        if kind == "percentile":
            lower, upper = (float(limit) for limit in np.percentile(values, [LOWER_PERCENTILE, UPPER_PERCENTILE]))
            offset, extent, magnitude = lower, upper - lower, max(abs(lower), abs(upper))
            measure = f"{LOWER_PERCENTILE:g} % and {UPPER_PERCENTILE:g} % percentiles are equal"
        else:
            offset, extent = float(values.mean()), float(values.std())
            magnitude = abs(offset)
            measure = "values are all equal"
        if extent <= max(_CONSTANT * magnitude, _SMALLEST):
            notes.append(f"Band {band.name} is shifted but not scaled: its training {measure}.")
            extent = 1.0
        offsets.append(offset)
        scales.append(1.0 / extent)
    return Normalisation(kind=kind, offset=tuple(offsets), scale=tuple(scales)), tuple(notes)
