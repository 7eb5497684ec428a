"""Quotients, and numbers in result files."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


def ratio(over: Any, under: Any) -> Float64:
    """Quotient in float64; 0 where the denominator is 0, as scikit-learn has it (``zero_division=0``)."""
    top, bottom = np.broadcast_arrays(np.asarray(over, np.float64), np.asarray(under, np.float64))
    return np.asarray(np.divide(top, bottom, out=np.zeros(top.shape), where=bottom != 0))


def shortest(value: Any) -> str:
    """Shortest decimal that gives the float32 or float64 back."""
    return np.format_float_positional(value, unique=True, trim="0") if np.isfinite(value) else str(value)
