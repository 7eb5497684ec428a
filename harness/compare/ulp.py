"""Distance of floating-point numbers in representable values (units in the last place), across signs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError

#: Width in bytes -> unsigned and signed integer dtype of the same width.
_INTEGERS: dict[int, tuple[type, type]] = {
    2: (np.uint16, np.int16),
    4: (np.uint32, np.int32),
    8: (np.uint64, np.int64),
}


def bits(values: NDArray[Any]) -> NDArray[Any]:
    """The bits of floating-point (or any 1, 2, 4 or 8 byte) values as unsigned integers of the same width and shape."""
    contiguous = np.ascontiguousarray(values).reshape(values.shape)
    return contiguous.view(np.dtype(f"u{contiguous.dtype.itemsize}"))


def bit_equal(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Whether two arrays have the same dtype, shape and bits: signed zeros and payloads of NaN count."""
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    return bool(np.array_equal(bits(first), bits(second)))


def ordered(values: NDArray[np.floating[Any]]) -> NDArray[np.signedinteger[Any]]:
    """Signed integers of the same width, ordered as the numbers are: consecutive numbers differ by one; both
    zeros are 0.

    Sign and magnitude become two's complement: with ``s = bits >> (width - 1)`` (0 or -1) and the magnitude
    ``m``, the result is ``(m ^ s) - s``.
    """
    _, signed = _INTEGERS[values.dtype.itemsize]
    raw: NDArray[Any] = bits(values).view(signed)
    sign = raw >> (8 * values.dtype.itemsize - 1)
    magnitude = raw & np.iinfo(signed).max
    magnitude ^= sign
    magnitude -= sign
    return magnitude


def ulp_distance(
    candidate: NDArray[np.floating[Any]], reference: NDArray[np.floating[Any]]
) -> NDArray[np.unsignedinteger[Any]]:
    """Number of representable values between two arrays of one shape and one dtype: float16, float32 or
    float64.

    Unsigned integers of the same width. They cannot overflow: the widest distance, from -inf to inf, is below
    2 ** width (0xFF000000 for float32), and the wrapped difference of two ordered integers, read as unsigned,
    is exact. The two zeros are 0 apart. A pair with a NaN has no distance: it gets the largest integer of the
    width, which no pair of numbers reaches, whether one side or both are NaN.

    Raises DataError where shapes or dtypes differ or the dtype is none of the three.
    """
    if candidate.dtype != reference.dtype or candidate.dtype.kind != "f" or candidate.dtype.itemsize not in _INTEGERS:
        raise DataError(
            f"ULP distance needs two arrays of one floating-point dtype, not {candidate.dtype} and {reference.dtype}",
            hint="use float16, float32 or float64 on both sides",
        )
    if candidate.shape != reference.shape:
        raise DataError(f"ULP distance needs equal shapes, not {candidate.shape} and {reference.shape}")
    unsigned, _ = _INTEGERS[candidate.dtype.itemsize]
    first, second = ordered(candidate), ordered(reference)
    smaller = np.minimum(first, second)
    larger = np.maximum(first, second, out=first)
    distance: NDArray[np.unsignedinteger[Any]] = larger.view(unsigned) - smaller.view(unsigned)
    undefined = np.isnan(candidate) | np.isnan(reference)
    if undefined.any():
        distance[undefined] = np.iinfo(unsigned).max
    return distance


def max_ulp(candidate: NDArray[np.floating[Any]], reference: NDArray[np.floating[Any]]) -> int | None:
    """Largest ULP distance over the pairs without NaN; None where there is no such pair. Errors as `ulp_distance`."""
    distance = ulp_distance(candidate, reference)
    if distance.size == 0:
        return None
    largest = int(distance.max())
    if largest == np.iinfo(distance.dtype).max:
        defined = distance[distance != np.iinfo(distance.dtype).max]
        return int(defined.max()) if defined.size else None
    return largest


def spacing32(scale: float) -> float:
    """One float32 ULP at a finite magnitude ``scale``: the distance to the next larger float32."""
    # Of the largest float32 the next larger one is infinite: the distance before it is that of its neighbour.
    limit = float(np.nextafter(np.finfo(np.float32).max, np.float32(0)))
    return float(np.spacing(np.float32(min(abs(scale), limit))))
