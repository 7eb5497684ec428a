"""Whether two arrays are equal but for rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def nearly_equal(one: Array, other: Array, tolerance: float, scale: Array | None = None) -> bool:
    """Whether arrays have one shape and equal values, not finite ones in the same places.

    Numbers of floating point may differ by ``tolerance`` times the largest finite magnitude of ``scale``, which is ``one`` where it
    is None; all else is compared exactly.
    """
    if one.shape != other.shape:
        return False
    if one.dtype.kind != "f":
        return bool(np.array_equal(one, other))
    finite = np.isfinite(one)
    if not np.array_equal(finite, np.isfinite(other)):
        return False
    whole = one if scale is None else scale
    largest = float(np.abs(whole[np.isfinite(whole)].astype(np.float64)).max(initial=0.0))
    apart = np.subtract(one[finite], other[finite], dtype=np.float64)
    return bool(np.abs(apart).max(initial=0.0) <= tolerance * largest)
