from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.compare.decisions import (
    LISTED_FLIPS,
    NOT_FINITE,
    compare_decisions,
    decide_argmax,
    decide_exceedance,
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


def plain_argmax(values: np.ndarray) -> tuple[int, float]:
    """The definition, for the outputs of one place, in exact arithmetic of doubles."""
    if not np.isfinite(values).all():
        return NOT_FINITE, 0.0
    ordered = sorted((float(value) for value in values), reverse=True)
    return [float(value) for value in values].index(ordered[0]), ordered[0] - ordered[1] if len(ordered) > 1 else 0.0


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("classes", [1, 2, 5])
def test_argmax_is_its_definition_along_any_axis(axis: int, classes: int) -> None:
    generator = np.random.default_rng(2)
    # Differences that float32 cannot hold.
    values = (generator.normal(size=(3, 4, 6, classes)) + 2.0 ** generator.integers(0, 25, (3, 4, 6, classes))).astype(
        np.float32
    )
    values[1, 2, 3, 0], values[2, 0, 0, -1] = np.nan, np.inf
    values[0] = generator.integers(0, 2, (4, 6, classes))
    moved = np.moveaxis(values[:, 1:, :, :], -1, axis) if axis != -1 else values[:, 1:, :, :]
    found = decide_argmax(moved, axis)
    for place in np.ndindex(3, 3, 6):
        choice, margin = plain_argmax(values[:, 1:, :, :][place])
        assert (found.choice[place], found.margin[place]) == (choice, margin)
    assert found.margin.dtype == np.float64


def test_no_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"argmax needs at least one class, the outputs have shape \(3, 0\)"):
        decide_argmax(np.zeros((3, 0)))
    assert decide_argmax(np.zeros((0, 3))).choice.shape == (0,)


@pytest.mark.parametrize("decide", [decide_threshold, decide_exceedance])
@pytest.mark.parametrize("thresholds", [np.float32(0.1), 0.1])
def test_a_threshold_is_held_against_every_value_in_doubles(decide: Any, thresholds: Any) -> None:
    values = np.float32([[0.1, -3e7, 5.0], [np.nan, np.inf, 0.09]])
    found = decide(values, thresholds)
    at = float(thresholds)
    assert found.choice.tolist() == [[1, 0, 1], [NOT_FINITE, NOT_FINITE, 0]]
    assert found.choice.dtype == np.int64
    assert found.margin.tolist() == [
        [abs(float(values[0, 0]) - at), 3e7 + at, 5.0 - at],
        [0.0, 0.0, at - float(values[1, 2])],
    ]


def test_thresholds_per_label_are_as_many_as_labels() -> None:
    several = np.float32([0.1, 0.2])
    found = decide_threshold(np.float32([[0.1, -3e7], [0.0, 7.0]]), several)  # type: ignore[arg-type]
    assert found.choice.tolist() == [[1, 0], [0, 1]]
    assert found.margin[0, 1] == 3e7 + float(several[1])
    assert decide_threshold(np.zeros(2), [0.0, 1.0]).choice.tolist() == [1, 0]
    for thresholds in ([[0.5, 0.9]], [[[0.5, 0.9]]], [0.5, 0.9, 0.1], []):
        with pytest.raises(DataError, match="thresholds do not fit outputs of shape"):
            decide_threshold(np.zeros((4, 2)), thresholds)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"not an array of shape \(1, 2\)"):
        decide_exceedance(np.zeros((4, 2)), [[0.5, 0.9]])  # type: ignore[list-item]


def test_argmax_is_over_the_last_axis_and_per_pixel_over_that_of_the_classes() -> None:
    source = np.zeros((2, 3, 4))
    source[..., 1] = 1.0
    target = source.copy()
    target[1, 2] = [0, 0, 0, 2.0]
    found = compare_decisions("argmax", target, source, FLOOR, names=list("abcd"))
    assert (found.decisions, found.flip_count) == (6, 1)
    (flip,) = found.flips
    assert (flip.sample, flip.id, flip.where, flip.source, flip.target) == (1, 1, (2,), "b", "d")
    assert flip.margin == 1.0
    last = compare_decisions("argmax-per-pixel", target, source, FLOOR, names=list("abcd"), class_axis=2)
    assert last.flips == found.flips


def test_margins_of_flips_are_in_doubles_of_the_values_themselves() -> None:
    source = np.float32([[3e7, 0.1, 0.0]])
    flip = compare_decisions("argmax", np.float32([[0.0, 9.0, 0.0]]), source, FLOOR).flips[0]
    assert flip.margin == 3e7 - float(np.float32(0.1))


def test_a_margin_of_exactly_twice_the_floor_counts() -> None:
    floor = FLOOR.model_copy(update={"rms": 0.25})
    target = np.array([[0.0, 1.0]])
    assert compare_decisions("argmax", target, np.array([[1.0, 0.5]]), floor).counted_count == 1
    assert compare_decisions("argmax", target, np.array([[1.0, np.nextafter(0.5, 1)]]), floor).counted_count == 0


def test_a_source_that_is_not_finite_has_no_decision_to_change() -> None:
    source = np.array([[np.inf, 0.0], [np.nan, 1.0], [0.0, 1.0]])
    target = np.array([[0.0, 1.0], [np.inf, 1.0], [np.inf, 1.0]])
    with np.errstate(all="raise"):
        found = compare_decisions("argmax", target, source, FLOOR)
    assert [(flip.sample, flip.target, flip.margin) for flip in found.flips] == [(2, "not finite", 1.0)]


def test_flips_of_one_margin_stand_in_the_order_of_samples() -> None:
    source = np.tile([1.0, 0.0], (400, 1))
    source[::2, 0] = 2.0
    found = compare_decisions("argmax", source[:, ::-1], source, FLOOR)
    assert [flip.sample for flip in found.flips] == [*range(0, 400, 2), *range(1, 400, 2)]


def test_where_nothing_counts_all_agree() -> None:
    source = np.array([[1.0, 2.0]])
    found = compare_decisions(
        "exceedance", source, source[:, ::-1], FLOOR, thresholds=1.5, mask=np.zeros((1, 2), np.uint8)
    )
    assert (found.decisions, found.flip_count, found.agreement) == (0, 0, 1.0)
    with pytest.raises(DataError, match=r"^decisions need outputs with a sample axis$"):
        compare_decisions("argmax", np.zeros(()), np.zeros(()), FLOOR)
    assert compare_decisions("exceedance", np.zeros(3), np.zeros(3), FLOOR, thresholds=1.0).samples == 3


@pytest.mark.parametrize(
    ("rule", "names", "thresholds", "said"),
    [
        ("threshold", ["oak", "pine"], [0.5, 0.6], ["oak: below", "pine: below"]),
        ("threshold", ["oak"], [0.5, 0.6], ["oak: below", "below"]),
        ("threshold", [], 0.5, ["below", "below"]),
        ("exceedance", ["2 mm/h"], 0.5, ["below 2 mm/h", "below 2 mm/h"]),
        ("exceedance", [], 0.5, ["below", "below"]),
        ("argmax", ["oak"], None, ["1"]),
    ],
)
def test_what_was_decided_is_named(rule: Any, names: list[str], thresholds: Any, said: list[str]) -> None:
    source, target = np.array([[1.0, 0.9]]), np.array([[0.1, 0.2]])
    found = compare_decisions(rule, target, source, FLOOR, names=names, thresholds=thresholds)
    assert [flip.target for flip in sorted(found.flips, key=lambda flip: flip.where)] == said


def test_labels_of_a_map_are_named_by_the_last_axis() -> None:
    source, target = np.ones((1, 3, 2)), np.ones((1, 3, 2))
    target[0, 2, 1] = 0.0
    found = compare_decisions("threshold", target, source, FLOOR, thresholds=0.5, names=["oak", "pine"])
    assert [(flip.target, flip.where) for flip in found.flips] == [("pine: below", (2, 1))]


def test_one_value_per_sample_has_no_label() -> None:
    found = compare_decisions("threshold", np.zeros(2), np.ones(2), FLOOR, thresholds=0.5, names=["oak", "pine"])
    assert [flip.target for flip in found.flips] == ["below", "below"]


def test_classes_before_pixels_and_places_without_any() -> None:
    source = np.zeros((1, 3, 2))
    source[0, 1], source[0, 0] = 1.0, 0.5
    target = source.copy()
    target[0, 2, 1] = 5.0
    (flip,) = compare_decisions("argmax-per-pixel", target, source, FLOOR, names=list("abc")).flips
    # The margin is to the class that it flipped to, not to the second of the source.
    assert (flip.source, flip.target, flip.where, flip.margin) == ("b", "c", (1,), 1.0)
    assert decide_argmax(np.zeros((2, 0, 3))).choice.shape == (2, 0)


def test_classes_are_compared_as_they_are_and_every_flip_counts() -> None:
    source = np.array([[[0, 1], [-1, 300]]])
    target = np.array([[[0, 2], [1, 300]]])
    found = compare_decisions("classes", target, source, FLOOR, names=["land", "water"])
    assert (found.unit, found.decisions, found.flip_count, found.counted_count) == ("pixel", 4, 2, 2)
    assert [(flip.source, flip.target, flip.margin, flip.where) for flip in found.flips] == [
        ("water", "2", None, (0, 1)),
        ("-1", "water", None, (1, 0)),
    ]
    broken = compare_decisions("classes", np.array([1.0, np.nan]), np.array([1.0, 2.0]), FLOOR)
    assert (broken.unit, broken.counted_count, broken.flips[0].target) == ("sample", 1, "not finite")


@pytest.mark.parametrize(
    ("rule", "shape", "axis", "unit", "count"),
    [
        ("argmax", (4, 3), None, "sample", 4),
        ("argmax-per-pixel", (4, 3, 5, 6), None, "pixel", 120),
        ("argmax-per-pixel", (4, 5, 6, 3), 3, "pixel", 120),
        ("argmax-per-pixel", (4, 3, 5), 1, "value", 20),
        ("threshold", (4, 3), None, "label", 12),
        ("threshold", (4, 1), None, "sample", 4),
        ("threshold", (4,), None, "sample", 4),
        ("threshold", (4, 3, 5, 6), 1, "label", 360),
        ("threshold", (4, 1, 5, 6), 1, "pixel", 120),
        ("threshold", (4, 5, 6), None, "pixel", 120),
        ("classes", (4,), None, "sample", 4),
        ("classes", (4, 1), None, "sample", 4),
        ("classes", (4, 1, 5, 6), None, "pixel", 120),
        ("classes", (4, 7), None, "value", 28),
        ("exceedance", (4, 5, 6), None, "decision", 120),
    ],
)
def test_a_decision_is_made_for_a_sample_a_label_or_a_pixel(
    rule: Any, shape: tuple[int, ...], axis: int | None, unit: str, count: int
) -> None:
    values = np.zeros(shape)
    found = compare_decisions(rule, values, values, FLOOR, thresholds=0.5, class_axis=axis)
    assert (found.unit, found.decisions) == (unit, count)


def test_thresholds_follow_the_axis_of_the_labels() -> None:
    source = np.zeros((1, 2, 1, 3))
    target = source.copy()
    target[0, 1, 0, 2] = 0.6
    found = compare_decisions(
        "threshold", target, source, FLOOR, thresholds=[0.9, 0.5], names=["oak", "pine"], class_axis=1
    )
    (flip,) = found.flips
    assert (flip.source, flip.target, flip.where) == ("pine: below", "pine: at or above", (0, 2, 1))


def test_texts_are_compared_by_what_they_say() -> None:
    found = compare_decisions("classes", np.array(["maize", "rye"]), np.array(["maize", "wheat"]), FLOOR)
    assert [(flip.sample, flip.source, flip.target) for flip in found.flips] == [(1, "wheat", "rye")]
