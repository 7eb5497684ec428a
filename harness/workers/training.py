"""The request ``train``: Adam on a loss, seeded, repeatable bit for bit, resumable at the epoch."""

from __future__ import annotations

import csv
import io
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.models.spec import ModelSpec
from harness.workers import checkpoint, classification, forecasting
from harness.workers.engine import BadInput, Failed, Progress
from harness.workers.objective import Objective, Part
from harness.workers.pytorch_model import build, read_spec, state_arrays
from harness.workers.requests import existing_file, write_bytes, write_json
from harness.workers.tensors import write_tensors


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters of the training; the defaults are BreizhCrops' tuned ones for TempCNN."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise BadInput(f"{name} must be an integer of at least {least}, not {value!r}")
        for name in ("learning_rate", "weight_decay"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise BadInput(f"{name} must be a number of at least 0, not {value!r}")


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
    *,
    progress: Progress,
) -> dict[str, Any]:
    """Train the model of a specification and write a complete ``train-...`` artifact.

    Args:
        data: a folder with ``dataset.json``, ``train.safetensors`` and ``valid.safetensors``.
        out: the folder to write to. What an interrupted training left in it is gone on from.
        epochs: passes over the training part.
        batch_size: samples per step; a last batch of a single sample, which has no statistics, is left out.
        seed: of initial weights, shuffles and dropout.
        learning_rate: of Adam.
        weight_decay: L2 penalty of Adam.
        spec: JSON of the model specification; ``out/model.json`` by default.
        metadata: JSON of the metadata keys; ``out/metadata.json`` by default.
        loss: ``cross-entropy`` for classes; ``mse`` (the default) or ``bce`` for forecasts.
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
    objective, parts = _task(description, source, loss)
    if len(parts["train"]) < 2 or len(parts["valid"]) < 1:
        raise BadInput(f"{data}: training needs at least two samples, and one to validate on")
    with _deterministic():
        return _Training(description, settings, objective, parts, folder, progress).run()


def _task(spec: ModelSpec, source: Path, loss: str | None) -> tuple[Objective, dict[str, Part]]:
    """What a model of this specification learns, and from what. Raises BadInput where the data are of another kind."""
    kind: type[forecasting.Part] | type[classification.Part] = classification.Part
    objective: Objective
    if spec.decision == "exceedance":
        objective, kind = forecasting.Forecasting(spec, loss or "mse"), forecasting.Part
    else:
        objective = classification.Classification(spec)
        if loss not in (None, objective.loss_name):
            raise BadInput(f"loss must be {objective.loss_name} for classes, not {loss!r}")
    return objective, {part: kind(source, part, spec) for part in ("train", "valid")}


def _folder(path: Any, name: str) -> Path:
    if not isinstance(path, str) or not Path(path).is_dir():
        raise BadInput(f"{name}: {path}: no such folder")
    return Path(path)


class _deterministic:
    """Only algorithms that give the same bits every time, within the block."""

    def __enter__(self) -> None:
        self._before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True)

    def __exit__(self, *_: object) -> None:
        torch.use_deterministic_algorithms(self._before)


class _Training:
    def __init__(
        self,
        spec: ModelSpec,
        settings: Settings,
        objective: Objective,
        parts: dict[str, Part],
        folder: Path,
        progress: Progress,
    ) -> None:
        self.spec, self.settings, self.parts, self.folder = spec, settings, parts, folder
        self.objective = objective
        self.progress = progress
        torch.manual_seed(_derived(settings.seed, 0))
        self.module = build(spec)
        # Fused: one pass over the parameters instead of a dozen, which at small batches is most of a step.
        self.optimiser = torch.optim.Adam(
            self.module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        samples, size = len(parts["train"]), settings.batch_size
        self.iterations = samples // size + (1 if samples % size > 1 else 0)

    def run(self) -> dict[str, Any]:
        settings = self.settings
        identity = {
            "spec": self.spec.model_dump(mode="json"),
            "settings": asdict(settings),
            "data": [self.parts["train"].digest, self.parts["valid"].digest],
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        }
        done, rows = checkpoint.resume(self.folder, self.module, self.optimiser, identity)
        for epoch in range(done, settings.epochs):
            rows.append(self._epoch(epoch))
            if epoch + 1 < settings.epochs:
                checkpoint.save(self.folder, epoch + 1, self.module, self.optimiser, rows, identity)
        record = {
            "framework": "pytorch",
            "versions": {"torch": torch.__version__, "numpy": np.__version__},
            "seed": settings.seed,
            "threads": torch.get_num_threads(),
            "optimiser": "adam",
            "loss": self.objective.loss_name,
            "epochs": settings.epochs,
            "batch_size": settings.batch_size,
            "learning_rate": settings.learning_rate,
            "weight_decay": settings.weight_decay,
            "iterations_per_epoch": self.iterations,
            "samples": {part: len(held) for part, held in self.parts.items()},
            "seconds": sum(float(row["seconds"]) for row in rows),
            "resumed_at": done or None,
        }
        write_tensors(self.folder / "weights.safetensors", state_arrays(self.module))
        _write_log(self.folder / "training.csv", self.objective.columns, rows)
        write_json(self.folder / "training.json", record)
        checkpoint.remove(self.folder)
        return record

    def _epoch(self, epoch: int) -> dict[str, Any]:
        """Train over one epoch, counted from 0, and validate. Its row of the training log."""
        started = time.perf_counter()
        settings = self.settings
        # Every epoch's random numbers follow from the seed and the epoch alone, so that one can go on from any of them.
        torch.manual_seed(_derived(settings.seed, epoch + 1))
        generator = np.random.Generator(np.random.Philox(key=[settings.seed % 2**64, epoch]))
        order = generator.permutation(len(self.parts["train"]))
        batch = self.parts["train"].batches(epoch)
        self.module.train()
        total, samples = 0.0, 0
        loop_started = time.perf_counter()
        for step, chosen in enumerate(self._batches(order), start=1):
            inputs, target = batch(chosen)
            self.optimiser.zero_grad()
            output = self.module(**{name: torch.from_numpy(array) for name, array in inputs.items()})
            loss = self.objective.loss(output, target)
            value = float(loss.item())
            if not math.isfinite(value):
                raise Failed(
                    f"the loss is {value} in epoch {epoch + 1}, batch {step}: the training data holds values that are "
                    f"not finite, or the learning rate of {settings.learning_rate} is too high"
                )
            loss.backward()
            self.optimiser.step()
            total += value * len(chosen)
            samples += len(chosen)
            if step % max(1, self.iterations // 20) == 0 or step == self.iterations:
                self._tell(epoch, step, total / samples)
        loop_seconds = time.perf_counter() - loop_started
        self.module.eval()
        found = self.objective.validate(self.module, self.parts["valid"], epoch)
        row: dict[str, Any] = {"epoch": epoch + 1, "loss": total / samples, **found}
        row["iterations_per_second"] = self.iterations / loop_seconds
        row["seconds"] = time.perf_counter() - started
        row["learning_rate"] = settings.learning_rate
        return row

    def _tell(self, epoch: int, step: int, loss: float) -> None:
        done = epoch * self.iterations + step
        text = f"epoch {epoch + 1} of {self.settings.epochs}, loss {loss:.3f}"
        self.progress(done, self.settings.epochs * self.iterations, text)

    def _batches(self, order: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        size = self.settings.batch_size
        for step in range(self.iterations):
            yield order[step * size : (step + 1) * size]


def _derived(seed: int, stream: int) -> int:
    """A seed for PyTorch's generator: one of many independent ones that belong to ``seed``."""
    return int(np.random.Philox(key=[seed % 2**64, 2**63 + stream]).random_raw() >> np.uint64(1))


def _write_log(path: Path, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if row[name] is None else row[name] for name in columns} for row in rows)
    write_bytes(path, text.getvalue().encode())
