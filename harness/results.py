"""Result files: everything that people and the report read of a run, written from its artifacts."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from harness.cells import Source, evaluate, export_record, load_arrays, only_output
from harness.compare.metrics import probabilities
from harness.compare.records import CellResult, Verdict
from harness.errors import WorkerError
from harness.execution import Finished
from harness.plan import Cell, Plan
from harness.provenance import hardware, harness_version, library_versions, lock_hash
from harness.runtimes.registry import RUNTIMES, Availability
from harness.scenario import Scenario
from harness.store import explained, to_json, write_atomically

#: Columns of the training log that differ from run to run; kept in a file of their own.
TIMINGS = ("iterations_per_second", "seconds")


@dataclass(frozen=True)
class Outcome:
    """What a run left, and what the manifest needs to know of it."""

    scenario: Scenario
    text: str
    plan: Plan
    keys: dict[str, str]
    finished: Finished
    availability: dict[str, Availability]
    identity: str

    @property
    def folders(self) -> dict[str, Path]:
        """The folder of every step that was done."""
        return self.finished.folders


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


def write_results(outcome: Outcome, folder: Path, *, pdf: bool = False) -> list[CellResult]:
    """Compare all cells, write the result files and the report; returns the cells in order.

    Raises WorkerError where the source itself could not be made: then there is nothing to compare with. The manifest is
    written last, so that a results folder with a manifest is whole.
    """
    from harness.report.build import build_report

    for step in ("train", "source"):
        if (failure := outcome.finished.failures.get(step)) is not None:
            raise WorkerError(failure.error, where=f"step '{step}'", hint=failure.hint, log_tail=[*failure.log_tail])
    source = Source(outcome.folders["data"], outcome.folders["train"], outcome.folders["source"])
    framework = outcome.scenario.source.framework
    cells = [
        evaluate(cell, source, outcome.folders, outcome.finished.failures, framework) for cell in outcome.plan.cells
    ]
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").unlink(missing_ok=True)
    write_atomically(folder / "cells.json", to_json([cell.model_dump(mode="json") for cell in cells]))
    _write_training(source.train / "training.csv", folder)
    compared = [cell for cell in outcome.plan.cells if cell.step in outcome.folders]
    write_atomically(folder / "predictions.csv.gz", _zipped(_predictions(outcome, source, compared)))
    write_atomically(folder / "outputs_probe.csv.gz", _zipped(_probe_outputs(outcome, source, compared)))
    write_atomically(folder / "seconds.json", to_json(_seconds(outcome)))
    manifest = _manifest(outcome, source, cells)
    write_atomically(folder / "manifest.json", to_json({**manifest, "identity": "being written"}))
    build_report(folder, pdf=pdf)
    write_atomically(folder / "manifest.json", to_json(manifest))
    return cells


def _write_training(log: Path, folder: Path) -> None:
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = list(rows[0])
    kept = [name for name in columns if name not in TIMINGS]
    for name, selected in (("training.csv", kept), ("training_seconds.csv", ["epoch", *TIMINGS])):
        lines = [selected, *([row[column] for column in selected] for row in rows)]
        write_atomically(folder / name, _as_csv(lines))


def _as_csv(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _zipped(rows: Iterable[Sequence[Any]]) -> bytes:
    """Compressed CSV without a time stamp or a name in it: equal rows give equal bytes."""
    return gzip.compress(_as_csv(rows).encode(), compresslevel=6, mtime=0)


def _number(value: Any) -> str:
    """Shortest decimal that gives the float32 or float64 back."""
    return np.format_float_positional(value, unique=True, trim="0") if np.isfinite(value) else str(value)


def _predictions(outcome: Outcome, source: Source, cells: list[Cell]) -> Iterable[list[str]]:
    """Per evaluated test sample: region, id, truth, and what the source and every cell made of it."""
    names = source.dataset["class_names"]
    evaluation = json.loads((outcome.folders["inputs"] / "evaluation.json").read_text())
    indices = np.asarray(evaluation["indices"])
    test = load_arrays(source.data / "test.safetensors")
    regions = json.loads((source.data / "regions.json").read_text())["test"]
    header = ["region", "id", "truth"]
    columns: list[list[str]] = [
        [regions[index] for index in indices],
        [str(number) for number in test["ids"][indices]],
        [names[label] for label in test["y"][indices]],
    ]
    whos = [("source", source.predictions)] + [(cell.label, outcome.folders[cell.step]) for cell in cells]
    for who, folder in whos:
        outputs = only_output(folder / "test.float32.safetensors", source.output)
        if outputs.shape != (len(indices), len(names)):
            continue
        shares = probabilities(outputs, source.spec.head)
        header += [f"{who}.prediction", f"{who}.confidence", f"{who}.margin"]
        header += [f"{who}.p.{name}" for name in names]
        columns += _columns_of(outputs, shares, names)
    yield header
    for row in zip(*columns, strict=True):
        yield list(row)


def _columns_of(outputs: NDArray[Any], shares: NDArray[np.float64], names: list[str]) -> list[list[str]]:
    usable = np.isfinite(outputs).all(axis=1)
    best = np.where(usable[:, None], outputs, 0.0).argmax(axis=1)
    ordered = np.sort(np.where(usable[:, None], shares, np.nan), axis=1)
    margin = ordered[:, -1] - ordered[:, -2] if shares.shape[1] > 1 else ordered[:, -1]
    prediction = [names[index] if good else "" for index, good in zip(best, usable, strict=True)]
    return [
        prediction,
        [f"{value:.6g}" for value in ordered[:, -1]],
        [f"{value:.6g}" for value in margin],
        *([f"{value:.6g}" for value in shares[:, index]] for index in range(len(names))),
    ]


def _probe_outputs(outcome: Outcome, source: Source, cells: list[Cell]) -> Iterable[list[str]]:
    yield ["cell", "sample", "id", "class", "target", "route_oracle", "source_oracle"]
    names = source.dataset["class_names"]
    for cell in cells:
        target = only_output(outcome.folders[cell.step] / "probe.float32.safetensors", source.output)
        oracle = next((name for name in cell.oracles if name in outcome.folders), None)
        if oracle is None or target.shape != source.probe64.shape:
            continue
        route = only_output(outcome.folders[oracle] / "probe.float64.safetensors", source.output)
        if route.shape != target.shape:
            continue
        for sample, identity in enumerate(source.probe_ids):
            for index, name in enumerate(names):
                values = (target[sample, index], route[sample, index], source.probe64[sample, index])
                yield [cell.id, str(sample), str(identity), name, *(_number(value) for value in values)]


def _seconds(outcome: Outcome) -> dict[str, Any]:
    """Timings of this run and, per target, those its worker measured around the framework's own calls."""
    targets = {}
    for cell in outcome.plan.cells:
        if cell.step in outcome.folders:
            record = json.loads((outcome.folders[cell.step] / "target.json").read_text())
            targets[cell.id] = {
                "load": record["load"].get("seconds"),
                **{
                    f"{part}_{name}": record[part].get(name)
                    for part in ("probe", "test")
                    for name in ("seconds", "cpu_seconds")
                },
            }
    return {**outcome.finished.seconds, "targets": targets}


def _manifest(outcome: Outcome, source: Source, cells: list[CellResult]) -> dict[str, Any]:
    scenario = outcome.scenario
    training = json.loads((source.train / "training.json").read_text())
    training.pop("seconds", None)
    exports = {}
    for cell in outcome.plan.cells:
        if cell.export in outcome.folders and (record := export_record(outcome.folders[cell.export])) is not None:
            exports[cell.route_label] = record
    return {
        "identity": outcome.identity,
        "scenario": {
            "name": scenario.scenario,
            "title": scenario.title,
            "description": scenario.description,
            "text": outcome.text,
            "sha256": hashlib.sha256(outcome.text.encode()).hexdigest(),
        },
        "harness": harness_version(),
        "hardware": hardware(),
        "python": library_versions(),
        "lock": lock_hash(),
        "threads": scenario.threads,
        "seeds": {"scenario": scenario.seed},
        "runtimes": {
            name: {
                "installed": state.installed,
                "versions": state.versions,
                "reason": state.reason,
                "install": RUNTIMES[name].install,
            }
            for name, state in outcome.availability.items()
        },
        "data": source.dataset,
        "model": source.spec.model_dump(mode="json"),
        "training": training,
        "exports": exports,
        "artifacts": dict(sorted(outcome.keys.items())),
        "probe": {name: source.dataset["probe"][name] for name in ("samples", "sha256")},
        "cells": {cell.cell: cell.verdict.value for cell in cells},
    }
