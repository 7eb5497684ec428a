"""Tensors that hold the same values, in the same layout or another, and what one is of another where it is not the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from harness.compare.alike import Alike, Known, Signature, gap_between, layout_of
from harness.compare.relation import Reordered, reordered, scaled

RANDOM = np.random.default_rng(8)
VALUES = RANDOM.normal(size=(2, 3, 4))
SPREAD = float(VALUES.std())
LIMIT = 1e-8


def holed(values: Any = VALUES, place: tuple[int, ...] = (0, 0, 0), hole: float = np.nan) -> np.ndarray:
    changed = np.array(values)
    changed[place] = hole
    return changed


def test_the_gap_is_the_rms_difference_in_spreads() -> None:
    other = VALUES.copy()
    other[1, 2, 3] += 0.5
    assert gap_between(other, VALUES) == pytest.approx(0.5 / math.sqrt(24) / SPREAD)
    assert gap_between(VALUES.copy(), VALUES) == 0.0
    assert gap_between(np.empty((0, 2)), np.empty((0, 2))) == 0.0
    assert gap_between(VALUES[:1], VALUES) is None


def test_what_is_not_finite_must_stand_in_the_same_places() -> None:
    assert gap_between(holed(), holed()) == 0.0
    assert gap_between(np.full(3, np.inf), np.full(3, np.inf)) == 0.0
    assert gap_between(holed(VALUES + 0.5), holed()) == pytest.approx(0.5 / np.nanstd(holed()))
    for one, other in ((VALUES, holed()), (holed(), VALUES), (holed(hole=np.inf), holed(hole=-np.inf))):
        assert gap_between(one, other) is None
    assert gap_between(holed(holed(), (1, 1, 1)), holed()) is None


def test_a_signature_is_what_no_layout_changes() -> None:
    found = Signature.of(VALUES)
    turned = Signature.of(VALUES.transpose(2, 0, 1))
    assert found.may_be(turned, 1e-12)
    assert (turned.size, turned.low, turned.high) == (found.size, found.low, found.high)
    assert (found.size, found.low, found.high) == (24, VALUES.min(), VALUES.max())
    assert found.rms == pytest.approx(float(np.sqrt((VALUES**2).mean())))
    assert found.scale == pytest.approx(SPREAD)
    assert Signature.of(holed()).size == 24
    assert Signature.of(np.full((2, 2), np.nan)) == Signature(4, 0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("other", "may"),
    [
        (Signature(4, 2.0, -3.0, 3.0, 1.0), True),
        (Signature(5, 2.0, -3.0, 3.0, 1.0), False),
        # The RMS within the limit of the larger of scale and RMS, ends within what all of an RMS error may be in one value.
        (Signature(4, 2.015, -3.0, 3.0, 1.0), True),
        (Signature(4, 1.97, -3.0, 3.0, 1.0), False),
        (Signature(4, 2.0, -3.019, 3.019, 1.0), True),
        (Signature(4, 2.0, -3.021, 3.0, 1.0), False),
        (Signature(4, 2.0, -3.0, 3.021, 1.0), False),
        (Signature(4, 2.0, -3.0, 3.1, 6.0), True),
        (Signature(4, 2.04, -3.0, 3.0, 6.0), True),
    ],
)
def test_signatures_rule_out_what_cannot_be_the_same(other: Signature, may: bool) -> None:
    assert Signature(4, 2.0, -3.0, 3.0, 1.0).may_be(other, 0.01) is may


def test_an_empty_signature_may_be_an_empty_one() -> None:
    empty = Signature.of(np.empty(0))
    assert empty.may_be(empty, LIMIT)


def test_a_layout_is_the_order_of_the_references_axes() -> None:
    assert layout_of(VALUES, VALUES, LIMIT) == ((0, 1, 2), 0.0)
    assert layout_of(VALUES.transpose(2, 0, 1), VALUES, LIMIT) == ((2, 0, 1), 0.0)
    # Flattened, and with axes of one place.
    assert layout_of(VALUES.reshape(-1), VALUES, LIMIT) == ((0, 1, 2), 0.0)
    assert layout_of(VALUES.transpose(1, 2, 0)[:, None], VALUES[None], LIMIT) == ((1, 2, 0), 0.0)
    assert layout_of(np.array([5.0]), np.array(5.0), LIMIT) == ((), 0.0)
    assert layout_of(np.array(5.0), np.array([[4.0]]), LIMIT) is None
    assert layout_of(VALUES[:1], VALUES, LIMIT) is None
    assert layout_of(VALUES + 1e-3, VALUES, LIMIT) is None
    found = layout_of(VALUES.transpose(2, 0, 1) + 1e-3 * SPREAD, VALUES, 2e-3)
    assert found is not None
    assert found == ((2, 0, 1), pytest.approx(1e-3))


def test_a_value_beyond_the_tried_places_is_compared_too() -> None:
    large = RANDOM.normal(size=1000)
    other = large.copy()
    other[1] += 1.0
    assert layout_of(other, large, LIMIT) is None
    # A single value may carry all of an RMS error that is allowed.
    other = large.copy()
    other[0] += 0.5 * large.std()
    assert layout_of(other, large, 0.02) == ((0,), pytest.approx(0.5 / math.sqrt(1000)))


def test_tensors_of_many_axes_are_compared_in_their_own_layout_alone() -> None:
    many = RANDOM.normal(size=(2, 2, 2, 2, 2, 2))
    assert layout_of(many, many, LIMIT) == ((0, 1, 2, 3, 4, 5), 0.0)
    assert layout_of(many.transpose(1, 0, 2, 3, 4, 5), many, LIMIT) is None
    assert layout_of(many[0].transpose(4, 3, 2, 1, 0), many[0], LIMIT) == ((4, 3, 2, 1, 0), 0.0)


def test_nan_in_the_same_places_is_alike() -> None:
    found = layout_of(holed().transpose(1, 0, 2), holed(), LIMIT)
    assert found is not None
    assert found == ((1, 0, 2), 0.0)


def test_all_tensors_of_the_reference_that_hold_the_values_are_found() -> None:
    known = Known({"a": VALUES, "other": VALUES + 1, "b": VALUES.transpose(1, 0, 2), "short": VALUES[:1]})
    assert known.find(VALUES, LIMIT) == [Alike("a", (0, 1, 2), 0.0), Alike("b", (1, 0, 2), 0.0)]
    assert [one.in_order for one in known.find(VALUES, LIMIT)] == [True, False]
    assert known.find(VALUES * 2, LIMIT) == []
    assert known.find(np.zeros(7), LIMIT) == []
    # The extremes and the RMS of another tensor, and other values.
    ring = np.array([-1.0, 0.5, -0.5, 1.0])
    assert Known({"ring": ring}).find(ring[[0, 2, 1, 3]], LIMIT) == []


@pytest.mark.parametrize(
    ("places", "axis", "moved", "backwards"),
    [([1, 0, 2], 1, [0, 1], False), ([2, 1, 0], 1, [0, 2], True), ([0, 2, 3, 1], 2, [1, 2, 3], False)],
)
def test_places_in_another_order_are_found_with_their_axis(
    places: list[int], axis: int, moved: list[int], backwards: bool
) -> None:
    found = reordered(np.take(VALUES, places, axis), VALUES, LIMIT)
    assert found == Reordered(axis, tuple(places))
    assert (found.moved, found.reversed) == (moved, backwards)


def test_what_is_in_no_other_order_is_not_found() -> None:
    assert reordered(VALUES, VALUES, LIMIT) is None
    assert reordered(VALUES[:1], VALUES, LIMIT) is None
    assert reordered(VALUES[:, :, :1], VALUES[:, :, 1:2], LIMIT) is None
    assert reordered(VALUES[:, [1, 0, 2]] + 1e-3, VALUES, LIMIT) is None
    assert not Reordered(0, (1, 0)).reversed
    two = VALUES[::-1]
    assert reordered(two, VALUES, LIMIT) == Reordered(0, (1, 0))
    # Two axes at once are no order along one.
    assert reordered(VALUES[::-1, [1, 0, 2]], VALUES, LIMIT) is None
    # Nor are places along an axis too long to be told apart.
    long = RANDOM.normal(size=(1, 4097))
    assert reordered(long[:, ::-1], long, LIMIT) is None
    found = reordered(long[:, :4096][:, ::-1], long[:, :4096], LIMIT)
    assert found is not None
    assert found.reversed


def test_values_that_are_not_finite_may_be_reordered_too() -> None:
    assert reordered(holed()[:, [1, 0, 2]], holed(), LIMIT) == Reordered(1, (1, 0, 2))


def test_factor_and_offset_are_found() -> None:
    assert scaled(3 * VALUES, VALUES, LIMIT) == (pytest.approx(3.0), 0.0)
    assert scaled(3 * VALUES - 2, VALUES, LIMIT) == (pytest.approx(3.0), pytest.approx(-2.0))
    assert scaled(-VALUES, VALUES, LIMIT) == (pytest.approx(-1.0), 0.0)
    assert scaled(VALUES + 1e-4, VALUES, 1e-3) == (pytest.approx(1.0), 0.0)
    for found, reference in (
        (VALUES[:1], VALUES),
        (np.array([1.0, 2.0]), np.array([2.0, 4.0])),
        (VALUES**3, VALUES),
        (holed(), VALUES),
        (VALUES, holed()),
        (VALUES, np.ones_like(VALUES)),
        (np.ones_like(VALUES), VALUES),
    ):
        assert scaled(found, reference, LIMIT) is None
    assert scaled(np.array([2.0, 4.0, 8.0]), np.array([1.0, 2.0, 4.0]), LIMIT) == (pytest.approx(2.0), 0.0)
