"""The request ``train``: Adam on cross-entropy, seeded, repeatable bit for bit, resumable at the epoch."""

from __future__ import annotations

import csv
import hashlib
import io
import json
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

from harness.compare.metrics import confusion_matrix, summary
from harness.data.draw import drawn_series
from harness.models.spec import ModelSpec
from harness.workers import checkpoint
from harness.workers.engine import Array, BadInput, Failed, Progress
from harness.workers.pytorch_model import build, read_spec, state_arrays
from harness.workers.requests import existing_file, write_bytes, write_json
from harness.workers.tensors import read_tensors, write_tensors

#: Columns of ``training.csv`` in order; the averages are over classes.
SCORES = ("f1", "precision", "recall")
AVERAGES = ("micro", "macro", "weighted")
COLUMNS = (
    "epoch",
    "loss",
    "valid_loss",
    "accuracy",
    "kappa",
    *(f"{score}_{average}" for score in SCORES for average in AVERAGES),
    "iterations_per_second",
    "seconds",
    "learning_rate",
)


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
    parts = {part: _Part(source, part, description) for part in ("train", "valid")}
    if len(parts["train"]) < 2 or len(parts["valid"]) < 1:
        raise BadInput(f"{data}: training needs at least two samples, and one to validate on")
    with _deterministic():
        return _Training(description, settings, parts, folder, progress).run()


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


class _Part:
    """Inputs and labels of one part; where dates are drawn anew per epoch, the whole series they are drawn from."""

    def __init__(self, folder: Path, part: str, spec: ModelSpec) -> None:
        file = existing_file(str(folder / f"{part}.safetensors"))
        tensors = read_tensors(file)
        self.spec = spec
        self.digest = _sha256(file)
        try:
            self.labels: NDArray[np.int64] = tensors["y"]
            self._drawn = "values" in tensors
            if self._drawn:
                described = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
                self._seed, self._dates = int(described["seed"]), int(described["dates"])
                self._series = tensors["values"], tensors["offsets"], tensors["ids"]
            else:
                self._inputs = {tensor.name: tensors[tensor.name] for tensor in spec.inputs}
        except KeyError as error:
            raise BadInput(f"{file}: lacks {error}") from error
        except (OSError, ValueError) as error:
            raise BadInput(f"{folder / 'dataset.json'}: {error}") from error
        classes = spec.outputs[0].shape[-1]
        if len(self) and not (self.labels.min() >= 0 and self.labels.max() < (classes or 0)):
            raise BadInput(f"{file}: labels must lie in 0 .. {(classes or 0) - 1}")
        self._check(file)

    def __len__(self) -> int:
        return len(self.labels)

    def inputs(self, epoch: int) -> dict[str, Array]:
        """Inputs by name for an epoch counted from 0; the same ones every time where the draw is frozen."""
        if self._drawn:
            series = drawn_series(*self._series, dates=self._dates, seed=self._seed, epoch=epoch)
            return {self.spec.inputs[0].name: series}
        return self._inputs

    def _check(self, file: Path) -> None:
        if self._drawn:
            bands, dates = self._series[0].shape[1], self._dates
            found: dict[str, Any] = {self.spec.inputs[0].name: (len(self), bands, dates)}
        else:
            found = {name: array.shape for name, array in self._inputs.items()}
        for tensor in self.spec.inputs:
            wanted = tensor.shape
            if len(found[tensor.name]) != len(wanted) or any(
                size not in (None, has) for size, has in zip(wanted, found[tensor.name], strict=True)
            ):
                raise BadInput(f"{file}: '{tensor.name}' must have shape {wanted}, not {found[tensor.name]}")


def _sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class _Training:
    def __init__(
        self, spec: ModelSpec, settings: Settings, parts: dict[str, _Part], folder: Path, progress: Progress
    ) -> None:
        self.spec, self.settings, self.parts, self.folder = spec, settings, parts, folder
        self.progress = progress
        torch.manual_seed(_derived(settings.seed, 0))
        self.module = build(spec)
        # Fused: one pass over the parameters instead of a dozen, which at small batches is most of a step.
        self.optimiser = torch.optim.Adam(
            self.module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.classes = spec.outputs[0].shape[-1] or 0
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
            "loss": "cross-entropy",
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
        _write_log(self.folder / "training.csv", rows)
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
        inputs, labels = self.parts["train"].inputs(epoch), self.parts["train"].labels
        self.module.train()
        total, samples = 0.0, 0
        loop_started = time.perf_counter()
        for step, chosen in enumerate(self._batches(order), start=1):
            target = torch.from_numpy(labels[chosen])
            self.optimiser.zero_grad()
            output = self.module(**{name: torch.from_numpy(array[chosen]) for name, array in inputs.items()})
            loss = _loss(output, target, self.spec.head)
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
        row = {"epoch": epoch + 1, "loss": total / samples, **self._validate(epoch)}
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

    def _validate(self, epoch: int) -> dict[str, float]:
        part = self.parts["valid"]
        inputs, total = part.inputs(epoch), 0.0
        predicted = np.empty(len(part), dtype=np.int64)
        self.module.eval()
        with torch.inference_mode():
            for start in range(0, len(part), 256):
                chosen = slice(start, start + 256)
                output = self.module(**{name: torch.from_numpy(array[chosen]) for name, array in inputs.items()})
                target = torch.from_numpy(part.labels[chosen])
                total += float(_loss(output, target, self.spec.head, reduction="sum").item())
                predicted[chosen] = output.argmax(dim=1).numpy()
        if not math.isfinite(total):
            raise Failed(f"the validation loss is {total} after epoch {epoch + 1}")
        confusion = confusion_matrix(part.labels, predicted, self.classes)
        return {"valid_loss": total / len(part), **summary(confusion)}


def _derived(seed: int, stream: int) -> int:
    """A seed for PyTorch's generator: one of many independent ones that belong to ``seed``."""
    return int(np.random.Philox(key=[seed % 2**64, 2**63 + stream]).random_raw() >> np.uint64(1))


def _loss(output: torch.Tensor, target: torch.Tensor, head: str, reduction: str = "mean") -> torch.Tensor:
    """Cross-entropy of the classes for what a head puts out."""
    if head == "logits":
        return torch.nn.functional.cross_entropy(output, target, reduction=reduction)
    if head == "softmax":
        output = output.clamp_min(torch.finfo(output.dtype).tiny).log()
    return torch.nn.functional.nll_loss(output, target, reduction=reduction)


def _write_log(path: Path, rows: list[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if row[name] is None else row[name] for name in COLUMNS} for row in rows)
    write_bytes(path, text.getvalue().encode())
