from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.compare.ulp import bit_equal, bits, max_ulp, ordered, spacing32, ulp_distance
from harness.errors import DataError

UINT = {np.float16: np.uint16, np.float32: np.uint32, np.float64: np.uint64}


def reference_key(value: np.floating) -> int:
    """Position of a number in Python's unbounded integers: sign and magnitude."""
    width = 8 * value.dtype.itemsize
    raw = int(np.asarray([value]).view(f"u{width // 8}")[0])
    magnitude = raw & ((1 << (width - 1)) - 1)
    return -magnitude if raw >> (width - 1) else magnitude


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@given(data=st.data())
def test_distance_is_that_of_unbounded_integers(dtype: type, data: st.DataObject) -> None:
    width = np.dtype(dtype).itemsize * 8
    raw = st.integers(0, 2**width - 1)
    pairs = data.draw(st.lists(st.tuples(raw, raw), min_size=1, max_size=20))
    first, second = (np.array([pair[side] for pair in pairs], UINT[dtype]).view(dtype) for side in (0, 1))
    distance = ulp_distance(first, second)
    for one, other, found in zip(first, second, distance, strict=True):
        if np.isnan(one) or np.isnan(other):
            assert int(found) == 2**width - 1
        else:
            assert int(found) == abs(reference_key(one) - reference_key(other))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1.0, np.nextafter(np.float32(1), np.float32(2)), 1),
        (-0.0, 0.0, 0),
        (np.float32(1e-45), -np.float32(1e-45), 2),
        (np.inf, -np.inf, 0xFF000000),
        (np.finfo(np.float32).max, np.inf, 1),
        (-np.finfo(np.float32).max, np.finfo(np.float32).max, 0xFF000000 - 2),
    ],
)
def test_float32_across_signs_without_overflow(one: float, other: float, expected: int) -> None:
    assert int(ulp_distance(np.float32([one]), np.float32([other]))[0]) == expected


def test_nan_has_no_distance_and_does_not_hide_the_others() -> None:
    nan = np.float32(np.nan)
    first, second = np.float32([nan, 1, nan]), np.float32([nan, 1 + 2**-22, 3])
    assert max_ulp(first, second) == 2
    assert max_ulp(first[:1], second[:1]) is None
    assert max_ulp(first[:0], second[:0]) is None


def test_order_follows_the_numbers() -> None:
    values = np.float32([-np.inf, -2, -1e-45, -0.0, 0.0, 1e-45, 3, np.inf])
    keys = ordered(values)
    assert np.all(np.diff(keys.astype(np.int64)) >= 0)
    assert keys[3] == keys[4] == 0


def test_bit_equality_sees_zeros_payloads_dtypes_and_shapes() -> None:
    assert bit_equal(np.float32([1, 2]), np.float32([1, 2]))
    assert not bit_equal(np.float32([0.0]), np.float32([-0.0]))
    assert not bit_equal(np.float32([1]), np.float64([1]))
    assert not bit_equal(np.float32([[1]]), np.float32([1]))
    payloads = np.array([0x7FC00000, 0x7FC00001], np.uint32).view(np.float32)
    assert not bit_equal(payloads[:1], payloads[1:])
    assert bit_equal(payloads[:1], payloads[:1].copy())


def test_bits_of_arrays_in_column_order_keep_their_places() -> None:
    values = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    assert np.array_equal(bits(values).view(np.float32), values)


def test_other_shapes_and_dtypes_are_refused() -> None:
    with pytest.raises(DataError, match="equal shapes"):
        ulp_distance(np.zeros(2, np.float32), np.zeros(3, np.float32))
    with pytest.raises(DataError, match=r"float32 and float64"):
        ulp_distance(np.zeros(2, np.float32), np.zeros(2, np.float64))
    with pytest.raises(DataError, match="int32"):
        ulp_distance(np.zeros(2, np.int32), np.zeros(2, np.int32))


def test_bits_keep_the_shape_and_are_those_of_one_dtype() -> None:
    for shape in ((), (1,), (2, 3)):
        assert bits(np.ones(shape, np.float32)).shape == shape
    ones = np.ones(3, np.float32)
    assert bit_equal(ones, ones.copy())
    assert not bit_equal(ones, ones.view(np.int32))
    assert not bit_equal(ones, ones[None])


def test_what_has_no_distance_says_what_has() -> None:
    with pytest.raises(DataError) as caught:
        ulp_distance(np.ones(3, np.float32), np.ones(3))
    assert caught.value.hint == "use float16, float32 or float64 on both sides"


@pytest.mark.parametrize(
    ("scale", "spacing"), [(0.0, 2.0**-149), (1.0, 2.0**-23), (-3.0, 2.0**-22), (2.0**127, 2.0**104), (3e38, 2.0**104)]
)
def test_spacing_is_the_distance_to_the_next_float32(scale: float, spacing: float) -> None:
    assert spacing32(scale) == spacing


def test_spacing_is_finite_at_the_largest_float32() -> None:
    assert spacing32(float(np.finfo(np.float32).max)) == 2.0**104
