"""Frames after those that were seen: errors by step, and exceedance of thresholds."""

from __future__ import annotations

from typing import Any

from harness.report.document import Column, Table
from harness.report.formatting import counted
from harness.report.read import Results
from harness.report.sections.forecast_section import forecast_section
from harness.report.tables import forecast_tables
from harness.report.task_reports.task_report import Sentence, TaskReport

_PARTS = {"train": "Training", "valid": "Validation", "test": "Test"}


def statistics(results: Results) -> list[Sentence]:
    """What errors and skill are of."""
    return [
        (
            f"Errors of forecasts are of {counted(results.evaluated, 'test sample')}, by step and pooled over all pixels "
            "with data; skill is 1 − MSE / MSE of persistence.",
        )
    ]


def samples(results: Results) -> str:
    """What a sequence is."""
    known = results.manifest.data.forecast
    if known is None:
        return ""
    return (
        f", each of {known.history} frames of {known.rows} x {known.columns} pixels and the {known.horizon} after them, "
        f"{known.interval / 60:g} minutes apart"
    )


def frames_table(results: Results) -> Table:
    """Sequences of frames per part, and what frames are."""
    data = results.manifest.data
    known = data.forecast
    parts = [part for part in _PARTS if part in data.counts]
    rows: list[dict[str, Any]] = [
        {"what": f"Sequences, {_PARTS[part].lower()} part", "value": f"{sum(data.counts[part].values()):,}"}
        for part in parts
    ]
    if known is not None:
        done = known.resampling
        size = f"{known.rows} x {known.columns} pixels"
        if done.get("resampler", "none") != "none":
            old = " x ".join(str(length) for length in done.get("from", ()))
            size += f", resampled from {old} ({done['resampler']}, rounding {done.get('rounding', 'unknown')})"
        rows += [
            {"what": "Frames seen and forecast", "value": f"{known.history} and {known.horizon}"},
            {"what": "Minutes between frames", "value": f"{known.interval / 60:g}"},
            {"what": "Size of a frame", "value": size},
            {"what": "Scale", "value": f"{known.bottom:g} to {known.top:g} {known.unit} become 0 to 1"},
        ]
    return Table(
        "frames",
        "Sequences of frames, and what a frame is.",
        (Column("what", "What"), Column("value", "Value")),
        tuple(rows),
    )


REPORT = TaskReport(
    tables={
        "forecast": lambda results, _: forecast_tables.forecast_table(results),
        "forecast_intervals": lambda results, _: forecast_tables.intervals_table(results),
        "exceedance": lambda results, _: forecast_tables.exceedance_table(results),
    },
    printed=lambda results, *_: (
        forecast_tables.errors_page_table(results),
        forecast_tables.events_page_table(results),
    ),
    sections=lambda results, _: forecast_section(results),
    statistics=statistics,
    samples=samples,
    data_table=frames_table,
    synthetic="errors and skill of forecasts below say nothing about real rain.",
)
