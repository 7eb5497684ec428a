"""Whether outputs are those of a published case, as ONNX's own runner holds them against each other."""

from __future__ import annotations

from typing import Any

#: The relative tolerance of bfloat16 is that of a case or two units in the last place, as in ONNX's own runner.
BFLOAT16_RTOL = 2.0**-6


def compare(found: dict[str, Any], expected: dict[str, Any], rtol: float, atol: float) -> str | None:
    """The first difference between two sets of named arrays, or None.

    Integers and booleans are equal or not; floating point is close where ``|found - expected| <= atol + rtol *
    |expected|``, with NaN equal to NaN and infinities to themselves.
    """
    import numpy as np

    if set(found) != set(expected):
        return f"outputs are {sorted(found)}, not {sorted(expected)}"
    for name, wanted in expected.items():
        given = found[name]
        if given.dtype != wanted.dtype:
            return f"'{name}' is {given.dtype}, not {wanted.dtype}"
        if given.shape != wanted.shape:
            return f"'{name}' has shape {given.shape}, not {wanted.shape}"
        if wanted.dtype.kind in "biu":
            if not np.array_equal(given, wanted):
                return f"'{name}' differs in {int((given != wanted).sum())} of {wanted.size} values"
            continue
        left, right = given.astype(np.float64), wanted.astype(np.float64)
        relative = max(rtol, BFLOAT16_RTOL) if wanted.dtype.name == "bfloat16" else rtol
        close = np.isclose(left, right, rtol=relative, atol=atol, equal_nan=True)
        if not close.all():
            with np.errstate(invalid="ignore"):
                largest = float(np.nanmax(np.abs(left - right)[~close], initial=0.0))
            return f"'{name}' differs in {int((~close).sum())} of {close.size} values, by {largest:.3g} at most"
    return None
