"""Outputs that a user's own framework gave: an oracle in float64, a measurement in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.compare import gates
from harness.compare.expected_outputs import compare_expected_route, floor_of_both, is_measured, said_of
from harness.compare.outputs import noise_floor
from harness.compare.records import Floor, RouteComparison, Verdict

RANDOM = np.random.default_rng(2)
GRAPH = RANDOM.normal(size=(32, 4))
SIGNS = np.sign(RANDOM.normal(size=GRAPH.shape))
SPREAD = float(GRAPH.std())
FLOOR = noise_floor(GRAPH + 1e-5 * SIGNS, GRAPH)


def compared(off: float, dtype: Any = np.float32, floor: Floor = FLOOR, **options: Any) -> RouteComparison:
    """Expected outputs that lie so many floors off the graph."""
    return compare_expected_route(GRAPH, (GRAPH + off * 1e-5 * SIGNS).astype(dtype), floor, {}, **options)


def test_half_and_single_precision_are_measurements() -> None:
    assert [is_measured(np.zeros(1, kind)) for kind in ("f2", "f4", "f8", "i4")] == [True, True, False, False]


def test_the_floor_of_two_is_twice_that_of_one_but_for_the_scale() -> None:
    one = Floor(rms=1.0, max_abs=2.0, measured_rms=3.0, measured_max_abs=4.0, scale=5.0)
    assert floor_of_both(one) == Floor(rms=2.0, max_abs=4.0, measured_rms=6.0, measured_max_abs=8.0, scale=5.0)


@pytest.mark.parametrize(
    ("off", "dtype", "half", "verdict"),
    [
        (0.0, np.float64, False, Verdict.IDENTICAL),
        (0.0, np.float64, True, Verdict.IDENTICAL),
        (0.05, np.float64, False, Verdict.EQUIVALENT),
        (1.0, np.float64, False, Verdict.DRIFTED),
        (3.9, np.float64, True, Verdict.EQUIVALENT),
        (4.1, np.float64, True, Verdict.DRIFTED),
        (3.9, np.float32, False, Verdict.EQUIVALENT),
        (4.1, np.float32, False, Verdict.DRIFTED),
    ],
)
def test_the_limit_is_that_of_folded_exports_or_of_the_floor(
    off: float, dtype: Any, half: bool, verdict: Verdict
) -> None:
    found = compared(off, dtype, half=half)
    assert found.verdict is verdict
    floored = half or dtype is np.float32
    assert found.limit == pytest.approx(4 * FLOOR.rms / SPREAD if floored else gates.ROUTE_FOLDED, rel=1e-4)
    assert len(found.findings) == (verdict is Verdict.DRIFTED)


def test_what_is_told_of_a_measurement_beyond_the_floor() -> None:
    (told,) = compared(8.0).findings
    assert told.comparison == "route"
    assert told.verdict is Verdict.DRIFTED
    assert told.message == (
        f"the exported graph differs from the expected outputs by {8e-5 / SPREAD:.2e} of the outputs' spread, "
        "8 times the noise floor (largest 8.01 times); the limit is 4 times (largest 16 times), float32 as they are"
    )
    (told,) = compared(8.0, np.float64, half=True, source="the framework").findings
    assert "differs from the framework by" in told.message
    assert told.message.endswith("(largest 16 times), a graph that computes in half precision")
    (told,) = compared(8.0, np.float64).findings
    assert "the limit is 1e-06" in told.message
    assert "folded" not in told.message


def test_one_value_far_off_is_beyond_the_floor_too() -> None:
    for off, verdict in ((15.5, Verdict.EQUIVALENT), (16.5, Verdict.DRIFTED)):
        expected = GRAPH.astype(np.float32)
        expected[3, 2] += np.float32(off * 1e-5)
        assert compare_expected_route(GRAPH, expected, FLOOR, {}).verdict is verdict


def test_a_floor_below_what_folding_allows_is_no_limit() -> None:
    tiny = Floor(rms=1e-9, max_abs=1e-9, measured_rms=1e-9, measured_max_abs=1e-9, scale=1.0)
    found = compared(0.05, floor=tiny)
    assert (found.verdict, found.limit) == (Verdict.EQUIVALENT, gates.ROUTE_FOLDED)


def test_outputs_without_a_number_are_left_as_they_are() -> None:
    found = compare_expected_route(GRAPH, GRAPH[:3].astype(np.float32), FLOOR, {})
    assert (found.verdict, found.limit, len(found.findings)) == (Verdict.DIVERGENT, gates.ROUTE_FOLDED, 1)


def test_oracles_that_part_leave_a_measurement_undecided() -> None:
    found = compare_expected_route(
        GRAPH, GRAPH.astype(np.float32), FLOOR, {"r/base": GRAPH + 1e-6}, oracle="julia/base"
    )
    assert (found.verdict, found.oracles) == (Verdict.UNDECIDED, ["julia/base", "r/base"])


@pytest.mark.parametrize(
    ("expected", "route", "said"),
    [
        (GRAPH, GRAPH, "output y was expected in float64: an oracle of the route"),
        (np.arange(3), GRAPH, "output y was expected in int64: compared value by value"),
        (np.array(["a"]), GRAPH, "output y was expected in texts: compared value by value"),
        (
            (GRAPH + 0.5).astype(np.float32),
            GRAPH,
            "output y was expected in float32, 5.00e-01 (RMS) away from the exported graph in float64: a measurement of the "
            "route, which sees what is beyond the noise floor of the file itself; save float64 outputs for an exact one",
        ),
    ],
)
def test_what_can_be_seen_is_told_by_type(expected: Any, route: Any, said: str) -> None:
    assert said_of("y", expected, route) == said


def test_a_distance_that_is_none_is_not_told() -> None:
    sick = GRAPH.astype(np.float32)
    sick[0, 0] = np.nan
    for expected, route in ((sick, GRAPH), (GRAPH.astype(np.float32), sick), (GRAPH[:1].astype(np.float32), GRAPH)):
        assert said_of("y", expected, route).startswith("output y was expected in float32: a measurement of the route")
