"""What can be said of raw timings: medians with intervals, tails, throughput and ratios. Nothing is left out.

Repeats of one process resemble each other more than those of another (memory layout, hash seeds, frequency of the
processor): intervals come from a bootstrap of two levels, processes first and then the repeats of each (Davison and
Hinkley 1997, section 3.8; Kalibera and Jones 2013, https://doi.org/10.1145/2464157.2464160). Outliers are part of what a
user meets and stay; the median does not mind them, and the 95th percentile is there to show them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError

Float64 = NDArray[np.float64]
#: Seconds per call: one sequence of repeats per process.
Repeats = Sequence[Sequence[float]]

LEVEL = 0.95
RESAMPLES = 1000


@dataclass(frozen=True)
class Interval:
    """A number with its bootstrap interval, low <= value <= high."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Timing:
    """One runtime at one batch size; seconds are per call of ``batch_size`` samples.

    ``throughput`` is in samples per second. ``ratio`` is to the reference at the same batch size, over 1 where it is
    slower; None where the reference was not timed.
    """

    batch_size: int
    processes: int
    repeats: int
    calls: int
    seconds: Interval
    p95: float
    cpu_seconds: float
    throughput: Interval
    ratio: Interval | None


@dataclass(frozen=True)
class Costs:
    """What a runtime costs beside its calls: medians over processes, in seconds, bytes, and seconds per call or megabyte.

    ``start`` until the process answers, ``load`` of the model, ``first`` prediction; ``bridge_call`` and
    ``bridge_megabyte`` for handing arrays there and back; ``copies`` per sample between the orders of memory of language
    and engine, at the largest batch. None where it was not measured.
    """

    start: float | None
    load: float | None
    first: float | None
    resident_peak: float | None
    bridge_call: float | None
    bridge_megabyte: float | None
    copies: float | None


def median(repeats: Repeats) -> float:
    """Median over all repeats of all processes. Raises DataError where there are none."""
    return float(np.median(_pooled(repeats)))


def median_interval(
    repeats: Repeats, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int | Sequence[int] = 0
) -> Interval:
    """The median of all repeats, and the percentiles of its bootstrap over processes and their repeats.

    The interval is widened to the median itself where resampling misses it. Equal arguments give equal numbers.
    """
    return _interval(median(repeats), medians(repeats, resamples, seed), level)


def ratio_interval(
    numerator: Repeats,
    denominator: Repeats,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int | Sequence[int] = 0,
) -> Interval:
    """The ratio of two medians, each resampled on its own: the two were measured in processes of their own."""
    base = [seed] if isinstance(seed, int) else list(seed)
    above = medians(numerator, resamples, [*base, 0])
    below = medians(denominator, resamples, [*base, 1])
    return _interval(median(numerator) / median(denominator), above / below, level)


def medians(repeats: Repeats, resamples: int, seed: int | Sequence[int]) -> Float64:
    """Medians of ``resamples`` resampled experiments (resample,): processes drawn with replacement, then their repeats."""
    processes = [np.asarray(process, np.float64) for process in repeats if len(process)]
    _pooled(processes)
    random = np.random.default_rng(seed)
    found = np.empty(resamples)
    for index in range(resamples):
        drawn = random.integers(len(processes), size=len(processes))
        found[index] = np.median(
            np.concatenate([random.choice(processes[process], len(processes[process])) for process in drawn])
        )
    return found


def _pooled(repeats: Sequence[Any]) -> Float64:
    values = np.concatenate([np.asarray(process, np.float64) for process in repeats]) if len(repeats) else np.empty(0)
    if not values.size:
        raise DataError("there are no timings to summarise")
    if not np.isfinite(values).all() or (values < 0).any():
        raise DataError("a timing is negative or not finite")
    return values


def _interval(value: float, resampled: Float64, level: float) -> Interval:
    tail = 50 * (1 - level)
    low, high = np.percentile(resampled, [tail, 100 - tail])
    return Interval(value, min(float(low), value), max(float(high), value))


def summarise_timing(
    measurement: Mapping[str, Any], reference: Mapping[str, Any] | None, *, seed: int = 0
) -> list[Timing]:
    """One Timing per batch size of a measurement (``timing.json`` of an artifact), in its order.

    ``reference``: the measurement that ratios are taken to; None: no ratios.
    """
    found = []
    for size in batch_sizes(measurement):
        walls = per_process(measurement, size, "seconds")
        seconds = median_interval(walls, seed=[seed, size])
        base = per_process(reference, size, "seconds") if reference is not None else []
        found.append(
            Timing(
                batch_size=size,
                processes=len(walls),
                repeats=sum(len(process) for process in walls),
                calls=max(batch["calls"] for batch in _batches(measurement, size)),
                seconds=seconds,
                p95=float(np.percentile(_pooled(walls), 95)),
                cpu_seconds=median(per_process(measurement, size, "cpu_seconds")),
                throughput=Interval(size / seconds.value, size / seconds.high, size / seconds.low),
                ratio=ratio_interval(walls, base, seed=[seed, size]) if base else None,
            )
        )
    return found


def costs(measurement: Mapping[str, Any]) -> Costs:
    """What a runtime costs beside its calls, from the same measurement."""
    processes = measurement["processes"]

    def middle(values: list[Any]) -> float | None:
        there = [float(value) for value in values if value is not None]
        return float(np.median(there)) if there else None

    echoes = [bridge(process["echo"]) for process in processes if process.get("echo")]
    return Costs(
        start=middle([process.get("start_seconds") for process in processes]),
        load=middle([process.get("load_seconds") for process in processes]),
        first=middle([process["batches"][0]["first_seconds"] for process in processes]),
        resident_peak=middle([process.get("resident_peak_bytes") for process in processes]),
        bridge_call=middle([call for call, _ in echoes]),
        bridge_megabyte=middle([megabyte for _, megabyte in echoes]),
        copies=middle([_copies_per_sample(process["batches"]) for process in processes]),
    )


def _copies_per_sample(batches: Sequence[Mapping[str, Any]]) -> float | None:
    largest = max(batches, key=lambda batch: batch["batch_size"])
    repeats = largest.get("copy_seconds")
    return float(np.median(repeats)) / largest["batch_size"] if repeats else None


def bridge(echoes: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Seconds per exchange and per megabyte (10^6 bytes) there and back, from echoes of two sizes.

    Each echo holds ``bytes`` and ``round_trips``, a list of seconds: the line through the medians of the smallest and the
    largest. A slope below nothing is noise and counts as none.
    """
    small = min(echoes, key=lambda echo: echo["bytes"])
    large = max(echoes, key=lambda echo: echo["bytes"])
    at_small, at_large = (float(np.median(echo["round_trips"])) for echo in (small, large))
    megabytes = (large["bytes"] - small["bytes"]) / 1e6
    if megabytes <= 0:
        raise DataError("the bridge was measured with one size of arrays only")
    slope = max(at_large - at_small, 0.0) / megabytes
    return max(at_small - slope * small["bytes"] / 1e6, 0.0), slope


def batch_sizes(measurement: Mapping[str, Any]) -> list[int]:
    """The batch sizes of a measurement, in the order they were asked for."""
    processes = measurement["processes"]
    return [int(batch["batch_size"]) for batch in processes[0]["batches"]] if processes else []


def per_process(measurement: Mapping[str, Any], batch_size: int, key: str) -> list[list[float]]:
    """``seconds`` or ``cpu_seconds`` per call at a batch size: one list of repeats per process."""
    return [batch[key] for batch in _batches(measurement, batch_size)]


def _batches(measurement: Mapping[str, Any], batch_size: int) -> list[Mapping[str, Any]]:
    return [
        batch
        for process in measurement["processes"]
        for batch in process["batches"]
        if batch["batch_size"] == batch_size
    ]
