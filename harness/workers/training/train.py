"""The request ``train``, whatever the framework: Adam on a loss, seeded, repeatable bit for bit, resumable at the epoch.

The order of samples, the validation and its metrics, the log and the checkpoints are one and the same for every framework;
a :class:`Learner` does the steps.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.prepared_frames import FRAMES
from harness.errors import DataError
from harness.models.spec import ModelSpec
from harness.tasks import task
from harness.tasks.base import Problem, Task
from harness.workers.engine import Array, BadInput, Failed, Progress
from harness.workers.model_files import read_spec
from harness.workers.requests import existing_file, write_bytes, write_json
from harness.workers.tensors import read_tensors, write_tensors
from harness.workers.training import checkpoint
from harness.workers.training.arrays_part import ArraysPart
from harness.workers.training.frames_part import FramesPart
from harness.workers.training.parts import Part, read_record
from harness.workers.training.series_part import SeriesPart

#: Columns of ``training.csv`` around those of the task.
_FIRST, _LAST = ("epoch", "loss"), ("iterations_per_second", "seconds", "learning_rate")


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters of the training; the defaults are BreizhCrops' tuned ones for TempCNN."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int

    def __post_init__(self) -> None:
        for name, least in (("epochs", 0), ("batch_size", 2), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise BadInput(f"{name} must be an integer of at least {least}, not {value!r}")
        for name in ("learning_rate", "weight_decay"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise BadInput(f"{name} must be a number of at least 0, not {value!r}")


class Learner(ABC):
    """A model under training in one framework. It is made with :func:`derived` seeds alone, so that it can be made again."""

    framework: str
    #: Packages whose versions decide what is learned, by name.
    versions: dict[str, str]
    #: Threads that may compute; another number may give other bits.
    threads: int

    @abstractmethod
    def fill(self, parameters: dict[str, Array], where: str) -> None:
        """Begin from canonical parameters instead of random ones. Raises BadInput, naming ``where``, where they do not fit."""

    @abstractmethod
    def begin_epoch(self, seed: int) -> None:
        """Training mode, and the random numbers of dropout from ``seed`` on."""

    @abstractmethod
    def step(self, inputs: dict[str, Array], target: dict[str, Array]) -> float:
        """One step of the optimiser on a batch, inputs and targets by name. Returns its mean loss before the step.

        The loss is taken of the output that decisions are made on.
        """

    @abstractmethod
    def outputs(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """What the model puts out for a batch when it is used, by name: without dropout, with moving statistics."""

    @abstractmethod
    def state(self) -> dict[str, Array]:
        """Everything that the next epoch depends on."""

    @abstractmethod
    def restore(self, state: dict[str, Array]) -> None:
        """Go back to a state. Raises ValueError, having changed nothing, where it does not fit."""

    @abstractmethod
    def parameters(self) -> dict[str, Array]:
        """The canonical parameters as float32 arrays."""


#: Makes the learner of a specification that minimises a loss by its standard name; its initial weights follow from the seed.
MakeLearner = Callable[[ModelSpec, Settings, str, int], Learner]


def train(
    data: str,
    out: str,
    epochs: int,
    batch_size: int,
    seed: int,
    learning_rate: float = 2.38e-4,
    weight_decay: float = 5.18e-5,
    spec: str | None = None,
    metadata: str | None = None,
    loss: str | None = None,
    start: str | None = None,
    *,
    learner: MakeLearner,
    progress: Progress,
) -> dict[str, Any]:
    """Train the model of a specification and write a complete ``train-...`` artifact.

    Args:
        data: a folder with ``dataset.json``, ``train.safetensors`` and ``valid.safetensors``.
        out: the folder to write to. What an interrupted training left in it is gone on from.
        epochs: passes over the training part; with 0 the initial weights are left.
        batch_size: samples per step; a last batch of a single sample, which has no statistics, is left out.
        seed: of initial weights, shuffles and dropout.
        learning_rate: of Adam.
        weight_decay: L2 penalty of Adam.
        spec: JSON of the model specification; ``out/model.json`` by default.
        metadata: JSON of the metadata keys; ``out/metadata.json`` by default.
        loss: one of the task's losses; its default where it is None.
        start: canonical parameters (safetensors) to begin from in place of random ones.
        learner: makes what learns, in one framework.
        progress: told after batches and epochs.

    Returns the training record, which is also written as ``training.json``. Raises BadInput, and Failed where the loss
    is no finite number any more.
    """
    settings = Settings(epochs, batch_size, learning_rate, weight_decay, seed)
    folder, source = _folder(out, "out"), _folder(data, "data")
    for given, name in ((spec, "model.json"), (metadata, "metadata.json")):
        if given is not None and existing_file(given).resolve() != (folder / name).resolve():
            shutil.copyfile(given, folder / name)
    description = read_spec(existing_file(str(folder / "model.json")))
    learned = task(description.task)
    problem = description.problem(read_record(source))
    try:
        loss_name = learned.loss(loss)
    except DataError as error:
        raise BadInput(error.what) from error
    parts = {part: _part(source, part, description) for part in ("train", "valid")}
    for held in parts.values():
        held.check(learned, problem)
    if len(parts["train"]) < 2 or len(parts["valid"]) < 1:
        raise BadInput(f"{data}: training needs at least two samples, and one to validate on")
    made = learner(description, settings, loss_name, derived(settings.seed, 0))
    began_with = None
    if start is not None:
        began_with = hashlib.sha256(existing_file(start).read_bytes()).hexdigest()
        made.fill(read_tensors(Path(start)), start)
    return _Training(made, description, settings, learned, problem, loss_name, parts, folder, progress).run(began_with)


def _part(folder: Path, part: str, spec: ModelSpec) -> Part:
    """A part, whatever the prepared data are. Raises BadInput where it does not fit the model."""
    record = read_record(folder)
    kind: type[FramesPart | ArraysPart | SeriesPart] = SeriesPart
    if FRAMES in record:
        kind = FramesPart
    elif "arrays" in record:
        kind = ArraysPart
    return kind(folder, part, spec)


def _folder(path: Any, name: str) -> Path:
    if not isinstance(path, str) or not Path(path).is_dir():
        raise BadInput(f"{name}: {path}: no such folder")
    return Path(path)


class _Training:
    def __init__(
        self,
        learner: Learner,
        spec: ModelSpec,
        settings: Settings,
        learned: Task,
        problem: Problem,
        loss: str,
        parts: dict[str, Part],
        folder: Path,
        progress: Progress,
    ) -> None:
        self.learner, self.spec, self.settings = learner, spec, settings
        self.task, self.problem, self.loss = learned, problem, loss
        self.parts, self.folder, self.progress = parts, folder, progress
        samples, size = len(parts["train"]), settings.batch_size
        self.iterations = samples // size + (1 if samples % size > 1 else 0)

    def run(self, began_with: str | None) -> dict[str, Any]:
        settings = self.settings
        identity = {
            "spec": self.spec.model_dump(mode="json"),
            "settings": asdict(settings),
            "data": [self.parts["train"].digest, self.parts["valid"].digest],
            "framework": self.learner.framework,
            "versions": self.learner.versions,
            "threads": self.learner.threads,
            "start": began_with,
        }
        done, rows = checkpoint.resume(self.folder, self.learner.restore, identity)
        for epoch in range(done, settings.epochs):
            rows.append(self._epoch(epoch))
            if epoch + 1 < settings.epochs:
                checkpoint.save(self.folder, epoch + 1, self.learner.state(), rows, identity)
        record = {
            "framework": self.learner.framework,
            "versions": self.learner.versions | {"numpy": np.__version__},
            "seed": settings.seed,
            "threads": self.learner.threads,
            "optimiser": "adam",
            "loss": self.loss,
            "epochs": settings.epochs,
            "batch_size": settings.batch_size,
            "learning_rate": settings.learning_rate,
            "weight_decay": settings.weight_decay,
            "iterations_per_epoch": self.iterations,
            "samples": {part: len(held) for part, held in self.parts.items()},
            "seconds": sum(float(row["seconds"]) for row in rows),
            "resumed_at": done or None,
        } | ({"start": began_with} if began_with else {})
        write_tensors(self.folder / "weights.safetensors", self.learner.parameters())
        _write_log(self.folder / "training.csv", (*_FIRST, *self.task.columns, *_LAST), rows)
        write_json(self.folder / "training.json", record)
        checkpoint.remove(self.folder)
        return record

    def _epoch(self, epoch: int) -> dict[str, Any]:
        """Train over one epoch, counted from 0, and validate. Its row of the training log."""
        started = time.perf_counter()
        settings = self.settings
        # Every epoch's random numbers follow from the seed and the epoch alone, so that one can go on from any of them.
        self.learner.begin_epoch(derived(settings.seed, epoch + 1))
        generator = np.random.Generator(np.random.Philox(key=[settings.seed % 2**64, epoch]))
        order = generator.permutation(len(self.parts["train"]))
        batch = self.parts["train"].batches(epoch)
        total, samples = 0.0, 0
        loop_started = time.perf_counter()
        for step, chosen in enumerate(self._batches(order), start=1):
            inputs, target = batch(chosen)
            value = self.learner.step(inputs, target)
            if not math.isfinite(value):
                raise Failed(
                    f"the loss is {value} in epoch {epoch + 1}, batch {step}: the training data holds values that are "
                    f"not finite, or the learning rate of {settings.learning_rate} is too high"
                )
            total += value * len(chosen)
            samples += len(chosen)
            if step % max(1, self.iterations // 20) == 0 or step == self.iterations:
                self._tell(epoch, step, total / samples)
        loop_seconds = time.perf_counter() - loop_started
        found = self._validate(epoch)
        row: dict[str, Any] = {"epoch": epoch + 1, "loss": total / samples, **found}
        row["iterations_per_second"] = self.iterations / loop_seconds
        row["seconds"] = time.perf_counter() - started
        row["learning_rate"] = settings.learning_rate
        return row

    def _validate(self, epoch: int) -> dict[str, float]:
        """Loss and metrics of the validation part, by column."""
        validation = self.task.validation(self.problem, self.loss)
        part = self.parts["valid"]
        batch = part.batches(epoch)
        for start in range(0, len(part), self.task.at_once):
            inputs, target = batch(slice(start, start + self.task.at_once))
            validation.add(inputs, target, self.learner.outputs(inputs)[self.problem.output])
        found = validation.result()
        if not math.isfinite(found["valid_loss"]):
            raise Failed(f"the validation loss is {found['valid_loss']} after epoch {epoch + 1}")
        return found

    def _tell(self, epoch: int, step: int, loss: float) -> None:
        done = epoch * self.iterations + step
        text = f"epoch {epoch + 1} of {self.settings.epochs}, loss {loss:.3f}"
        self.progress(done, self.settings.epochs * self.iterations, text)

    def _batches(self, order: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        size = self.settings.batch_size
        for step in range(self.iterations):
            yield order[step * size : (step + 1) * size]


def derived(seed: int, stream: int) -> int:
    """A seed for a framework's generator, below 2^63: one of many independent ones that belong to ``seed``."""
    return int(np.random.Philox(key=[seed % 2**64, 2**63 + stream]).random_raw() >> np.uint64(1))


def _write_log(path: Path, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if row[name] is None else row[name] for name in columns} for row in rows)
    write_bytes(path, text.getvalue().encode())
