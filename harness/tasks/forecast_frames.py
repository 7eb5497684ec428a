"""What is forecast: how many frames from how many, their scale, and the thresholds of a decision."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict


class Forecast(BaseModel):
    """What is forecast, as ``dataset.json`` states it under ``forecast``.

    ``bottom`` and ``top`` are the physical values that are 0 and 1; ``thresholds`` are physical too. ``interval`` is in
    seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    history: int
    horizon: int
    rows: int
    columns: int
    interval: int
    unit: str
    bottom: float
    top: float
    thresholds: tuple[float, ...]
    resampling: dict[str, Any]

    @property
    def scaled_thresholds(self) -> tuple[float, ...]:
        """Thresholds on the scale of the model's output, 0 to 1, rounded to float32 as the frames are.

        A measurement that lies on a threshold thus exceeds it on either scale.
        """
        scale = 1 / (self.top - self.bottom)
        return tuple(float(np.float32((value - self.bottom) * scale)) for value in self.thresholds)

    @property
    def threshold_names(self) -> tuple[str, ...]:
        """Thresholds in words: ``2 mm/h``."""
        return tuple(f"{value:g} {self.unit}" for value in self.thresholds)

    def physical(self, scaled: NDArray[np.floating]) -> NDArray[np.float64]:
        """Scaled values in the physical unit, float64 of the same shape."""
        values: NDArray[np.float64] = np.asarray(scaled, dtype=np.float64) * (self.top - self.bottom) + self.bottom
        return values
