"""The result files of a scenario, written from the artifacts of its steps."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from harness.compare.port import Metric, PortComparison
from harness.compare.records import CellResult
from harness.compare.verdict import describe_failure
from harness.errors import WorkerError
from harness.files.arrays import load_arrays
from harness.models.sampling import Sampling
from harness.pipeline.steps.port import read_port
from harness.pipeline.steps.weights import WEIGHTS
from harness.results.answers import TEST_OUTPUTS, evaluated_samples, read_answers
from harness.results.artifacts import Probe, SourceArtifacts, only_output
from harness.results.cell import Labels, evaluate
from harness.results.probe_outputs import probe_outputs
from harness.results.publish import cell_seconds, publish, timings_record
from harness.results.run_outcome import Outcome
from harness.results.scenario_manifest import scenario_manifest
from harness.results.tables import Rows, probe_rows
from harness.tasks import task
from harness.tasks.base import Samples

#: Columns of the training log that differ from run to run; kept in a file of their own.
TIMINGS = ("iterations_per_second", "seconds")


def write_results(outcome: Outcome, folder: Path, *, pdf: bool = False) -> list[CellResult]:
    """Compare all cells, write the result files and the report; returns the cells in order.

    Raises WorkerError where the source itself could not be made: then there is nothing to compare with.
    """
    weights = next(step.id for step in outcome.plan.steps if step.kind in WEIGHTS)
    for step in (weights, "source"):
        if (failure := outcome.finished.failures.get(step)) is not None:
            raise WorkerError(failure.error, where=f"step '{step}'", hint=failure.hint, log_tail=[*failure.log_tail])
    data = outcome.folders["data"]
    dataset = json.loads((data / "dataset.json").read_text())
    truth = load_arrays(data / "probe_labels.safetensors")
    probe = Probe(dataset["probe"]["sha256"], dataset["probe"]["samples"], truth["ids"], dataset, truth)
    source = SourceArtifacts(outcome.folders[weights], outcome.folders["source"], probe)
    framework = outcome.scenario.source.framework
    named = Labels.of(source, framework)
    compared_with = replace(source.model, allow_nan=bool(dataset.get("allow_nan", False)))
    cells = [
        evaluate(cell, compared_with, named, outcome.folders, outcome.finished.failures) for cell in outcome.plan.cells
    ]
    compared = [cell for cell in outcome.plan.cells if cell.step in outcome.folders]
    tables = _training(source.weights / "training.csv")
    known, problem = task(source.spec.task), source.spec.problem(dataset)
    samples, answers = evaluated_samples(outcome.folders), read_answers(outcome.folders, source, compared)
    tables |= known.result_tables(problem, samples, answers)
    if known.lists_outputs:
        listed = probe_outputs(outcome.folders, source, compared)
        tables["outputs_probe.csv.gz"] = probe_rows(listed, probe.ids.tolist(), problem.names)
    seconds = cell_seconds(outcome.plan, outcome.finished)
    timings = timings_record(outcome.plan, outcome.finished, f"the source in its own framework, {framework}")
    publish(
        folder,
        cells,
        scenario_manifest(outcome, source, dataset),
        seconds,
        tables,
        structures=_structures(outcome),
        workers=outcome.finished.workers,
        timings=timings,
        arrays=known.result_arrays(problem, samples, answers),
        port=_port(outcome, source, samples),
        pdf=pdf,
    )
    return cells


def _port(outcome: Outcome, source: SourceArtifacts, samples: Samples) -> PortComparison | None:
    """The comparison of source and port, with the metrics of both; None where the scenario has no port."""
    section = outcome.scenario.port
    if section is None:
        return None
    if "port" not in outcome.folders:
        failure = outcome.finished.failures["port"]
        return PortComparison(
            framework=section.framework,
            source_framework=outcome.scenario.source.framework,
            preset=section.preset,
            expected=section.expect,
            error=describe_failure(failure.verdict, failure.error, failure.hint),
        )
    answers = [
        only_output(folder / TEST_OUTPUTS, source.output, Sampling.of_spec(source.spec))
        for folder in (source.predictions, outcome.folders["port"])
    ]
    scores = task(source.spec.task).port_scores(source.spec.problem(source.probe.record), samples, *answers)
    return read_port(outcome.folders["port"]).model_copy(
        update={"metrics": tuple(Metric(**asdict(score)) for score in scores)}
    )


def _structures(outcome: Outcome) -> dict[str, Any]:
    """The graph of every route by its label, as the first oracle that could read the file told it."""
    found: dict[str, Any] = {}
    for cell in outcome.plan.cells:
        for oracle in cell.oracles:
            path = outcome.folders[oracle] / "structure.json" if oracle in outcome.folders else None
            if path is not None and path.exists() and cell.route_label not in found:
                found[cell.route_label] = json.loads(path.read_text())
    return found


def _training(log: Path) -> dict[str, Rows]:
    if not log.exists():
        return {}
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    kept = [name for name in rows[0] if name not in TIMINGS]
    columns = {"training.csv": kept, "training_seconds.csv": ["epoch", *TIMINGS]}
    return {name: [some, *([row[column] for column in some] for row in rows)] for name, some in columns.items()}
