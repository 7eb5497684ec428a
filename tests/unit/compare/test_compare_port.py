"""What two implementations of one model differ in, from numbers alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.compare.outputs import relative_rms
from harness.compare.port import (
    SAME_FUNCTION,
    LayerGap,
    PortComparison,
    Tried,
    first_different_layer,
    is_same,
    taken_from_divisor,
    weight_of_new,
)

RANDOM = np.random.default_rng(4)


def test_a_gap_is_relative_to_the_spread_and_none_where_it_cannot_be_told() -> None:
    reference = np.array([0.0, 2.0])
    assert relative_rms(reference + 0.5, reference) == pytest.approx(0.5)
    assert relative_rms(reference, reference) == 0.0
    assert relative_rms(np.array([0.0, np.nan]), reference) is None
    assert relative_rms(reference[:1], reference) is None


@given(
    weight=st.floats(0.001, 1.0), statistics=st.lists(st.floats(-50, 50, allow_subnormal=False), min_size=1, max_size=9)
)
def test_the_weight_of_a_batch_is_found_whatever_the_batch(weight: float, statistics: list[float]) -> None:
    batch = np.array(statistics)
    zero, one = weight * batch, (1 - weight) + weight * batch
    # Moving statistics are float32.
    assert weight_of_new(zero.astype(np.float32), one.astype(np.float32)) == pytest.approx(weight, abs=1e-5)


@pytest.mark.parametrize("taken", [0, 1])
@pytest.mark.parametrize("count", [24, 700, 20_000])
def test_what_is_taken_from_the_divisor_is_found(taken: int, count: int) -> None:
    values = RANDOM.normal(size=(16, count))
    once, twice = (np.var(np.tile(values, (1, times)), axis=1, ddof=taken) for times in (1, 2))
    found = taken_from_divisor(once.astype(np.float32), twice.astype(np.float32), count)
    assert round(found) == taken
    assert found == pytest.approx(taken, abs=0.05 * max(1, count / 5_000))


def test_the_first_layer_that_parts_is_named() -> None:
    first = {name: RANDOM.normal(size=20) for name in "abc"}
    kinds = {"a": "dense", "b": "dense", "c": "output"}
    assert first_different_layer(kinds, first, first) is None
    assert first_different_layer(kinds, first | {"b": first["b"] + 1e-6}, first) == "b"
    # Rounding in float64 is no parting.
    assert first_different_layer(kinds, {name: value * (1 + 1e-12) for name, value in first.items()}, first) is None


@pytest.mark.parametrize(
    ("gap", "error", "expected", "same", "as_expected"),
    [
        (1e-12, "", "same", True, True),
        (1e-12, "", "other", True, False),
        (0.3, "", "other", False, True),
        (0.3, "", "same", False, False),
        (None, "", "same", False, False),
        (None, "Not available: no framework.", "other", False, False),
    ],
)
def test_a_port_is_one_function_with_the_source_or_another(
    gap: float | None, error: str, expected: str, same: bool, as_expected: bool
) -> None:
    port = PortComparison.model_validate(
        {"framework": "a", "source_framework": "b", "gap": gap, "error": error, "expected": expected}
    )
    assert (port.same, port.as_expected) == (same, as_expected)


def test_what_closes_the_gap_and_where_it_opens_are_told() -> None:
    port = PortComparison(
        framework="pytorch",
        source_framework="keras-tensorflow",
        gap=0.8,
        layers=(
            LayerGap(layer="lstm1", kind="convolutional-lstm", relative_rms=1e-15),
            LayerGap(layer="norm1", kind="batch-normalisation", relative_rms=None),
        ),
        tried=(
            Tried(settings=("slope",), values=("0.3",), remaining=0.7),
            Tried(settings=("epsilon",), values=("0.001",), remaining=1e-14),
            Tried(settings=("order",), values=("odd",), remaining=None, refused="no such order"),
        ),
    )
    assert port.parts_at is not None
    assert port.parts_at.layer == "norm1"
    assert [tried.settings for tried in port.closing] == [("epsilon",)]


def test_a_gap_of_just_the_limit_is_rounding() -> None:
    assert is_same(SAME_FUNCTION)
    assert not is_same(np.nextafter(SAME_FUNCTION, 1))


def test_the_weight_of_a_batch_is_taken_in_double_precision() -> None:
    """A difference that float32 does not show: three quarters and a billionth."""
    one, zero = np.float32([0.75]), np.float32([2.0**-30])
    assert weight_of_new(zero, one) == 0.25 + 2.0**-30
