"""How result files are written: tables from arrays, parts of the manifest, and the order that keeps a folder whole."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from harness.compare.placement import Placement
from harness.compare.port import PortComparison
from harness.compare.records import CellResult, Verdict
from harness.files.arrays import Array, stored_arrays
from harness.files.atomic import to_json, write_atomically
from harness.files.disk_errors import explained
from harness.pipeline.execution import Finished
from harness.pipeline.plan import Plan
from harness.pipeline.provenance import hardware, harness_version, library_versions, lock_hash
from harness.results.checksums import DIGESTS, damaged_file, write_digests
from harness.results.tables import Rows, as_csv
from harness.runtimes.registry import packages, runtime
from harness.runtimes.row import Availability
from harness.tasks import all_result_files

#: What ``training.json`` says of one run of the training: kept with the timings.
TRAINING_TIMINGS = ("seconds", "resumed_at")

#: Result files that not every run has, whatever its task.
_SOMETIMES = (
    "timings.json",
    "training.csv",
    "training_seconds.csv",
    "outputs_probe.csv.gz",
    "port.json",
    "placement.json",
)


def finished_run(folder: Path, identity: str, notice: Callable[[str], None]) -> list[CellResult] | None:
    """The cells of a finished run of that identity; None where there is none or a part is to be tried again.

    Tried again is what failed, what was lost by accident, and what does not hold what was written: then ``notice`` is told.
    """
    try:
        damage = damaged_file(folder)
    except OSError:
        return None
    manifest = _manifest_there(folder)
    if damage is not None:
        if manifest is None or manifest.get("identity") == identity:
            notice(f"damaged: {folder}/{damage}; the results are written anew")
        return None
    if manifest is None or manifest["identity"] != identity or manifest["accidents"]:
        return None
    cells = [CellResult.model_validate(cell) for cell in json.loads((folder / "cells.json").read_text())]
    return None if any(cell.verdict is Verdict.FAILED for cell in cells) else cells


def _manifest_there(folder: Path) -> dict[str, Any] | None:
    """The manifest as it lies there; None where it cannot be read."""
    try:
        found = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


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
    arrays: Mapping[str, Mapping[str, Array]] | None = None,
    port: PortComparison | None = None,
    placement: Placement | None = None,
    pdf: bool,
) -> None:
    """Write the result files and the report made from them.

    ``tables``: rows by file name, compressed where it ends in ``.gz``. ``structures``: graphs by route label, as the worker
    contract tells them. ``workers``: how often and how fast they started, and what they warned of.
    ``timings``: what was timed, for a file of its own, since it differs from run to run. ``arrays``: by name, by
    file name. ``port``: a second implementation and what it differs in. ``placement``: where a given file parts from its source,
    node by node. The manifest gets its identity, and the digests of all
    files are written, last: a folder without them is not whole.
    """
    from harness.report.build import build_report

    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("manifest.json", DIGESTS):
            (folder / name).unlink(missing_ok=True)
        # What an earlier run had and this one has not would be taken for this one's.
        for name in {*_SOMETIMES, *all_result_files()} - set(tables):
            (folder / name).unlink(missing_ok=True)
    graphs = {route: {**graph, "metadata": {}} for route, graph in structures.items()}
    contents: dict[str, Callable[[], bytes | str]] = {
        "cells.json": lambda: to_json([cell.model_dump(mode="json") for cell in cells]),
        "structures.json": lambda: _one_line(graphs),
        **{name: partial(table_content, name, rows) for name, rows in tables.items()},
        "seconds.json": lambda: to_json(seconds),
        "workers.json": lambda: to_json(workers),
    }
    for name, held in (arrays or {}).items():
        contents[name] = partial(stored_arrays, held)
    if port is not None:
        contents["port.json"] = lambda: to_json(port.model_dump(mode="json"))
    if placement is not None:
        contents["placement.json"] = lambda: _one_line(placement.model_dump(mode="json"))
    if timings is not None:
        contents["timings.json"] = lambda: _one_line(timings)
    for name, content in contents.items():
        write_atomically(folder / name, content())
    whole = {**manifest, "cells": {cell.cell: cell.verdict.value for cell in cells}}
    write_atomically(folder / "manifest.json", to_json({**whole, "identity": "being written"}))
    report = build_report(folder, pdf=pdf)
    write_atomically(folder / "manifest.json", to_json(whole))
    write_digests(folder, [*contents, "manifest.json"], report)


def _one_line(value: Any) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False) + "\n"


def table_content(name: str, rows: Rows) -> bytes | str:
    """What the result file of a table holds: CSV, gzipped where its name says so."""
    text = as_csv(rows)
    # No time stamp and no name inside: equal rows give equal bytes.
    return gzip.compress(text.encode(), compresslevel=6, mtime=0) if name.endswith(".gz") else text


def cell_seconds(plan: Plan, finished: Finished) -> dict[str, Any]:
    """Timings of the steps, those of the training and, per target, those its worker measured around the framework's calls.

    ``kept``: seconds of steps that an earlier run did, as their artifacts tell them.
    """
    trained = next((finished.folders[step.id] for step in plan.steps if step.kind == "train"), None)
    training = {} if trained is None else json.loads((trained / "training.json").read_text())
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
    timed = {name: training[name] for name in TRAINING_TIMINGS if name in training}
    return {**finished.seconds, "targets": targets, **({"training": timed} if timed else {})}


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


def environment_record(states: Mapping[str, Availability], keys: Mapping[str, str], threads: int) -> dict[str, Any]:
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
