"""The training of the source: losses and metrics per epoch, and in a table of its own how long it took."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from harness.report.document import Column, Kind, Table
from harness.report.read import Results

if TYPE_CHECKING:
    import pandas as pd

_HEADERS = {
    "epoch": "Epoch",
    "loss": "Loss",
    "valid_loss": "Validation loss",
    "accuracy": "Accuracy",
    "kappa": "Kappa",
    "rmse": "RMSE",
    "mae": "MAE",
    "skill": "Skill",
    "bias": "Bias",
    "r2": "R²",
    "iou_mean": "Mean IoU",
    "hamming": "Hamming loss",
    "learning_rate": "Learning rate",
    "iterations_per_second": "Iterations per second",
    "seconds": "Seconds",
}


def training_table(results: Results) -> Table:
    """Losses and metrics per epoch, without timings: two runs give the same bytes."""
    names = _columns(results.training)
    return Table(
        "training",
        "Training log: loss on the training part, all other figures on the validation part.",
        tuple(Column(name, metric_title(name), _kind(name)) for name in names),
        _rows(results.training),
        empty="Nothing was trained in this run.",
    )


def training_seconds_table(results: Results) -> Table:
    """Seconds and iterations per second of every epoch."""
    names = _columns(results.training_seconds)
    return Table(
        "training_seconds",
        "Seconds per epoch of training, one run.",
        tuple(Column(name, metric_title(name), _kind(name)) for name in names),
        _rows(results.training_seconds),
        empty="Nothing was trained in this run.",
    )


def seconds_table(results: Results) -> Table:
    """Everything in ``seconds.json``, one row per figure."""
    rows = [{"what": " / ".join(path), "seconds": value} for path, value in _leaves(results.seconds, ())]
    return Table(
        "seconds",
        "Seconds by step and worker, one run.",
        (Column("what", "What"), Column("seconds", "Time", "seconds")),
        tuple(rows),
        empty="No timings were recorded.",
    )


def _leaves(value: Any, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], float]]:
    if isinstance(value, dict):
        return [leaf for key in sorted(value) for leaf in _leaves(value[key], (*path, str(key)))]
    if isinstance(value, list):
        return [leaf for index, item in enumerate(value, 1) for leaf in _leaves(item, (*path, str(index)))]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [(path, float(value))]
    return []


def _columns(frame: pd.DataFrame | None) -> list[str]:
    return [] if frame is None else [str(name) for name in frame.columns]


def metric_title(name: str) -> str:
    """What readers call a column of the training log."""
    if name in _HEADERS:
        return _HEADERS[name]
    metric, _, average = name.partition("_")
    return f"{metric.upper() if metric in ('f1', 'f2') else metric.capitalize()} {average}".strip()


def _kind(name: str) -> Kind:
    if name == "epoch":
        return "integer"
    if name in ("loss", "valid_loss", "rmse", "mae", "bias", "r2", "skill", "learning_rate", "iterations_per_second"):
        return "number"
    return "seconds" if name == "seconds" else "share"


def _rows(frame: pd.DataFrame | None) -> tuple[dict[str, Any], ...]:
    if frame is None:
        return ()
    rows = []
    for record in frame.to_dict("records"):
        row = {str(name): None if math.isnan(value) else float(value) for name, value in record.items()}
        row["epoch"] = int(record["epoch"])
        rows.append(row)
    return tuple(rows)
