"""How result files are written: tables from arrays, parts of the manifest, and the order that keeps a folder whole."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.compare.port import PortComparison
from harness.compare.records import CellResult, Verdict
from harness.files.arrays import stored_arrays
from harness.files.atomic import to_json, write_atomically
from harness.files.disk_errors import explained
from harness.pipeline.execution import Finished
from harness.pipeline.plan import Plan
from harness.pipeline.provenance import hardware, harness_version, library_versions, lock_hash
from harness.report.frames import ExampleFrames
from harness.results.tables import Rows, as_csv
from harness.runtimes.registry import packages, runtime
from harness.runtimes.row import Availability

#: Result files that not every run has.
_SOMETIMES = (
    "timings.json",
    "training.csv",
    "training_seconds.csv",
    "predictions.csv.gz",
    "frames.safetensors",
    "port.json",
)


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
