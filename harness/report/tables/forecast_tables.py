"""How well frames are forecast: errors by step and exceedance of thresholds, by runtime, with persistence to be beaten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.report.document import Column, Table
from harness.report.formatting import counted, listed
from harness.report.read import PERSISTENCE, Results

if TYPE_CHECKING:
    import pandas as pd

_NOT_FORECAST = "No frames are forecast in this run."

#: The aggregation that pages show; the tables as CSV hold both.
SHOWN = "pooled"


def forecast_table(results: Results) -> Table:
    """RMSE, MAE, bias and skill by step and runtime, for both aggregations."""
    rows = _records(results.forecasts.errors) if results.forecasts else ()
    return Table(
        "forecast",
        "Errors of forecasts on the evaluated test samples by step.",
        (
            Column("who", "Runtime"),
            Column("aggregation", "Aggregation"),
            Column("step", "Step", "integer"),
            Column("minutes", "Minutes", "number"),
            *(Column(name, name.upper(), "number") for name in ("rmse", "mae", "bias")),
            *(Column(f"{name}_physical", f"{name.upper()}, physical", "number") for name in ("rmse", "mae", "bias")),
            Column("unit", "Unit"),
            Column("skill", "Skill", "number"),
            Column("samples", "n", "integer"),
            Column("pixels", "Pixels", "integer"),
        ),
        rows,
        empty=_NOT_FORECAST,
    )


def intervals_table(results: Results) -> Table:
    """Pooled errors and skill by step with bootstrap intervals."""
    return Table(
        "forecast_intervals",
        "Pooled errors of forecasts by step, with 95 % percentile bootstrap intervals over the test samples (1,000 resamples).",
        (
            Column("who", "Forecast"),
            Column("metric", "Metric"),
            Column("step", "Step", "integer"),
            Column("minutes", "Minutes", "number"),
            Column("value", "Value", "number"),
            Column("low", "Low", "number"),
            Column("high", "High", "number"),
            Column("samples", "Samples", "integer"),
            Column("pixels", "Pixels", "integer"),
            Column("unit", "Unit"),
        ),
        _records(results.forecasts.intervals) if results.forecasts else (),
    )


def exceedance_table(results: Results) -> Table:
    """Counts, CSI, POD and FAR by threshold, step and runtime."""
    rows = _records(results.forecasts.events) if results.forecasts else ()
    return Table(
        "exceedance",
        "Exceedance of thresholds by forecasts on the evaluated test samples.",
        (
            Column("who", "Runtime"),
            Column("threshold", "Threshold"),
            Column("unit", "Unit"),
            Column("step", "Step"),
            Column("minutes", "Minutes", "number"),
            *(
                Column(name, name.replace("_", " ").capitalize(), "integer")
                for name in ("hits", "misses", "false_alarms", "correct_negatives")
            ),
            *(Column(name, name.upper(), "share") for name in ("csi", "pod", "far")),
        ),
        rows,
        empty=_NOT_FORECAST,
    )


def groups(results: Results) -> tuple[tuple[str, ...], ...]:
    """Runtimes in the order of the files; those whose errors are equal to four digits form one group."""
    found: dict[str, list[str]] = {}
    if results.forecasts is not None:
        for who in results.forecasts.who:
            part = results.forecasts.errors[results.forecasts.errors["who"] == who]
            key = ";".join(f"{value:.3e}" for name in ("rmse", "mae") for value in part[name])
            found.setdefault(key, []).append(who)
    return tuple(tuple(names) for names in found.values())


def group_name(results: Results, group: tuple[str, ...]) -> str:
    """A group in a few words: its first member, and how many others."""
    name = results.display(group[0])
    return name if len(group) == 1 else f"{name} and {counted(len(group) - 1, 'other')}"


def group_notes(results: Results) -> tuple[str, ...]:
    """Which runtimes a group stands for."""
    return tuple(
        f"{group_name(results, group)}: {listed([results.display(who) for who in group])}, equal to four digits."
        for group in groups(results)
        if len(group) > 1
    )


def errors_page_table(results: Results) -> Table:
    """Steps down, runtimes with equal errors together: pooled RMSE in the physical unit, and skill against persistence."""
    known = groups(results)
    frame = _pooled(results)
    rows = []
    for step in sorted(set(frame["step"])) if frame is not None else ():
        at = frame[frame["step"] == step] if frame is not None else None
        if at is None:
            continue
        row: dict[str, Any] = {"step": int(step), "minutes": float(at["minutes"].iloc[0])}
        for index, group in enumerate(known):
            (one,) = at[at["who"] == group[0]].to_dict("records")
            row |= {f"rmse{index}": one["rmse_physical"], f"skill{index}": one["skill"]}
        rows.append(row)
    columns = [Column("step", "Step", "integer"), Column("minutes", "Minutes ahead", "number")]
    for index, group in enumerate(known):
        name = group_name(results, group)
        columns.append(Column(f"rmse{index}", f"RMSE, {name}", "number"))
        if group[0] != PERSISTENCE:
            columns.append(Column(f"skill{index}", f"Skill, {name}", "number"))
    return Table(
        "forecast_by_step",
        f"RMSE in {_unit(results)} by step, pooled over all pixels of all samples, and skill: 1 − MSE / MSE of persistence.",
        tuple(columns),
        tuple(rows),
        notes=(
            *group_notes(results),
            "Pixels without data count nowhere. The mean of the RMSE of single samples, another number, is in forecast.csv.",
        ),
        empty=_NOT_FORECAST,
    )


def events_page_table(results: Results) -> Table:
    """Thresholds down, runtimes with equal errors together: CSI, POD and FAR over all steps."""
    rows: list[dict[str, Any]] = []
    if results.forecasts is not None:
        frame = results.forecasts.events
        for group in groups(results):
            part = frame[(frame["who"] == group[0]) & (frame["step"] == "all")]
            for one in _records(part):
                shown = {"who": group_name(results, group), "threshold": f"{one['threshold']} {one['unit']}"}
                rows.append(one | shown)
    rows.sort(key=lambda row: float(row["threshold"].split()[0]))
    return Table(
        "exceedance_of_thresholds",
        "Exceedance of thresholds over all steps: critical success index, probability of detection, false alarm ratio.",
        (
            Column("threshold", "At least"),
            Column("who", "Forecast by"),
            Column("hits", "Hits", "integer"),
            Column("misses", "Misses", "integer"),
            Column("false_alarms", "False alarms", "integer"),
            *(Column(name, name.upper(), "share") for name in ("csi", "pod", "far")),
        ),
        tuple(rows),
        notes=group_notes(results),
        empty=_NOT_FORECAST,
    )


def _pooled(results: Results) -> pd.DataFrame | None:
    if results.forecasts is None:
        return None
    frame = results.forecasts.errors
    return frame[frame["aggregation"] == SHOWN]


def _unit(results: Results) -> str:
    known = results.manifest.data.forecast
    return known.unit if known and known.unit else "the physical unit"


def _records(frame: pd.DataFrame) -> tuple[dict[str, Any], ...]:
    """Rows with plain numbers, missing ones as None."""
    whole = {"step", "samples", "pixels", "hits", "misses", "false_alarms", "correct_negatives"}
    rows = []
    for record in frame.to_dict("records"):
        row: dict[str, Any] = {}
        for key, value in record.items():
            missing = isinstance(value, float) and value != value
            row[str(key)] = None if missing else int(value) if key in whole and not isinstance(value, str) else value
        rows.append(row)
    return tuple(rows)
