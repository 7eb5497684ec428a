"""The result files of one scenario, read back and checked: the only input of a report."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from harness.compare.port import PortComparison
from harness.compare.records import CellResult
from harness.errors import DataError
from harness.files.csv_text import plain
from harness.report.result_files.frames import read_frames
from harness.report.result_files.manifest import Manifest
from harness.report.result_files.structures import Structure
from harness.report.result_files.timings import Timings
from harness.report.result_files.workers import WorkerPart
from harness.tasks import DEFAULT, task
from harness.tasks.base import SOURCE as SOURCE
from harness.tasks.base import Task
from harness.tasks.example_frames import ExampleFrames
from harness.tasks.frame_rows import INTERVAL_COLUMNS
from harness.tasks.frame_rows import PERSISTENCE as PERSISTENCE
from harness.tasks.scores import COLUMNS

if TYPE_CHECKING:
    import pandas as pd

#: Result files of tasks that this file reads, under the names by which tasks write them.
PREDICTIONS, FORECAST, FRAMES = "predictions.csv.gz", "forecast.csv", "frames.safetensors"
SCORES, VALUES = "scores.csv", "values.csv.gz"

_AGAIN = "run the scenario again"


def cell_label(cell: CellResult) -> str:
    """The name of a cell in tables, legends and column groups: ``<target> via <route label>``."""
    return f"{cell.target} via {cell.route_label}"


def everyone(runners: Collection[str]) -> str:
    """All of several runners in words, the source counted by itself: ``the source and all 21 cells``."""
    cells = sum(runner != SOURCE for runner in runners)
    counted = "its cell" if cells == 1 else f"all {cells} cells"
    return f"the source and {counted}" if SOURCE in runners else counted


def was_compared(cell: CellResult) -> bool:
    """Whether the target gave outputs that could be compared."""
    return cell.runtime_comparison is not None or cell.end_to_end is not None


@dataclass(frozen=True)
class Forecasts:
    """``forecast.csv`` (by who, aggregation and step) and ``exceedance.csv`` (by who, threshold and step or ``all``)."""

    errors: pd.DataFrame
    events: pd.DataFrame
    #: Bootstrap intervals of pooled errors, by who, metric and step.
    intervals: pd.DataFrame

    @property
    def who(self) -> tuple[str, ...]:
        """Everybody who forecast, in the order of the files: persistence, the source, the cells' labels."""
        return tuple(dict.fromkeys(self.errors["who"]))


@dataclass(frozen=True)
class Results:
    """What ``results/<scenario>/`` holds.

    Tables are None where the run had none: ``training`` and ``training_seconds`` where nothing was trained,
    ``predictions`` and ``probe_outputs`` where no target could be run, or where frames are forecast.
    """

    folder: Path
    manifest: Manifest
    cells: tuple[CellResult, ...]
    training: pd.DataFrame | None
    training_seconds: pd.DataFrame | None
    predictions: pd.DataFrame | None
    probe_outputs: pd.DataFrame | None
    seconds: dict[str, Any]
    #: What was timed; None where nothing was.
    timings: Timings | None = None
    #: Errors and exceedance by step of every forecast; None where the data are no frames.
    forecasts: Forecasts | None = None
    #: Scores of every runtime, and the values of variables; None where the task has none.
    scores: pd.DataFrame | None = None
    values: pd.DataFrame | None = None
    #: One sequence frame by frame; None where the data are no frames.
    frames: ExampleFrames | None = None
    #: A second implementation that was compared with the source; None where the scenario has none.
    port: PortComparison | None = None
    #: The graph of every route's file, by route label; those of routes that write no graph are not there.
    structures: dict[str, Structure] = field(default_factory=dict)
    #: What the workers of this run did, by runtime; those that were not started are not there.
    workers: dict[str, WorkerPart] = field(default_factory=dict)

    @cached_property
    def task(self) -> Task:
        """The task of the model."""
        model = self.manifest.model
        return task(self.manifest.task or (model.task if model is not None else DEFAULT))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in the order of the model's output."""
        return self.manifest.data.class_names

    @cached_property
    def runners(self) -> tuple[str, ...]:
        """Who predicted the test samples: the source first, then the cells' labels in order of cells."""
        if self.predictions is None:
            return ()
        columns = set(self.predictions.columns)
        names = [SOURCE, *(cell_label(cell) for cell in self.cells)]
        return tuple(name for name in names if f"{name}.prediction" in columns)

    def display(self, runner: str) -> str:
        """A runner's name for readers: the source by its framework, cells by their label."""
        if runner != SOURCE:
            return runner
        framework = self.cells[0].source if self.cells else ""
        return f"source ({framework})" if framework else "source"

    @property
    def evaluated(self) -> int:
        """Number of test samples that every runtime predicted."""
        counts = [0 if self.predictions is None else len(self.predictions)]
        tables = (self.scores, None if self.forecasts is None else self.forecasts.errors)
        counts += [int(table["samples"].max()) for table in tables if table is not None and len(table)]
        return max(counts)


def read_results(folder: Path) -> Results:
    """Read and check the result files of a scenario.

    Raises DataError, naming file and reason, where a file is missing, cut short, not what it should be, or does not
    belong to the others.
    """
    if not folder.is_dir():
        raise DataError("no such results folder", where=str(folder), hint=_AGAIN)
    manifest = _manifest(folder / "manifest.json")
    cells = _cells(folder / "cells.json")
    stated = manifest.cells
    found = {cell.cell: cell.verdict.value for cell in cells}
    if found != stated:
        odd = sorted(set(found.items()) ^ set(stated.items()))[0][0]
        raise DataError(
            f"does not belong to manifest.json: the two disagree about cell '{odd}'",
            where=str(folder / "cells.json"),
            hint=_AGAIN,
        )
    compared = any(was_compared(cell) for cell in cells)
    known = task(manifest.task or (manifest.model.task if manifest.model is not None else DEFAULT))
    # Of a given file nothing is scored without labels.
    made = known.result_files if manifest.labelled else ()
    scored = made if compared else ()
    return Results(
        folder=folder,
        manifest=manifest,
        cells=tuple(sorted(cells, key=lambda cell: cell.cell)),
        training=_training(folder / "training.csv", manifest, ["epoch", "loss"]) if manifest.training else None,
        training_seconds=_training(folder / "training_seconds.csv", manifest, ["epoch"]) if manifest.training else None,
        predictions=_predictions(path, manifest, cells) if (path := folder / PREDICTIONS).name in scored else None,
        probe_outputs=_probe_outputs(folder / "outputs_probe.csv.gz", manifest, cells)
        if compared and known.lists_outputs
        else None,
        forecasts=_forecasts(folder, cells) if FORECAST in made else None,
        scores=_scores(path) if (path := folder / SCORES).name in scored else None,
        values=_table(path, {"variable", "unit"}) if (path := folder / VALUES).name in scored else None,
        port=read_port_result(folder),
        frames=read_frames(folder / FRAMES) if FRAMES in made else None,
        seconds=_json_object(folder / "seconds.json"),
        timings=_timings(folder / "timings.json"),
        structures=_structures(folder / "structures.json", cells),
        workers=_workers(folder / "workers.json"),
    )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError("result file is missing", where=str(path), hint=_AGAIN) from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path), hint=_AGAIN) from error


def _json(path: Path) -> Any:
    try:
        return json.loads(_bytes(path).decode())
    except ValueError as error:
        raise DataError("is cut short or not JSON", where=str(path), hint=_AGAIN) from error


def _json_object(path: Path) -> dict[str, Any]:
    value = _json(path)
    if not isinstance(value, dict):
        raise DataError("does not hold a JSON object", where=str(path), hint=_AGAIN)
    return value


def _invalid(path: Path, error: ValidationError) -> DataError:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return DataError(f"was written by another version ({place}: {message})", where=str(path), hint=_AGAIN)


def _timings(path: Path) -> Timings | None:
    if not path.exists():
        return None
    try:
        return Timings.model_validate(_json_object(path))
    except ValidationError as error:
        raise _invalid(path, error) from error


def read_port_result(folder: Path) -> PortComparison | None:
    """What became of a port, None where there was none. Raises DataError where the file is damaged."""
    path = folder / "port.json"
    if not path.exists():
        return None
    try:
        return PortComparison.model_validate(_json_object(path))
    except ValidationError as error:
        raise _invalid(path, error) from error


def _structures(path: Path, cells: list[CellResult]) -> dict[str, Structure]:
    try:
        found = TypeAdapter(dict[str, Structure]).validate_python(_json(path))
    except ValidationError as error:
        raise _invalid(path, error) from error
    missing = sorted({cell.route_label for cell in cells if cell.structure is not None} - set(found))
    if missing:
        raise DataError(f"holds no graph of route '{missing[0]}'", where=str(path), hint=_AGAIN)
    return found


def _workers(path: Path) -> dict[str, WorkerPart]:
    try:
        return TypeAdapter(dict[str, WorkerPart]).validate_python(_json(path))
    except ValidationError as error:
        raise _invalid(path, error) from error


def _manifest(path: Path) -> Manifest:
    try:
        return Manifest.model_validate(_json_object(path))
    except ValidationError as error:
        raise _invalid(path, error) from error


def _cells(path: Path) -> list[CellResult]:
    try:
        return TypeAdapter(list[CellResult]).validate_python(_json(path))
    except ValidationError as error:
        raise _invalid(path, error) from error


def _table(path: Path, text_columns: set[str]) -> pd.DataFrame:
    """A CSV file, plain or gzipped. Columns that are not text are numbers; no class name is taken for a missing value."""
    import pandas as pd

    raw = _bytes(path)
    try:
        data = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (EOFError, OSError, zlib.error) as error:
        raise DataError("is cut short or damaged", where=str(path), hint=_AGAIN) from error
    if not data.endswith(b"\n"):
        raise DataError("is cut short: its last line does not end", where=str(path), hint=_AGAIN)
    try:
        names = list(pd.read_csv(io.BytesIO(data), nrows=0).columns)
        text = {name for name in names if name in text_columns or name.endswith(".prediction")}
        frame = pd.read_csv(
            io.BytesIO(data),
            dtype={name: "str" if name in text else "float64" for name in names},
            keep_default_na=False,
            na_values={name: ["", "nan", "NaN", "NA"] for name in names if name not in text},
        )
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError("is damaged: a number cannot be read", where=str(path), hint=_AGAIN) from error
    for name in text:
        # Few texts stand in many rows.
        written = {value: plain(value) for value in frame[name].unique()}
        if any(value != found for value, found in written.items()):
            frame[name] = frame[name].map(written)
    return frame


def _require(path: Path, frame: pd.DataFrame, columns: list[str]) -> None:
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise DataError(f"has no column '{missing[0]}'", where=str(path), hint=_AGAIN)


def _training(path: Path, manifest: Manifest, columns: list[str]) -> pd.DataFrame:
    frame = _table(path, set())
    _require(path, frame, columns)
    epochs = manifest.training.get("epochs")
    if isinstance(epochs, int) and len(frame) != epochs:
        raise DataError(f"is cut short: {len(frame)} of {epochs} epochs are there", where=str(path), hint=_AGAIN)
    return frame


def _predictions(path: Path, manifest: Manifest, cells: list[CellResult]) -> pd.DataFrame:
    frame = _table(path, {"region", "id", "truth"})
    # A target whose outputs have another shape than the source's predicts no classes.
    groups = [SOURCE, *(cell_label(cell) for cell in cells if cell.decisions is not None)]
    _require(
        path,
        frame,
        ["region", "id", "truth", *(f"{who}.{part}" for who in groups for part in ("prediction", "confidence"))],
    )
    # Where outputs are not finite there is no decision.
    known = {*manifest.data.class_names, "", "not finite"}
    for name in ["truth", *(f"{who}.prediction" for who in groups)]:
        odd = set(frame[name]) - known
        if odd:
            raise DataError(
                f"column '{name}' names a class that the data do not have: '{min(odd)}'",
                where=str(path),
                hint=_AGAIN,
            )
    return frame


def _probe_outputs(path: Path, manifest: Manifest, cells: list[CellResult]) -> pd.DataFrame:
    frame = _table(path, {"cell", "id", "class"})
    _require(path, frame, ["cell", "sample", "id", "class", "target", "route_oracle", "source_oracle"])
    comparable = {cell.cell for cell in cells if cell.decisions is not None and cell.route_comparison is not None}
    if manifest.decision is not None and not manifest.decision.per_class:
        # Outputs that are not one number per class, as maps, are told as a whole alone.
        comparable = set()
    missing = sorted(comparable - set(frame["cell"]))
    if missing:
        raise DataError(f"holds no outputs of cell '{missing[0]}'", where=str(path), hint=_AGAIN)
    # Written as the shortest decimal that gives the float32 back: taken for a double it is off by up to half a ULP.
    frame["target"] = frame["target"].astype("float32").astype("float64")
    return frame


def _forecasts(folder: Path, cells: list[CellResult]) -> Forecasts:
    errors, events, intervals = (folder / name for name in (FORECAST, "exceedance.csv", "forecast_intervals.csv"))
    found = Forecasts(
        _table(errors, {"who", "aggregation", "unit"}),
        _table(events, {"who", "threshold", "unit", "step"}),
        _table(intervals, {"who", "metric", "unit"}),
    )
    _require(intervals, found.intervals, [*INTERVAL_COLUMNS])
    _require(
        errors,
        found.errors,
        ["who", "aggregation", "step", "minutes", "rmse", "mae", "rmse_physical", "skill", "samples"],
    )
    _require(events, found.events, ["who", "threshold", "unit", "step", "hits", "misses", "csi", "pod", "far"])
    wanted = [SOURCE, *(cell_label(cell) for cell in cells if cell.decisions is not None)]
    for path, frame in ((errors, found.errors), (events, found.events)):
        missing = [who for who in wanted if who not in set(frame["who"])]
        if missing:
            raise DataError(f"holds nothing of '{missing[0]}'", where=str(path), hint=_AGAIN)
    return found


def _scores(path: Path) -> pd.DataFrame:
    frame = _table(path, {"who", "output", "part", "metric", "few", "unit"})
    _require(path, frame, [*COLUMNS])
    if SOURCE not in set(frame["who"]):
        raise DataError(f"holds nothing of '{SOURCE}'", where=str(path), hint=_AGAIN)
    return frame
