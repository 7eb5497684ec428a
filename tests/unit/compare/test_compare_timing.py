"""What is said of raw timings."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.compare import timing
from harness.errors import DataError

SECONDS = st.floats(1e-7, 10.0)
REPEATS = st.lists(st.lists(SECONDS, min_size=1, max_size=12), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(REPEATS, st.integers(0, 2**32 - 1))
def test_the_median_lies_in_its_interval_and_the_interval_in_the_data(repeats: list[list[float]], seed: int) -> None:
    found = timing.median_interval(repeats, resamples=50, seed=seed)
    pooled = [value for process in repeats for value in process]
    assert found.value == pytest.approx(float(np.median(pooled)))
    assert min(pooled) <= found.low <= found.value <= found.high <= max(pooled)
    assert found == timing.median_interval(repeats, resamples=50, seed=seed)


@settings(max_examples=20, deadline=None)
@given(REPEATS, st.floats(0.1, 10))
def test_times_scale_and_so_does_the_interval(repeats: list[list[float]], factor: float) -> None:
    one = timing.median_interval(repeats, resamples=40)
    other = timing.median_interval([[factor * value for value in process] for process in repeats], resamples=40)
    assert other.low == pytest.approx(factor * one.low)
    assert other.high == pytest.approx(factor * one.high)


def noisy(processes: int, repeats: int, *, between: float = 0.0, seed: int = 1) -> list[list[float]]:
    random = np.random.default_rng(seed)
    return [
        (np.exp(random.normal(0, between)) * np.exp(random.normal(0, 0.2, repeats))).tolist() for _ in range(processes)
    ]


def width(interval: timing.Interval) -> float:
    return interval.high - interval.low


def test_the_interval_shrinks_with_more_repeats() -> None:
    few, many = (timing.median_interval(noisy(3, repeats)) for repeats in (10, 1000))
    assert width(many) < width(few) / 3


def test_processes_that_differ_widen_the_interval_however_many_repeats_there_are() -> None:
    alike = timing.median_interval(noisy(3, 500))
    differing = timing.median_interval(noisy(3, 500, between=0.3))
    assert width(differing) > 4 * width(alike)


def test_the_interval_holds_the_truth_mostly() -> None:
    # Ten processes of 20 repeats whose true median is 1: percentile intervals of few processes are a little narrow.
    hits = 0
    for seed in range(60):
        found = timing.median_interval(noisy(10, 20, between=0.1, seed=seed), resamples=200, seed=seed)
        hits += found.low <= 1.0 <= found.high
    assert hits >= 49


def test_another_seed_gives_another_interval_but_the_same_median() -> None:
    repeats = noisy(3, 30)
    one, other = timing.median_interval(repeats, seed=1), timing.median_interval(repeats, seed=2)
    assert one.value == other.value
    assert one != other


def test_a_ratio_to_itself_is_about_one_and_to_half_the_time_about_two() -> None:
    slow, fast = noisy(3, 300, seed=4), noisy(3, 300, seed=5)
    same = timing.ratio_interval(slow, fast)
    assert same.low <= 1.0 <= same.high
    double = timing.ratio_interval(slow, [[value / 2 for value in process] for process in fast])
    assert 1.8 < double.low <= double.value <= double.high < 2.2


def measurement(scale: float = 1.0) -> dict[str, Any]:
    def process(seed: int) -> dict[str, Any]:
        random = np.random.default_rng(seed)
        return {
            "start_seconds": 1.0 + seed,
            "load_seconds": 0.1 * scale,
            "resident_peak_bytes": 100_000_000,
            "echo": [
                {"bytes": 1000, "round_trips": [0.0011, 0.001, 0.2]},
                {"bytes": 8_001_000, "round_trips": [0.081, 0.079, 0.08101]},
            ],
            "batches": [
                {
                    "batch_size": size,
                    "calls": 3,
                    "first_seconds": 0.5,
                    "first_cpu_seconds": 0.4,
                    "seconds": [*(scale * size * random.uniform(0.9, 1.1, 40)).tolist(), scale * size * 50],
                    "cpu_seconds": [scale * size * 2.0] * 41,
                }
                for size in (1, 64)
            ],
        }

    return {"runtime": "python/pytorch", "processes": [process(seed) for seed in range(3)]}


def test_a_measurement_is_summarised_with_its_outliers() -> None:
    one, many = timing.summarise_timing(measurement(), None)
    assert (one.batch_size, many.batch_size) == (1, 64)
    assert (one.processes, one.repeats, one.calls) == (3, 123, 3)
    assert one.seconds.value == pytest.approx(1.0, rel=0.05)
    # Wall and CPU seconds are both there: two threads' worth of work in one second.
    assert one.cpu_seconds == pytest.approx(2.0)
    assert one.p95 >= 1.0
    assert max(timing.per_process(measurement(), 1, "seconds")[0]) == 50
    assert many.throughput.value == pytest.approx(64 / many.seconds.value)
    assert many.throughput.low <= many.throughput.value <= many.throughput.high
    assert one.ratio is None


def test_ratios_are_to_the_reference_at_the_same_batch_size() -> None:
    for row in timing.summarise_timing(measurement(3.0), measurement()):
        assert row.ratio is not None
        assert row.ratio.low <= row.ratio.value <= row.ratio.high
        assert row.ratio.value == pytest.approx(3.0, rel=0.1)


def test_costs_keep_the_bridge_apart() -> None:
    found = timing.costs(measurement())
    assert found.start == 2.0
    assert found.load == pytest.approx(0.1)
    assert found.first == 0.5
    assert found.resident_peak == 100_000_000
    # (80 ms + 1 ms - 1.1 ms) / 8 MB.
    assert found.bridge_megabyte == pytest.approx(0.00999, rel=0.01)
    assert found.bridge_call == pytest.approx(0.0011, rel=0.05)


@pytest.mark.parametrize("repeats", [[], [[]], [[1.0, float("nan")]], [[-1.0]]])
def test_nothing_is_made_of_no_or_broken_timings(repeats: list[list[float]]) -> None:
    with pytest.raises(DataError):
        timing.median_interval(repeats)


def test_copies_are_told_per_sample_at_the_largest_batch_and_are_none_where_nothing_copies() -> None:
    one = measurement()
    assert timing.costs(one).copies is None
    copying = copy.deepcopy(one)
    for process in copying["processes"]:
        process["batches"][-1]["copy_seconds"] = [0.03, 0.01, 0.02]
    size = max(batch["batch_size"] for batch in copying["processes"][0]["batches"])
    assert timing.costs(copying).copies == pytest.approx(0.02 / size)
    assert timing.costs(copying).bridge_call == timing.costs(one).bridge_call


def test_broken_timings_say_what_is_wrong_and_nought_is_a_timing() -> None:
    for repeats, words in (
        ([], "there are no timings to summarise"),
        ([[]], "there are no timings to summarise"),
        ([[-1.0]], "a timing is negative or not finite"),
        ([[np.inf]], "a timing is negative or not finite"),
    ):
        with pytest.raises(DataError, match=f"^{words}$"):
            timing.median(repeats)
    assert timing.median([[0.0], [0.0]]) == 0.0


def test_the_bridge_is_the_line_through_two_sizes() -> None:
    small = {"bytes": 2_000_000, "round_trips": [5.0, 3.0, 4.0]}
    large = {"bytes": 2_500_000, "round_trips": [4.5, 9.0, 4.0]}
    assert timing.bridge([large, small]) == (2.0, 1.0)
    # A slope below nothing counts as none, and so does an exchange that takes less than nothing.
    assert timing.bridge([small, {"bytes": 3_000_000, "round_trips": [1.0]}]) == (4.0, 0.0)
    assert timing.bridge([small, {"bytes": 2_500_000, "round_trips": [8.0]}]) == (0.0, 8.0)
    with pytest.raises(DataError, match=r"^the bridge was measured with one size of arrays only$"):
        timing.bridge([small, small])


def test_one_process_with_one_batch_size_is_enough() -> None:
    batch = {"batch_size": 4, "first_seconds": 0.25, "seconds": [2.0], "cpu_seconds": [3.0], "calls": 7}
    one = {"processes": [{"batches": [batch]}]}
    (row,) = timing.summarise_timing(one, one)
    assert (row.batch_size, row.processes, row.repeats, row.calls) == (4, 1, 1, 7)
    assert row.seconds == timing.Interval(2.0, 2.0, 2.0)
    assert row.throughput == timing.Interval(2.0, 2.0, 2.0)
    assert row.ratio == timing.Interval(1.0, 1.0, 1.0)
    assert (row.p95, row.cpu_seconds) == (2.0, 3.0)
    assert timing.costs(one).first == 0.25
    assert timing.batch_sizes({"processes": []}) == []


def test_percentiles_are_those_of_the_level() -> None:
    batch = {"batch_size": 1, "seconds": [float(value) for value in range(101)], "cpu_seconds": [1.0], "calls": 1}
    (row,) = timing.summarise_timing({"processes": [{"batches": [batch]}]}, None)
    assert row.p95 == 95.0
    assert row.ratio is None
