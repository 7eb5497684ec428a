"""Which implementations of a graph agree, and whom a majority is for."""

from __future__ import annotations

import numpy as np
import pytest

from harness.compare.gates import ORACLE_AGREEMENT
from harness.compare.oracle_votes import agreeing, distance, largest_distance, majority

SPREAD = np.array([[100.0, -100.0], [100.0, -100.0]])


def test_the_distance_is_the_largest_difference_in_units_of_the_spread() -> None:
    other = SPREAD.copy()
    other[1, 0] += 25.0
    assert distance(other, SPREAD) == 0.25
    assert distance(SPREAD.astype(np.float32), SPREAD) == 0.0
    assert distance(np.zeros((0, 2)), np.zeros((0, 2))) == 0.0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (SPREAD[:1], SPREAD),
        (np.array([1, 2]), np.array([1, 3])),
        (np.array([1.0, 2.0]), np.array([1, 2]) + 1),
        (np.array([np.nan, 1.0]), np.array([0.0, 1.0])),
        (np.array([0.0, 1.0]), np.array([np.nan, 1.0])),
        (np.array([np.inf, 1.0]), np.array([-np.inf, 1.0])),
    ],
)
def test_what_cannot_be_near_is_infinitely_far(one: np.ndarray, other: np.ndarray) -> None:
    assert distance(one, other) == np.inf


def test_values_that_are_not_finite_on_both_sides_are_equal_and_the_rest_counts() -> None:
    one, other = np.array([np.nan, np.inf, 1.0, -1.0]), np.array([np.nan, np.inf, 1.5, -1.0])
    assert distance(one, other) == pytest.approx(0.5 / 1.25)
    assert distance(np.array([True, False]), np.array([True, False])) == 0.0


def test_all_tensors_count_and_names_must_be_the_same() -> None:
    near, far = {"y": SPREAD, "z": SPREAD}, {"y": SPREAD, "z": SPREAD + 1}
    assert largest_distance(far, near) == 0.01
    assert largest_distance({"y": SPREAD}, near) == np.inf
    assert largest_distance({}, {}) == 0.0


def test_groups_are_of_those_within_the_limit_the_largest_first() -> None:
    ones = np.array([1.0, -1.0])
    answers = {
        "a": {"y": ones + 1e-3},
        "b": {"y": ones},
        "c": {"y": ones + ORACLE_AGREEMENT / 2},
        "d": {"y": ones + 3e-10},
    }
    assert agreeing(answers) == [["b", "c"], ["a"], ["d"]]
    assert agreeing({}) == []


@pytest.mark.parametrize(
    ("groups", "without", "wins"),
    [
        ([], [], []),
        ([["a"]], [], []),
        ([["a", "b"]], [], ["a", "b"]),
        ([["a", "b"], ["c"]], [], ["a", "b"]),
        ([["a", "b"], ["c", "d"]], [], []),
        ([["a"], ["c"]], [], []),
        # Nobody decides about itself.
        ([["a", "b"], ["c"]], ["a"], []),
        ([["a", "b"], ["c"]], ["c"], ["a", "b"]),
        ([["a", "b", "d"], ["c"]], ["a"], ["b", "d"]),
        ([["a", "b", "e"], ["c", "d"]], ["a"], []),
        ([["a", "b"], ["c", "d", "e"]], ["a"], ["c", "d", "e"]),
    ],
)
def test_a_majority_has_two_at_least_and_more_than_any_other(
    groups: list[list[str]], without: list[str], wins: list[str]
) -> None:
    assert majority(groups, without) == wins
