"""The result files of a scenario, written from the artifacts of its steps."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.compare.forecast import AGGREGATIONS, step_errors
from harness.compare.port import Metric, PortComparison
from harness.compare.records import CellResult
from harness.compare.verdict import describe_failure
from harness.data.forecast import Forecast
from harness.data.sequences import inputs_of, targets_of
from harness.errors import WorkerError
from harness.files.arrays import Array, load_arrays
from harness.pipeline.execution import Finished
from harness.pipeline.plan import Cell, Plan
from harness.pipeline.steps.port import read_port
from harness.pipeline.steps.weights import WEIGHTS
from harness.report.result_files.frames import ExampleFrames
from harness.results.artifacts import Probe, SourceArtifacts, export_record, only_output
from harness.results.cell import Labels, evaluate
from harness.results.example_frames import seen_apart, wettest
from harness.results.publish import TRAINING_TIMINGS, cell_seconds, environment_record, publish, timings_record
from harness.results.tables import Rows, forecast_tables, prediction_rows, probe_rows
from harness.runtimes.row import Availability
from harness.scenario.sections import Scenario

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
    labels = load_arrays(data / "probe_labels.safetensors")
    forecast = dataset.get("forecast")
    probe = Probe(
        sha256=dataset["probe"]["sha256"],
        samples=dataset["probe"]["samples"],
        ids=labels["ids"],
        class_names=dataset["class_names"],
        forecast=None if forecast is None else Forecast(**forecast),
        mask=None if forecast is None else labels["mask"],
    )
    source = SourceArtifacts(outcome.folders[weights], outcome.folders["source"], probe)
    framework = outcome.scenario.source.framework
    named = Labels.of(source, framework)
    cells = [
        evaluate(cell, source.model, named, outcome.folders, outcome.finished.failures) for cell in outcome.plan.cells
    ]
    compared = [cell for cell in outcome.plan.cells if cell.step in outcome.folders]
    tables = _training(source.weights / "training.csv")
    frames = forecasts = None
    if probe.forecast is not None:
        forecasts = _forecasts(outcome, source, probe.forecast, compared)
        tables |= forecast_tables(probe.forecast, forecasts.inputs, forecasts.truth, forecasts.mask, forecasts)
        frames = forecasts.example()
    else:
        tables |= {
            "predictions.csv.gz": _predictions(outcome, source, compared),
            "outputs_probe.csv.gz": probe_rows(
                _probe_outputs(outcome, source, compared), probe.ids.tolist(), probe.class_names
            ),
        }
    seconds = cell_seconds(outcome.plan, outcome.finished)
    timings = timings_record(outcome.plan, outcome.finished, f"the source in its own framework, {framework}")
    publish(
        folder,
        cells,
        _manifest(outcome, source, dataset),
        seconds,
        tables,
        structures=_structures(outcome),
        workers=outcome.finished.workers,
        timings=timings,
        frames=frames,
        port=_port(outcome, forecasts),
        pdf=pdf,
    )
    return cells


def _port(outcome: Outcome, forecasts: _Forecasts | None) -> PortComparison | None:
    """What became of the port, with its metrics as both would report them; None where the scenario has none."""
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
    found = read_port(outcome.folders["port"])
    return (
        found
        if forecasts is None
        else found.model_copy(update={"metrics": forecasts.reported(outcome.folders["port"])})
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


def _predictions(outcome: Outcome, source: SourceArtifacts, cells: list[Cell]) -> Iterator[list[str]]:
    names, data = source.probe.class_names, outcome.folders["data"]
    evaluation = json.loads((outcome.folders["inputs"] / "evaluation.json").read_text())
    indices = np.asarray(evaluation["indices"])
    test = load_arrays(data / "test.safetensors")
    regions = json.loads((data / "regions.json").read_text())["test"]
    whos = [("source", source.predictions)] + [(cell.label, outcome.folders[cell.step]) for cell in cells]
    return prediction_rows(
        [regions[index] for index in indices],
        test["ids"][indices].tolist(),
        [names[label] for label in test["y"][indices]],
        names,
        source.spec.head,
        ((who, only_output(folder / "test.float32.safetensors", source.output)) for who, folder in whos),
    )


@dataclass(frozen=True)
class _Forecasts:
    """What was seen and what followed it, where both were measured, and the files of those who forecast it.

    Arrays are (sample, band, time or step, row, column); ``ids`` (sample,) in seconds since 1970 UTC.
    """

    inputs: Array
    seen_mask: Array
    truth: Array
    mask: Array
    ids: Array
    files: tuple[tuple[str, Path], ...]
    output: str
    forecast: Forecast

    def __iter__(self) -> Iterator[tuple[str, Array]]:
        """Everybody's name and forecast, one in memory at a time."""
        return ((who, only_output(path, self.output)) for who, path in self.files)

    def reported(self, port: Path) -> tuple[Metric, ...]:
        """RMSE over all steps as source and port would report it, each with either aggregation."""
        truth, mask = _one_step(self.truth), _one_step(self.mask)
        arrays = (next(iter(self))[1], only_output(port / "test.float32.safetensors", self.output))
        if any(array.shape != self.truth.shape for array in arrays):
            return ()
        factor = self.forecast.top - self.forecast.bottom
        errors = [
            {name: float(step_errors(_one_step(array), truth, mask, name).rmse[0]) * factor for name in AGGREGATIONS}
            for array in arrays
        ]
        return tuple(
            Metric(
                source_aggregation=one,
                port_aggregation=other,
                source=errors[0][one],
                port=errors[1][other],
                unit=self.forecast.unit,
            )
            for one in AGGREGATIONS
            for other in AGGREGATIONS
        )

    def example(self) -> ExampleFrames | None:
        """The sequence with most rain, as everybody forecast it whose frames can be told apart; None without sequences."""
        if not len(self.truth):
            return None
        index = wettest(self.truth, self.mask)
        return ExampleFrames(
            seen=self.inputs[index, 0],
            seen_measured=self.seen_mask[index, 0],
            truth=self.truth[index, 0],
            measured=self.mask[index, 0],
            forecasts=seen_apart(
                # A copy: the rest of the array is let go.
                (who, np.array(array[index, 0]))
                for who, array in self
                if array.shape == self.truth.shape
            ),
            last_seen=int(self.ids[index]),
        )


def _forecasts(outcome: Outcome, source: SourceArtifacts, forecast: Forecast, cells: list[Cell]) -> _Forecasts:
    evaluation = json.loads((outcome.folders["inputs"] / "evaluation.json").read_text())
    indices = np.asarray(evaluation["indices"])
    test = load_arrays(outcome.folders["data"] / "test.safetensors")
    starts = test["starts"][indices]
    truth, mask = targets_of(test["frames"], test["valid"], starts, forecast.history, forecast.horizon)
    whos = [("source", source.predictions)] + [(cell.label, outcome.folders[cell.step]) for cell in cells]
    return _Forecasts(
        inputs=inputs_of(test["frames"], starts, forecast.history),
        seen_mask=inputs_of(test["valid"], starts, forecast.history),
        truth=truth,
        mask=mask,
        ids=test["ids"][indices],
        files=tuple((who, folder / "test.float32.safetensors") for who, folder in whos),
        output=source.output,
        forecast=forecast,
    )


def _one_step(array: Array) -> Array:
    """Frames (sample, band, step, row, column) as if all steps were one, the rows of all under each other."""
    samples, bands, _, _, columns = array.shape
    return array.reshape(samples, bands, 1, -1, columns)


def _probe_outputs(
    outcome: Outcome, source: SourceArtifacts, cells: list[Cell]
) -> Iterator[tuple[str, Array, Array, Array]]:
    for cell in cells:
        oracle = next((name for name in cell.oracles if name in outcome.folders), None)
        if oracle is not None:
            target = only_output(outcome.folders[cell.step] / "probe.float32.safetensors", source.output)
            route = only_output(outcome.folders[oracle] / "probe.float64.safetensors", source.output)
            yield cell.id, target, route, source.probe64


def _manifest(outcome: Outcome, source: SourceArtifacts, dataset: dict[str, Any]) -> dict[str, Any]:
    scenario = outcome.scenario
    exports = {}
    for cell in outcome.plan.cells:
        if cell.export in outcome.folders and (record := export_record(outcome.folders[cell.export])) is not None:
            exports[cell.route_label] = record
    return {
        **environment_record(outcome.availability, outcome.keys, scenario.threads),
        "identity": outcome.identity,
        "accidents": dict(sorted(outcome.finished.accidents.items())),
        "scenario": {
            "name": scenario.scenario,
            "title": scenario.title,
            "description": scenario.description,
            "text": outcome.text,
            "sha256": hashlib.sha256(outcome.text.encode()).hexdigest(),
        },
        "seeds": {"scenario": scenario.seed},
        "data": dataset,
        "model": source.spec.model_dump(mode="json"),
        **_origin(source),
        "exports": exports,
        "probe": {"samples": source.probe.samples, "sha256": source.probe.sha256},
    }


def _origin(source: SourceArtifacts) -> dict[str, Any]:
    """Where the weights come from: the record of their training, or of their import."""
    if (imported := source.imported) is not None:
        return {"source": "weights", "imported": imported}
    training = json.loads((source.weights / "training.json").read_text())
    return {"training": {name: value for name, value in training.items() if name not in TRAINING_TIMINGS}}
