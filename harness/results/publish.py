"""How result files are written: tables from arrays, parts of the manifest, and the order that keeps a folder whole."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from harness.compare.forecast import AGGREGATIONS, exceedance, persistence, skill, step_errors
from harness.compare.metrics import predict, probabilities
from harness.compare.port import PortComparison
from harness.compare.records import CellResult, Verdict
from harness.data.prepared_frames import Forecast
from harness.files.arrays import stored_arrays
from harness.files.store import explained, to_json, write_atomically
from harness.models.spec import Head
from harness.pipeline.execution import Finished
from harness.pipeline.plan import Plan
from harness.pipeline.provenance import hardware, harness_version, library_versions, lock_hash
from harness.report.frames import ExampleFrames
from harness.report.read import PERSISTENCE
from harness.runtimes.registry import runtime
from harness.runtimes.row import Availability
from harness.runtimes.tooling import packages

#: Result files that not every run has.
_SOMETIMES = (
    "timings.json",
    "training.csv",
    "training_seconds.csv",
    "predictions.csv.gz",
    "frames.safetensors",
    "port.json",
)

Array = NDArray[Any]
Rows = Iterable[Sequence[Any]]


def finished_run(folder: Path, identity: str) -> list[CellResult] | None:
    """The cells of a finished run of that identity; None where there is none or a cell is to be tried again."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        if manifest["identity"] != identity or not (folder / "report.html").exists():
            return None
        cells = [CellResult.model_validate(cell) for cell in json.loads((folder / "cells.json").read_text())]
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return None
    return None if any(cell.verdict is Verdict.FAILED for cell in cells) else cells


def publish(
    folder: Path,
    cells: Sequence[CellResult],
    manifest: Mapping[str, Any],
    seconds: Mapping[str, Any],
    tables: Mapping[str, Rows],
    *,
    structures: Mapping[str, Any],
    workers: Mapping[str, Any],
    timings: Mapping[str, Any] | None = None,
    frames: ExampleFrames | None = None,
    port: PortComparison | None = None,
    pdf: bool,
) -> None:
    """Write the result files and the report made from them.

    ``tables``: rows by file name, compressed where it ends in ``.gz``. ``structures``: graphs by route label, as the worker
    contract tells them. ``workers``: how often and how fast they started in this run, and what they warned of.
    ``timings``: what was timed, for a file of its own, since it differs from run to run. ``frames``: one sequence to be
    shown. ``port``: a second implementation and what it differs in. The manifest gets its identity last, so that a folder
    whose manifest names a run is whole.
    """
    from harness.report.build import build_report

    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").unlink(missing_ok=True)
        # What an earlier run had and this one has not would be taken for this one's.
        for name in {*_SOMETIMES} - set(tables):
            (folder / name).unlink(missing_ok=True)
    write_atomically(folder / "cells.json", to_json([cell.model_dump(mode="json") for cell in cells]))
    graphs = {route: {**graph, "metadata": {}} for route, graph in structures.items()}
    write_atomically(folder / "structures.json", json.dumps(graphs, sort_keys=True, allow_nan=False) + "\n")
    for name, rows in tables.items():
        text = as_csv(rows)
        # No time stamp and no name inside: equal rows give equal bytes.
        content = gzip.compress(text.encode(), compresslevel=6, mtime=0) if name.endswith(".gz") else text
        write_atomically(folder / name, content)
    write_atomically(folder / "seconds.json", to_json(seconds))
    write_atomically(folder / "workers.json", to_json(workers))
    if frames is not None:
        write_atomically(folder / "frames.safetensors", stored_arrays(frames.tensors()))
    if port is not None:
        write_atomically(folder / "port.json", to_json(port.model_dump(mode="json")))
    if timings is not None:
        write_atomically(folder / "timings.json", json.dumps(timings, sort_keys=True, allow_nan=False) + "\n")
    whole = {**manifest, "cells": {cell.cell: cell.verdict.value for cell in cells}}
    write_atomically(folder / "manifest.json", to_json({**whole, "identity": "being written"}))
    build_report(folder, pdf=pdf)
    write_atomically(folder / "manifest.json", to_json(whole))


def as_csv(rows: Rows) -> str:
    """Rows as CSV with plain line ends."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def prediction_rows(
    regions: Sequence[str],
    ids: Sequence[int],
    truth: Sequence[str],
    class_names: Sequence[str],
    head: Head,
    outputs: Iterable[tuple[str, Array]],
) -> Iterator[list[str]]:
    """Per sample: region, id, truth, and what everybody made of it. ``outputs``: name and array (sample, class)."""
    header = ["region", "id", "truth"]
    columns: list[Sequence[str]] = [regions, [str(number) for number in ids], truth]
    for who, array in outputs:
        if array.shape != (len(truth), len(class_names)):
            continue
        header += [f"{who}.prediction", f"{who}.confidence", f"{who}.margin"]
        header += [f"{who}.p.{name}" for name in class_names]
        columns += _prediction_columns(array, class_names, head)
    yield header
    for row in zip(*columns, strict=True):
        yield list(row)


def _prediction_columns(outputs: Array, class_names: Sequence[str], head: Head) -> list[list[str]]:
    usable = np.asarray(np.isfinite(outputs).all(axis=1))
    # A row that is not finite has no decision; it is left empty rather than given the first class.
    found = predict(np.where(usable[:, None], outputs, 0.0), head)
    shares = probabilities(np.where(usable[:, None], outputs, 0.0), head)

    def shown(values: NDArray[np.float64]) -> list[str]:
        return [f"{value:.6g}" if good else "nan" for value, good in zip(values, usable, strict=True)]

    prediction = [class_names[index] if good else "" for index, good in zip(found.label, usable, strict=True)]
    return [prediction, shown(found.confidence), shown(found.margin), *(shown(column) for column in shares.T)]


def probe_rows(
    cells: Iterable[tuple[str, Array, Array, Array]], ids: Sequence[int], class_names: Sequence[str]
) -> Iterator[list[str]]:
    """Per cell, probe sample and class: target, route oracle and source oracle, each (sample, class)."""
    yield ["cell", "sample", "id", "class", "target", "route_oracle", "source_oracle"]
    for cell, target, route, source in cells:
        if not target.shape == route.shape == source.shape == (len(ids), len(class_names)):
            continue
        for sample, identity in enumerate(ids):
            for index, name in enumerate(class_names):
                values = (target[sample, index], route[sample, index], source[sample, index])
                yield [cell, str(sample), str(identity), name, *(_number(value) for value in values)]


#: Columns of ``forecast.csv`` and ``exceedance.csv``.
_ERROR_COLUMNS = (
    *("who", "aggregation", "step", "minutes", "samples", "pixels", "rmse", "mae", "bias"),
    *("rmse_physical", "mae_physical", "bias_physical", "unit", "skill"),
)
_EVENT_COLUMNS = (
    *("who", "threshold", "unit", "step", "minutes", "hits", "misses", "false_alarms", "correct_negatives"),
    *("csi", "pod", "far"),
)


def forecast_tables(
    forecast: Forecast, inputs: Array, truth: Array, mask: Array, outputs: Iterable[tuple[str, Array]]
) -> dict[str, Rows]:
    """``forecast.csv`` and ``exceedance.csv``: errors and hits of everybody by step, persistence among them.

    ``inputs``: what was seen, (sample, band, time, row, column); ``truth`` and ``mask``: what followed, and where it was
    measured, (sample, band, step, row, column), scaled; ``outputs``: name and forecast of each.
    """
    errors: list[Sequence[str]] = [_ERROR_COLUMNS]
    events: list[Sequence[str]] = [_EVENT_COLUMNS]
    last = persistence(inputs, forecast.horizon)
    for who, array in itertools.chain([(PERSISTENCE, last)], outputs):
        if array.shape == truth.shape:
            errors += _error_rows(who, forecast, array, last, truth, mask)
            events += _event_rows(who, forecast, array, truth, mask)
    return {"forecast.csv": errors, "exceedance.csv": events}


def _error_rows(
    who: str, forecast: Forecast, array: Array, last: Array, truth: Array, mask: Array
) -> Iterator[Sequence[str]]:
    for aggregation in AGGREGATIONS:
        found = step_errors(array, truth, mask, aggregation)
        gained = skill(found, step_errors(last, truth, mask, aggregation))
        physical = found.times(forecast.top - forecast.bottom)
        for step in range(forecast.horizon):
            values = [getattr(part, name)[step] for part in (found, physical) for name in ("rmse", "mae", "bias")]
            counts = [str(found.samples[step]), str(found.pixels[step])]
            numbers = [_number(value) for value in values]
            place = [who, aggregation, str(step + 1), _minutes(forecast, step)]
            yield [*place, *counts, *numbers, forecast.unit, _number(gained[step])]


def _event_rows(who: str, forecast: Forecast, array: Array, truth: Array, mask: Array) -> Iterator[Sequence[str]]:
    by_step = exceedance(array, truth, mask, forecast.scaled_thresholds)
    for index, threshold in enumerate(forecast.thresholds):
        places = [("all", "", by_step.over_steps(), 0)]
        places += [(str(step + 1), _minutes(forecast, step), by_step, step) for step in range(forecast.horizon)]
        for name, minutes, part, place in places:
            cases = (part.hits, part.misses, part.false_alarms, part.correct_negatives)
            counts = [str(case[index, place]) for case in cases]
            shares = [_number(share[index, place]) for share in (part.csi, part.pod, part.far)]
            yield [who, f"{threshold:g}", forecast.unit, name, minutes, *counts, *shares]


def _minutes(forecast: Forecast, step: int) -> str:
    """How long after the last frame seen a step lies."""
    return f"{(step + 1) * forecast.interval / 60:g}"


def _number(value: Any) -> str:
    """Shortest decimal that gives the float32 or float64 back."""
    return np.format_float_positional(value, unique=True, trim="0") if np.isfinite(value) else str(value)


def cell_seconds(plan: Plan, finished: Finished) -> dict[str, Any]:
    """Timings of this run and, per target, those its worker measured around the framework's own calls."""
    targets = {}
    for cell in plan.cells:
        if cell.step not in finished.folders:
            continue
        record = json.loads((finished.folders[cell.step] / "target.json").read_text())
        targets[cell.id] = {"load": record["load"].get("seconds")} | {
            f"{part}_{name}": record[part].get(name)
            for part in ("probe", "test")
            if part in record
            for name in ("seconds", "cpu_seconds")
        }
    return {**finished.seconds, "targets": targets}


def timings_record(plan: Plan, finished: Finished, reference: str) -> dict[str, Any] | None:
    """What the timing steps measured, every number of it; None where nothing was to be timed.

    ``reference`` says in words what the first one, which ratios are taken to, is.
    """
    if not plan.timed:
        return None
    rows = []
    for timed in plan.timed:
        row: dict[str, Any] = {"label": timed.label, "runtime": timed.target, "route_label": timed.route_label}
        if timed.step in finished.folders:
            row["measurement"] = json.loads((finished.folders[timed.step] / "timing.json").read_text())
        else:
            row["error"] = finished.failures[timed.step].error
        rows.append(row)
    return {"reference": reference, "timed": rows}


def surroundings(states: Mapping[str, Availability], keys: Mapping[str, str], threads: int) -> dict[str, Any]:
    """The parts of a manifest that say where and with what: versions, hardware, runtimes, artifacts."""
    return {
        "harness": harness_version(),
        "hardware": hardware(),
        "python": library_versions(),
        "lock": lock_hash(),
        "threads": threads,
        "runtimes": {
            name: {
                "installed": state.installed,
                "versions": state.versions,
                "reason": state.reason,
                "install": state.install or runtime(name).install,
                "packages": [asdict(package) for package in packages(runtime(name))] if state.installed else [],
            }
            for name, state in states.items()
        },
        "artifacts": dict(sorted(keys.items())),
    }
