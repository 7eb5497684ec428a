"""Learning to classify: labelled series, cross-entropy, and metrics of labels on the validation part."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.draw import drawn_series
from harness.files.digests import file_hash
from harness.models.spec import ModelSpec
from harness.tasks.class_metrics import confusion_matrix, summary
from harness.workers.engine import Array, BadInput, Failed
from harness.workers.requests import existing_file
from harness.workers.tensors import read_tensors
from harness.workers.training.objective import Batch, Predict

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


class Part:
    """Inputs and labels of one part; where dates are drawn anew per epoch, the whole series they are drawn from."""

    def __init__(self, folder: Path, part: str, spec: ModelSpec) -> None:
        file = existing_file(str(folder / f"{part}.safetensors"))
        tensors = read_tensors(file)
        self.spec = spec
        self.digest = file_hash(file)
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

    def batches(self, epoch: int) -> Batch:
        """See objective.Part."""
        inputs = self.inputs(epoch)

        def batch(chosen: NDArray[np.int64] | slice) -> tuple[dict[str, Array], NDArray[np.int64]]:
            return {name: array[chosen] for name, array in inputs.items()}, self.labels[chosen]

        return batch

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


class Classification:
    """Cross-entropy of the classes; metrics on the validation part are those of the most likely class."""

    columns: tuple[str, ...] = COLUMNS
    loss_name = "cross-entropy"

    def __init__(self, spec: ModelSpec) -> None:
        self.head, self.classes = spec.head, spec.outputs[0].shape[-1] or 0

    def validate(self, predict: Predict, part: Part, epoch: int) -> dict[str, float]:
        """See Objective."""
        batch, total = part.batches(epoch), 0.0
        predicted = np.empty(len(part), dtype=np.int64)
        for start in range(0, len(part), 256):
            chosen = slice(start, start + 256)
            inputs, labels = batch(chosen)
            output = predict(inputs)
            total += float(cross_entropy(output, labels, self.head).sum())
            predicted[chosen] = output.argmax(axis=1)
        if not math.isfinite(total):
            raise Failed(f"the validation loss is {total} after epoch {epoch + 1}")
        confusion = confusion_matrix(part.labels, predicted, self.classes)
        return {"valid_loss": total / len(part), **summary(confusion)}


def cross_entropy(output: Array, labels: NDArray[np.int64], head: str) -> NDArray[np.float64]:
    """Cross-entropy (sample,) of what a head puts out, (sample, class), in float64."""
    values = output.astype(np.float64)
    if head == "logits":
        values = values - values.max(axis=1, keepdims=True)
        values = values - np.log(np.exp(values).sum(axis=1, keepdims=True))
    elif head == "softmax":
        # Bounded, since a probability may be rounded to zero.
        values = np.log(np.maximum(values, np.finfo(output.dtype).tiny))
    return -np.take_along_axis(values, labels[:, None], axis=1)[:, 0]
