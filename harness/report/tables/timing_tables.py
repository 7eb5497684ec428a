"""What calls cost by runtime and batch size, and what a runtime costs beside them. They differ from run to run."""

from __future__ import annotations

from typing import Any

from harness.compare.timing import RESAMPLES, Interval
from harness.report.document import Column, Table
from harness.report.formatting import MISSING, counted, integer, listed, ratio, significant
from harness.report.read import Results

#: The tables of this module: written only where something was timed.
NAMES = ("timings", "timing_costs")

_UNITS = (("s", 1.0), ("ms", 1e3), ("µs", 1e6))

NOTE = (
    f"In brackets: 95 % percentile bootstrap intervals over processes and then their repeats ({RESAMPLES:,} resamples, "
    "seed 0); no repeat was left out as an outlier."
)


def timing_tables(results: Results) -> tuple[Table, ...]:
    """Timings by batch size, and costs beside the calls; none where nothing was timed."""
    if results.timings is None:
        return ()
    return (_timings_table(results), _costs_table(results))


def conditions(results: Results) -> str:
    """Under what timings were taken: processes, repeats, threads, hardware; empty where nothing was timed."""
    if results.timings is None or not results.timings.summaries:
        return ""
    rows = [row for summary in results.timings.summaries.values() for row in summary]
    processes = sorted({row.processes for row in rows})
    repeats = sorted(row.repeats for row in rows)
    span = integer(repeats[0]) if repeats[0] == repeats[-1] else f"{integer(repeats[0])} to {integer(repeats[-1])}"
    threads = sorted({part.measurement.threads for part in results.timings.timed if part.measurement})
    return (
        f"{listed([str(number) for number in processes])} fresh {'process' if processes == [1] else 'processes'} each, "
        f"{span} repeats in all, {listed([counted(number, 'thread') for number in threads])}; {hardware(results)}"
    )


def hardware(results: Results) -> str:
    """Processor, cores and memory in words."""
    part = results.manifest.hardware
    known = [str(part.get("processor", "")).strip()]
    known += [counted(int(part["cores"]), "core")] if part.get("cores") else []
    known += [f"{part['memory_gib']} GiB memory"] if part.get("memory_gib") else []
    return ", ".join(word for word in known if word) or "hardware not stated"


def _bracketed(value: str, low: str, high: str) -> str:
    return f"{value} [{low}, {high}]"


def _in_seconds(interval: Interval) -> str:
    """All three in the unit that suits the median: ``149 µs [148, 151]``."""
    unit, factor = next((row for row in _UNITS if interval.value * row[1] >= 1), _UNITS[-1])
    value, low, high = (significant(part * factor) for part in (interval.value, interval.low, interval.high))
    return _bracketed(f"{value} {unit}", low, high)


def _timings_table(results: Results) -> Table:
    timings = results.timings
    assert timings is not None
    rows: list[dict[str, Any]] = []
    for part in timings.timed:
        for row in timings.summaries.get(part.label, ()):
            found: dict[str, Any] = {
                "what": part.label,
                "runtime": part.runtime,
                "route": part.route_label,
                "batch_size": row.batch_size,
                "processes": row.processes,
                "repeats": row.repeats,
                "calls_per_repeat": row.calls,
                "p95_seconds": row.p95,
                "cpu_seconds": row.cpu_seconds,
                "median_shown": _in_seconds(row.seconds),
                "ratio_shown": MISSING,
            }
            for name, interval in (
                ("median_seconds", row.seconds),
                ("samples_per_second", row.throughput),
                ("ratio", row.ratio),
            ):
                if interval is not None:
                    found |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
            if row.ratio is not None:
                found["ratio_shown"] = _bracketed(
                    ratio(row.ratio.value), significant(row.ratio.low, 2), significant(row.ratio.high, 2)
                )
            rows.append(found)
    failed = [f"{part.label} was not timed: {part.error}." for part in timings.timed if part.measurement is None]
    return Table(
        "timings",
        f"Wall and CPU seconds per call by batch size; ratios to {timings.reference}. {conditions(results)}.",
        (
            Column("what", "Runtime and route"),
            Column("runtime", None),
            Column("route", None),
            Column("batch_size", "Batch", "integer"),
            Column("median_seconds", None),
            Column("median_seconds_low", None),
            Column("median_seconds_high", None),
            Column("median_shown", "Median"),
            Column("p95_seconds", "95th percentile", "seconds"),
            Column("cpu_seconds", "CPU", "seconds"),
            Column("samples_per_second", "Samples per second", "number"),
            Column("samples_per_second_low", None),
            Column("samples_per_second_high", None),
            Column("ratio", None),
            Column("ratio_low", None),
            Column("ratio_high", None),
            Column("ratio_shown", "Ratio"),
            Column("repeats", "Repeats", "integer"),
            Column("processes", None),
            Column("calls_per_repeat", "Calls each", "integer"),
        ),
        tuple(rows),
        notes=(
            NOTE,
            "A repeat is a loop of calls long enough for the clock to be read to 1 %; the 95th percentile is that of "
            "repeats. CPU seconds are those of all threads of the process.",
            *failed,
        ),
        empty=f"Nothing could be timed. {' '.join(failed)}",
    )


def _costs_table(results: Results) -> Table:
    timings = results.timings
    assert timings is not None
    rows = []
    for label, found in timings.costs.items():
        rows.append(
            {
                "what": label,
                "start_seconds": found.start,
                "load_seconds": found.load,
                "first_seconds": found.first,
                "resident_peak_bytes": found.resident_peak,
                "bridge_call_seconds": found.bridge_call,
                "bridge_megabyte_seconds": found.bridge_megabyte,
                "copies_seconds": found.copies,
            }
        )
    return Table(
        "timing_costs",
        f"What a runtime costs beside its calls, medians over processes. {conditions(results)}.",
        (
            Column("what", "Runtime and route"),
            Column("start_seconds", "Start", "seconds"),
            Column("load_seconds", "Load", "seconds"),
            Column("first_seconds", "First prediction", "seconds"),
            Column("resident_peak_bytes", "Peak memory", "size"),
            Column("bridge_call_seconds", "Bridge, per exchange", "seconds"),
            Column("bridge_megabyte_seconds", "Bridge, per MB", "seconds"),
            Column("copies_seconds", "Copies, per sample", "seconds"),
        ),
        tuple(rows),
        notes=(
            "Start: until the new process gives its first answer. First prediction: the first call after loading. Bridge: "
            "arrays handed over as a file and back again, measured apart and in no other figure. Copies: what a caller pays "
            "whose language keeps arrays in another order of memory than the engine, also in no other figure. Peak memory is "
            "that of the process, language and framework included.",
        ),
        empty="Nothing could be timed.",
    )
