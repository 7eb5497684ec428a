"""Numbers in result files."""

from __future__ import annotations

from typing import Any

import numpy as np


def shortest(value: Any) -> str:
    """Shortest decimal that gives the float32 or float64 back."""
    return np.format_float_positional(value, unique=True, trim="0") if np.isfinite(value) else str(value)
