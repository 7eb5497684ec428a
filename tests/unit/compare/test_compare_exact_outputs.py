"""Whole numbers, truth values and texts against each other: what is counted, said and concluded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.compare import gates
from harness.compare.exact_outputs import compare_exact_route, compare_exact_runtime, is_exact, no_floor
from harness.compare.records import ErrorStatistics, Floor, RouteComparison, RuntimeComparison, Verdict

A = np.array([[1, 2], [3, 4], [5, 6]])


def changed(*places: tuple[int, int], by: int = 1) -> Any:
    values = A.copy()
    for place in places:
        values[place] += by
    return values


def said(comparison: RouteComparison | RuntimeComparison) -> list[str]:
    assert {finding.verdict for finding in comparison.findings} <= {Verdict.DIVERGENT, Verdict.UNDECIDED}
    return [finding.message for finding in comparison.findings]


@pytest.mark.parametrize(
    ("value", "exact"),
    [(True, True), (1, True), (np.uint8(1), True), ("a", True), (b"a", True), (None, True), (1.0, False), (1j, False)],
)
def test_what_has_no_error(value: Any, exact: bool) -> None:
    assert is_exact(np.array([value])) is exact


def test_the_floor_has_a_scale_where_there_are_numbers() -> None:
    nothing = {"rms": 0.0, "max_abs": 0.0, "measured_rms": 0.0, "measured_max_abs": 0.0}
    for values, scale in (([3, -7], 7.0), ([True, False], 1.0), (["a"], 0.0), ([0.5], 0.0)):
        assert no_floor(np.array(values)) == Floor(**nothing, scale=scale)
    assert no_floor(np.array([3, 200], np.uint8)).scale == 200.0
    assert no_floor(np.zeros((0, 2), int)).scale == 0.0


def test_values_that_are_the_sources_are_identical() -> None:
    found = compare_exact_runtime(A, A, source=A)
    assert (found.verdict, found.bit_equal_to_source, found.findings) == (Verdict.IDENTICAL, True, [])
    assert (found.rms_ratio, found.max_ratio) == (None, None)
    assert (found.rms_limit, found.max_limit) == (gates.RUNTIME_RMS_RATIO, gates.RUNTIME_MAX_RATIO)
    assert found.errors == ErrorStatistics(
        count=6,
        non_finite=0,
        max_abs=None,
        mean_abs=None,
        rms=None,
        relative_rms=None,
        max_ulp=None,
        one_minus_cosine=None,
        reference_min=1.0,
        reference_max=6.0,
        differing=0,
    )


def test_values_of_another_type_or_shape_are_not_the_sources() -> None:
    other_type = compare_exact_runtime(A.astype(np.int32), A, source=A)
    assert (other_type.verdict, other_type.bit_equal_to_source) == (Verdict.EQUIVALENT, False)
    assert said(other_type) == []
    other_shape = compare_exact_runtime(A, A, source=A[:2])
    assert (other_shape.verdict, other_shape.bit_equal_to_source) == (Verdict.EQUIVALENT, False)


def test_values_may_differ_where_the_sources_own_do() -> None:
    """The source in float32 differs from the oracle at one value: there another value is within the noise."""
    source = changed((1, 0))
    same = compare_exact_runtime(source, A, source=source)
    assert (same.verdict, said(same), same.errors.differing) == (Verdict.IDENTICAL, [], 1)
    third = compare_exact_runtime(changed((1, 0), by=7), A, source=source)
    assert (third.verdict, said(third), third.errors.differing) == (Verdict.EQUIVALENT, [], 1)
    right = compare_exact_runtime(A, A, source=source)
    assert (right.verdict, right.errors.differing) == (Verdict.EQUIVALENT, 0)
    # One more is counted, the other is not.
    more = compare_exact_runtime(changed((1, 0), (2, 1)), A, source=source)
    assert (more.verdict, more.errors.differing) == (Verdict.DIVERGENT, 2)
    assert said(more) == ["1 of 6 values differ from the runtime oracle, the first in sample 2"]


def test_values_that_differ_are_counted_and_the_first_sample_is_named() -> None:
    found = compare_exact_runtime(changed((1, 1), (2, 0), (2, 1)), A, source=A, comparison="end-to-end")
    assert said(found) == ["3 of 6 values differ from the end-to-end oracle, the first in sample 1"]
    assert {finding.comparison for finding in found.findings} == {"end-to-end"}
    # A source of another shape excuses nothing.
    assert said(compare_exact_runtime(changed((0, 1)), A, source=A[:2])) == [
        "1 of 6 values differ from the runtime oracle, the first in sample 0"
    ]
    assert said(compare_exact_runtime(np.array(3), np.array(4), source=np.array(4))) == [
        "1 of 1 values differ from the runtime oracle"
    ]


def test_other_shapes_and_texts_against_numbers_are_told() -> None:
    found = compare_exact_runtime(A[:2], A, source=A)
    assert found.verdict is Verdict.DIVERGENT
    assert said(found) == ["the target's outputs are int64 2 x 2, the oracle's int64 3 x 2"]
    assert found.errors.differing is None
    assert [finding.comparison for finding in found.findings] == ["runtime"]
    scalar = compare_exact_runtime(np.array(1), np.array(["a"]), source=np.array(1))
    assert said(scalar) == ["the target's outputs are int64 (), the oracle's str32 1"]
    texts = np.array(["1", "2"])
    for one, other in ((texts, np.array([1, 2])), (np.array([1, 2]), texts)):
        assert len(said(compare_exact_runtime(one, other, source=other))) == 1
    same = compare_exact_runtime(texts, texts, source=texts)
    assert (same.verdict, same.errors.reference_min, same.errors.reference_max) == (Verdict.IDENTICAL, None, None)
    # Kinds of text go together, and so do kinds of number.
    assert said(compare_exact_runtime(texts, texts.astype(object), source=texts)) == []
    assert said(compare_exact_runtime(A, A.astype(float), source=A)) == []


def test_nothing_has_no_range() -> None:
    empty = compare_exact_runtime(A[:0], A[:0], source=A[:0])
    assert (empty.verdict, empty.errors.count, empty.errors.differing) == (Verdict.IDENTICAL, 0, 0)
    assert (empty.errors.reference_min, empty.errors.reference_max) == (None, None)


def route(of_route: Any, source: Any, others: Any = None, folded: bool = False) -> RouteComparison:
    return compare_exact_route(of_route, source, folded, others or {}, oracle="r/base", passed_over={"a": "broke"})


def test_the_exported_graph_has_the_values_of_the_source() -> None:
    found = route(A, A)
    assert (found.verdict, found.findings, found.errors.differing) == (Verdict.IDENTICAL, [], 0)
    assert (found.limit, found.folded) == (gates.ROUTE_UNFOLDED, False)
    assert (found.oracle_agreement, found.oracles, found.passed_over) == (None, ["r/base"], {"a": "broke"})
    assert (route(A, A, folded=True).limit, route(A, A, folded=True).folded) == (gates.ROUTE_FOLDED, True)
    wrong = route(changed((0, 0), (2, 1)), A)
    assert (wrong.verdict, wrong.errors.differing) == (Verdict.DIVERGENT, 2)
    assert said(wrong) == ["in float64 2 of 6 values of the exported graph differ from the source"]
    assert said(route(A[:1], A)) == ["the route oracle's outputs are int64 1 x 2, the source oracle's int64 3 x 2"]
    assert {finding.comparison for one in (wrong, route(A[:1], A)) for finding in one.findings} == {"route"}


def test_oracles_are_set_against_each_other() -> None:
    others = {"b": A, "c": changed((0, 0), (0, 1), (1, 1)), "d": changed((0, 0))}
    found = route(A, A, others)
    assert (found.oracle_agreement, found.oracles) == (0.5, ["r/base", "b", "c", "d"])
    assert found.verdict is Verdict.UNDECIDED
    assert said(found) == [
        "two implementations of the route oracle, r/base and c, differ in 50.00% of the values",
        "two implementations of the route oracle, r/base and d, differ in 16.67% of the values",
    ]
    assert {finding.comparison for finding in found.findings} == {"route"}
    assert route(A, A, {"b": A}).oracle_agreement == 0.0
    assert route(A, A, {"b": A[:2]}).oracle_agreement == 1.0
    empty = route(A[:0], A[:0], {"b": A[:0]})
    assert (empty.oracle_agreement, empty.findings) == (0.0, [])
