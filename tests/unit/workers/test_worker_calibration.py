"""Calibration and sampling, on a model whose call takes a known time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.workers import call_timing
from harness.workers.engine import Array, BadInput, LoadedModel, Stopwatch, TensorInfo


class Clock:
    """Clocks that go on by what a call takes, and by a tick when they are read: nothing else on the machine counts."""

    TICK = 1e-7

    def __init__(self) -> None:
        self._wall = self._cpu = 0.0

    def perf_counter(self) -> float:
        self._wall += self.TICK
        return self._wall

    def process_time(self) -> float:
        self._cpu += self.TICK
        return self._cpu

    def sleep(self, seconds: float) -> None:
        self._wall += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(call_timing, "time", found)
    return found


class Sleeper(LoadedModel):
    """A model whose call sleeps a while by a clock; the first one longer."""

    def __init__(self, clock: Clock, seconds: float, first: float = 0.0) -> None:
        self._clock = clock
        self.inputs = [TensorInfo("x", "float32", ("batch", 2))]
        self.outputs = [TensorInfo("y", "float32", ("batch", 2))]
        self.metadata = {}
        self.calls = 0
        self.sizes: set[int] = set()
        self._seconds = seconds
        self._first = first

    def run(self, feeds: dict[str, Array], watch: Stopwatch) -> dict[str, Array]:
        self.calls += 1
        self.sizes.add(len(feeds["x"]))
        with watch:
            self._clock.sleep(self._first if self.calls == 1 else self._seconds)
        return {"y": feeds["x"]}

    def parameters(self) -> dict[str, Array]:
        return {}


INPUTS = {"x": np.ones((3, 2), np.float32)}


def measured(model: LoadedModel, **options: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"batch_sizes": [4], "seconds": 0.2, "repeats": 500} | options
    return call_timing.measure(model, INPUTS, given["batch_sizes"], given["seconds"], given["repeats"])[0]


def test_a_known_time_is_measured_and_the_first_call_kept_apart(clock: Clock) -> None:
    found = measured(Sleeper(clock, 0.004, first=0.08))
    assert found["first_seconds"] == pytest.approx(0.08, rel=1e-3)
    assert found["seconds"] == pytest.approx([0.004] * len(found["seconds"]), rel=1e-3)
    # Sleeping costs wall time and no CPU time.
    assert max(found["cpu_seconds"]) < 1e-5


def test_short_calls_are_looped_until_the_clock_resolves_them(clock: Clock) -> None:
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        clock.sleep(2e-6)

    chosen = call_timing.calibrate(call, 0.002)
    assert 1000 <= chosen <= 1300
    assert calls >= chosen


def test_a_call_that_was_interrupted_once_is_looped_all_the_same(clock: Clock) -> None:
    interruptions = iter([0.005])
    assert call_timing.calibrate(lambda: clock.sleep(next(interruptions, 1e-4)), 0.002) >= 20


def test_a_long_call_is_not_looped(clock: Clock) -> None:
    assert call_timing.calibrate(lambda: clock.sleep(0.01), 0.002) == 1


def test_samples_are_bounded_by_repeats_and_by_seconds_but_never_under_three(clock: Clock) -> None:
    assert len(measured(Sleeper(clock, 0.0005), seconds=5.0, repeats=7)["seconds"]) == 7
    assert len(measured(Sleeper(clock, 0.03), seconds=0.001)["seconds"]) == call_timing.FEWEST_SAMPLES
    assert 40 <= len(measured(Sleeper(clock, 0.002), seconds=0.1, repeats=1000)["seconds"]) <= 50


def test_every_batch_has_its_size(clock: Clock) -> None:
    model = Sleeper(clock, 0.0005)
    found = call_timing.measure(model, INPUTS, [1, 2, 5], 0.01, 10)
    assert [batch["batch_size"] for batch in found] == [1, 2, 5]
    assert model.sizes == {1, 2, 5}


def test_inputs_without_samples_are_refused(clock: Clock) -> None:
    with pytest.raises(BadInput, match="no samples"):
        call_timing.measure(Sleeper(clock, 0.0), {"x": np.ones((0, 2), np.float32)}, [1], 0.01, 10)


def test_the_resolution_of_a_coarse_clock_is_seen() -> None:
    ticks = iter(tick // 50 * 0.01 for tick in range(100_000))
    assert call_timing.resolution(lambda: next(ticks)) == pytest.approx(0.01)


def test_the_peak_of_memory_grows_with_what_is_held() -> None:
    before = call_timing.resident_peak()
    if before is None:
        pytest.skip("this system does not tell")
    block = np.ones(before + 50_000_000, np.uint8)
    assert call_timing.resident_peak() > before + 10_000_000
    del block
