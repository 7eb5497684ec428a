"""Classes that an output holds, what each decision is made for, and how many changed: at their limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.compare.decisions import NOT_FINITE, compare_decisions, decide_classes
from harness.compare.records import DecisionComparison, Floor
from harness.compare.verdict import decision_changes

FLOOR = Floor(rms=1e-3, max_abs=1e-3, measured_rms=1e-3, measured_max_abs=1e-3, scale=1.0)


@pytest.mark.parametrize("values", [[0, 2**60 + 1, -(2**60) - 1], [True, False], np.array([0, 255], np.uint8)])
def test_whole_numbers_are_their_classes_exactly(values: Any) -> None:
    """Also where double precision does not hold them."""
    found = decide_classes(np.array(values))
    assert found.choice.dtype == np.int64
    assert found.choice.tolist() == [int(value) for value in values]
    assert (found.margin.dtype, found.margin.tolist()) == (np.float64, [0.0] * len(values))


def test_floating_point_numbers_are_rounded_and_kept_in_range() -> None:
    found = decide_classes(np.array([1.0, 2.4, -3.6, np.nan, np.inf, -np.inf, 1e300, -1e300]))
    assert found.choice.dtype == np.int64
    assert found.choice.tolist() == [1, 2, -4, NOT_FINITE, NOT_FINITE, NOT_FINITE, 2**62, -(2**62)]
    assert found.margin.tolist() == [0.0] * 8


@pytest.mark.parametrize(
    ("rule", "shape", "class_axis", "unit"),
    [
        ("threshold", (4, 2), None, "label"),
        ("threshold", (4, 1), None, "sample"),
        ("threshold", (4, 2, 3, 5), 1, "label"),
        ("threshold", (4, 2, 5), 1, "label"),
        ("threshold", (4, 1, 3, 5), 1, "pixel"),
        ("threshold", (4, 3, 5), None, "pixel"),
        ("argmax-per-pixel", (4, 2, 1, 5), 1, "pixel"),
        ("argmax-per-pixel", (4, 2, 3), 1, "value"),
        ("argmax", (4, 2), None, "sample"),
        ("classes", (4, 1, 3, 5), None, "pixel"),
        ("classes", (4, 1), None, "sample"),
        ("classes", (4, 3), None, "value"),
        ("exceedance", (4, 3, 5), None, "decision"),
    ],
)
def test_what_each_decision_is_made_for(rule: Any, shape: tuple[int, ...], class_axis: int | None, unit: str) -> None:
    values = np.arange(np.prod(shape), dtype=float).reshape(shape)
    found = compare_decisions(rule, values, values, FLOOR, thresholds=0.5, class_axis=class_axis)
    assert found.unit == unit


@pytest.mark.parametrize(
    ("unit", "decisions", "flips", "count", "words"),
    [
        ("pixel", 4455, 0, None, "0 of 4,455 pixels change class"),
        ("label", 258, 3, None, "3 of 258 labels change"),
        ("label", 258, 5, 3, "3 of 258 labels change"),
        ("sample", 64, 5, 0, "0 of 64 samples change class"),
        ("sample", 64, 1, None, "1 of 64 samples changes class"),
        ("value", 1, 0, None, "0 of 1 value changes"),
        ("decision", 20000, 1234, None, "1,234 of 20,000 decisions change"),
    ],
)
def test_how_many_decisions_changed(unit: Any, decisions: int, flips: int, count: int | None, words: str) -> None:
    found = DecisionComparison.model_construct(unit=unit, decisions=decisions, flip_count=flips)
    assert decision_changes(found, count) == words


def test_classes_in_words_and_in_numbers_are_compared_as_texts() -> None:
    for target, source in ((["1", "two"], [1, 3]), ([1, 2], ["1", "three"])):
        found = compare_decisions("classes", np.array(target), np.array(source), FLOOR)
        assert [(flip.sample, flip.source, flip.target) for flip in found.flips] == [
            (1, str(source[1]), str(target[1]))
        ]
