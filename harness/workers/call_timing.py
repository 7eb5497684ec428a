"""How long one call of a loaded model takes: the first call separately, then calibrated loops; raw numbers.

Nothing is summarised here: a worker returns its measurements, and ``harness.compare.timing`` evaluates them. The
calibration is that of pyperf (https://pyperf.readthedocs.io/): calls are looped until one sample is long against the
resolution of the clocks.
"""

from __future__ import annotations

import gc
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.workers.batches import SampleAxes
from harness.workers.engine import Array, BadInput, LoadedModel, check_batch, checked_inputs

#: A sample lasts at least this many times the resolution of the coarser clock: its error stays under 1 %.
TICKS = 100
#: Samples of a batch size are never fewer, however long a call takes.
FEWEST_SAMPLES = 3
#: Limits that keep an answer within one line of the contract.
MOST_SAMPLES = 1000
MOST_BATCH_SIZES = 16
MOST_SECONDS = 600.0
LARGEST_BATCH = 1 << 20
DEFAULT_SAMPLES = 500

_MOST_CALLS = 1_000_000
#: A sample of so many seconds is not long because of one interruption.
_CERTAIN = 0.1

Clock = Callable[[], float]


def resolution(clock: Clock, tries: int = 5) -> float:
    """The smallest step in seconds that a clock is seen to take, the cost of reading it included."""
    steps = []
    for _ in range(tries):
        began = clock()
        while (now := clock()) == began:
            pass
        steps.append(now - began)
    return min(steps)


def sample(call: Callable[[], object], calls: int) -> tuple[float, float]:
    """Wall and CPU seconds (of all threads of the process) of ``calls`` calls in a row."""
    loop = range(calls)
    cpu = time.process_time()
    wall = time.perf_counter()
    for _ in loop:
        call()
    wall = time.perf_counter() - wall
    cpu = time.process_time() - cpu
    return wall, cpu


def calibrate(call: Callable[[], object], shortest: float) -> int:
    """The number of calls that take at least ``shortest`` wall seconds; finding it warms the model up."""
    calls = 1
    while calls < _MOST_CALLS:
        wall = _undisturbed(call, calls, shortest)
        if wall >= shortest:
            break
        # A little more than proportional, so that the next try is mostly the last.
        needed = math.ceil(1.2 * calls * shortest / wall) if wall > 0 else 10 * calls
        calls = min(max(needed, calls + 1), 10 * calls, _MOST_CALLS)
    return calls


def _undisturbed(call: Callable[[], object], calls: int, shortest: float) -> float:
    """Wall seconds of some calls; where they seem long enough, the least of three, since other processes interrupt."""
    wall, _ = sample(call, calls)
    for _ in range(2):
        # One interruption is never that long.
        if not shortest <= wall < _CERTAIN:
            break
        wall = min(wall, sample(call, calls)[0])
    return wall


def measure(
    model: LoadedModel,
    inputs: dict[str, Array],
    batch_sizes: list[int],
    seconds: float,
    repeats: int,
    sample_axes: SampleAxes | None = None,
) -> list[dict[str, Any]]:
    """Per batch size: the first call separately, then samples until ``seconds`` are over or there are ``repeats``.

    Each is ``batch_size``, ``first_seconds``, ``first_cpu_seconds``, ``calls`` (per sample) and the lists ``seconds``
    and ``cpu_seconds``, both per call. Batches hold the first samples of ``inputs``, from the beginning again where
    there are too few; inputs of all samples (None in ``sample_axes``) are whole in each. Raises BadInput on wrong inputs.
    """
    axes = sample_axes or {}
    given = checked_inputs(inputs, model, axes)
    shortest = TICKS * max(resolution(time.perf_counter), resolution(time.process_time))
    batches = [(size, batch_of(given, size, model, axes)) for size in batch_sizes]
    return [{"batch_size": size} | _one_size(model, batch, shortest, seconds, repeats) for size, batch in batches]


def batch_of(inputs: dict[str, Array], size: int, model: LoadedModel, axes: SampleAxes) -> dict[str, Array]:
    """``size`` samples of every input that has them. Raises BadInput where a model or its inputs have no such batch."""
    batch = {}
    for name, array in inputs.items():
        axis = axes.get(name, 0)
        if axis is None:
            batch[name] = array
            continue
        if axis >= array.ndim or array.shape[axis] == 0:
            raise BadInput(f"input '{name}' has no samples along axis {axis} to make batches of")
        batch[name] = np.ascontiguousarray(np.take(array, np.arange(size) % array.shape[axis], axis=axis))
    check_batch(batch, model.inputs)
    return batch


def _one_size(
    model: LoadedModel, batch: dict[str, Array], shortest: float, seconds: float, repeats: int
) -> dict[str, Any]:
    call = model.prepared(batch)
    gc.collect()
    first, first_cpu = sample(call, 1)
    calls = calibrate(call, shortest)
    walls: list[float] = []
    cpus: list[float] = []
    deadline = time.perf_counter() + seconds
    while len(walls) < repeats and (len(walls) < FEWEST_SAMPLES or time.perf_counter() < deadline):
        wall, cpu = sample(call, calls)
        # Rounded to nanoseconds, the unit of the clocks.
        walls.append(round(wall / calls, 9))
        cpus.append(round(cpu / calls, 9))
    return {
        "calls": calls,
        "first_seconds": first,
        "first_cpu_seconds": first_cpu,
        "seconds": walls,
        "cpu_seconds": cpus,
    }


def resident_peak() -> int | None:
    """The peak resident memory of this process in bytes; None where the system does not report it.

    ``VmHWM`` and not ``getrusage``, which on Linux begins with the peak of the process that started this one.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    if sys.platform == "darwin":
        import resource

        return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return None


def checked_request(batch_sizes: Any, seconds: Any, repeats: Any) -> tuple[list[int], float, int]:
    """The arguments of a ``time`` request. Raises BadInput."""
    whole = isinstance(batch_sizes, list) and all(
        isinstance(size, int) and not isinstance(size, bool) for size in batch_sizes
    )
    if not whole or not 1 <= len(batch_sizes) <= MOST_BATCH_SIZES or len(set(batch_sizes)) != len(batch_sizes):
        raise BadInput(f"batch_sizes must be a list of 1 to {MOST_BATCH_SIZES} different integers, not {batch_sizes!r}")
    if not all(1 <= size <= LARGEST_BATCH for size in batch_sizes):
        raise BadInput(f"every batch size must be from 1 to {LARGEST_BATCH}, not {batch_sizes}")
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not 0 < seconds <= MOST_SECONDS:
        raise BadInput(f"seconds must be a number over 0 and at most {MOST_SECONDS:g}, not {seconds!r}")
    if not isinstance(repeats, int) or isinstance(repeats, bool) or not FEWEST_SAMPLES <= repeats <= MOST_SAMPLES:
        raise BadInput(f"repeats must be an integer from {FEWEST_SAMPLES} to {MOST_SAMPLES}, not {repeats!r}")
    return batch_sizes, float(seconds), repeats
