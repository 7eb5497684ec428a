from __future__ import annotations

import numpy as np
import pytest

from harness.compare.decisions import (
    LISTED_FLIPS,
    NOT_FINITE,
    compare_decisions,
    decide_argmax,
    decide_threshold,
)
from harness.compare.records import Floor
from harness.errors import DataError

FLOOR = Floor(rms=0.01, max_abs=0.02, measured_rms=0.01, measured_max_abs=0.02, scale=1.0)


def test_argmax_with_margin_and_first_of_a_tie() -> None:
    decisions = decide_argmax(np.array([[1.0, 3.0, 2.5], [2.0, 2.0, 0.0], [np.nan, 1.0, 0.0]]))
    assert decisions.choice.tolist() == [1, 0, NOT_FINITE]
    assert decisions.margin.tolist() == [0.5, 0.0, 0.0]


def test_threshold_per_label() -> None:
    decisions = decide_threshold(np.array([[0.5, 0.5], [0.2, 0.95]]), [0.5, 0.9])
    assert decisions.choice.tolist() == [[1, 0], [0, 1]]
    assert decisions.margin == pytest.approx(np.array([[0.0, 0.4], [0.3, 0.05]]))
    with pytest.raises(DataError, match="2 thresholds"):
        decide_threshold(np.zeros((4, 3)), [0.5, 0.9])


def test_flips_count_from_twice_the_floor_on() -> None:
    source = np.array([[1.0, 0.0], [1.0, 0.995], [1.0, 0.979], [0.0, 1.0]])
    target = np.array([[1.0, 0.0], [1.0, 1.01], [1.0, 1.01], [0.0, 1.0]])
    result = compare_decisions("argmax", target, source, FLOOR, names=["maize", "wheat"], ids=[10, 11, 12, 13])
    assert (result.decisions, result.flip_count, result.counted_count) == (4, 2, 1)
    assert result.agreement == 0.5
    widest, narrow = result.flips
    assert (widest.sample, widest.id, widest.source, widest.target) == (2, 12, "maize", "wheat")
    assert widest.margin == pytest.approx(0.021)
    assert not widest.within_floor
    assert narrow.within_floor
    assert result.counted == [widest]


def test_margin_of_a_flip_is_to_the_class_it_flipped_to() -> None:
    source = np.array([[1.0, 0.99, 0.0]])
    target = np.array([[0.0, 0.0, 2.0]])
    flip = compare_decisions("argmax", target, source, FLOOR).flips[0]
    assert (flip.source, flip.target, flip.margin) == ("0", "2", 1.0)
    assert not flip.within_floor


def test_a_target_that_is_not_finite_is_a_flip_that_counts() -> None:
    source = np.array([[1.0, 0.999], [0.0, 1.0]])
    target = np.array([[np.nan, 0.0], [0.0, 1.0]])
    result = compare_decisions("argmax", target, source, FLOOR, names=["a", "b"])
    assert result.counted_count == 1
    assert result.flips[0].target == "not finite"


def test_thresholds_per_label_name_label_and_side() -> None:
    source, target = np.array([[0.51, 0.2]]), np.array([[0.4, 0.2]])
    result = compare_decisions("threshold", target, source, FLOOR, thresholds=0.5, names=["oak", "pine"])
    flip = result.flips[0]
    assert result.decisions == 2
    assert (flip.source, flip.target, flip.where) == ("oak: at or above", "oak: below", (0,))
    assert flip.within_floor
    with pytest.raises(DataError, match="needs thresholds"):
        compare_decisions("threshold", target, source, FLOOR)


def test_exceedance_of_a_physical_value() -> None:
    source, target = np.array([[120.0], [80.0]]), np.array([[99.0], [80.0]])
    result = compare_decisions("exceedance", target, source, FLOOR, thresholds=100.0)
    assert result.counted_count == 1
    assert result.flips[0].margin == 20.0


def test_exceedance_of_several_thresholds_under_a_mask() -> None:
    source = np.array([[[0.1, 0.5, 3.0], [2.5, 2.0, 0.0]]])
    target = np.array([[[0.6, 0.5, 1.0], [2.5, 1.9, 9.0]]])
    mask = np.array([[[True, True, True], [True, True, False]]])
    names = ["0.5 mm/h", "2 mm/h"]
    result = compare_decisions("exceedance", target, source, FLOOR, thresholds=[0.5, 2.0], names=names, mask=mask)
    assert (result.samples, result.decisions, result.flip_count) == (1, 10, 3)
    assert [(flip.source, flip.target, flip.where) for flip in result.flips] == [
        ("at or above 2 mm/h", "below 2 mm/h", (0, 2, 1)),
        ("below 0.5 mm/h", "at or above 0.5 mm/h", (0, 0, 0)),
        ("at or above 2 mm/h", "below 2 mm/h", (1, 1, 1)),
    ]
    assert [flip.margin for flip in result.flips] == pytest.approx([1.0, 0.4, 0.0])
    # What lies on a threshold may fall to either side within the floor, and does not count.
    assert [flip.within_floor for flip in result.flips] == [False, False, True]
    assert result.agreement == 0.7


def test_exceedance_of_one_threshold_in_a_list_is_named() -> None:
    result = compare_decisions(
        "exceedance", np.array([[np.nan]]), np.array([[3.0]]), FLOOR, thresholds=[2.0], names=["2 mm/h"]
    )
    assert (result.flips[0].source, result.flips[0].target) == ("at or above 2 mm/h", "not finite")
    with pytest.raises(DataError, match="exceedance needs one threshold or a list of them"):
        compare_decisions("exceedance", np.zeros((1, 1)), np.zeros((1, 1)), FLOOR, thresholds=[])
    with pytest.raises(DataError, match="mask of shape"):
        compare_decisions(
            "exceedance", np.zeros((1, 2)), np.zeros((1, 2)), FLOOR, thresholds=[1.0], mask=np.ones((2, 1), bool)
        )


def test_masked_pixels_are_no_decisions() -> None:
    source = np.zeros((1, 2, 2, 2))
    source[0, 0] = 1.0
    target = source.copy()
    target[0, 1, 0, 1] = target[0, 1, 1, 0] = 2.0
    mask = np.array([[[True, True], [False, True]]])
    result = compare_decisions("argmax-per-pixel", target, source, FLOOR, names=["land", "water"], mask=mask)
    assert (result.samples, result.decisions, result.flip_count) == (1, 3, 1)
    assert result.flips[0].where == (0, 1)
    assert result.flips[0].target == "water"
    with pytest.raises(DataError, match="mask"):
        compare_decisions("argmax-per-pixel", target, source, FLOOR, mask=mask[:, :1])


def test_many_flips_are_counted_but_not_all_listed() -> None:
    source = np.tile([1.0, 0.0], (LISTED_FLIPS + 5, 1))
    result = compare_decisions("argmax", source[:, ::-1], source, FLOOR)
    assert result.flip_count == result.counted_count == LISTED_FLIPS + 5
    assert len(result.flips) == LISTED_FLIPS


def test_other_shapes_are_refused() -> None:
    with pytest.raises(DataError, match="one shape"):
        compare_decisions("argmax", np.zeros((2, 3)), np.zeros((2, 4)), FLOOR)
