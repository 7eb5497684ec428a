"""Learning to forecast frames: sequences cut from frames, losses over measured pixels only, errors on the validation part."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from harness.data.sequences import inputs_of, targets_of
from harness.files.digests import file_hash
from harness.models.spec import ModelSpec
from harness.tasks.forecast_frames import Forecast
from harness.tasks.frame_metrics import persistence, step_errors
from harness.workers.engine import Array, BadInput, Failed
from harness.workers.requests import existing_file
from harness.workers.tensors import read_tensors
from harness.workers.training.objective import Batch, Predict

#: Losses by name, of one value each: squared error, and cross-entropy of values from 0 to 1.
LOSSES = ("mse", "bce")

#: Columns of ``training.csv``: errors pooled over all steps, in the physical unit, and skill against persistence.
COLUMNS = ("epoch", "loss", "valid_loss", "rmse", "mae", "skill", "iterations_per_second", "seconds", "learning_rate")

#: Sequences that are validated at once.
_AT_ONCE = 8


class Part:
    """Frames of one part and the sequences in them."""

    def __init__(self, folder: Path, part: str, spec: ModelSpec) -> None:
        file = existing_file(str(folder / f"{part}.safetensors"))
        tensors = read_tensors(file)
        self.digest = file_hash(file)
        self._input = spec.inputs[0].name
        try:
            self._frames, self._valid, self._starts = (tensors[name] for name in ("frames", "valid", "starts"))
            described = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
            self.forecast = Forecast(**described["forecast"])
        except KeyError as error:
            raise BadInput(f"{file}: lacks {error}") from error
        except (OSError, ValueError, TypeError, ValidationError) as error:
            raise BadInput(f"{folder / 'dataset.json'}: {error}") from error
        known = self.forecast
        found = (1, known.history, *self._frames.shape[1:]), (1, known.horizon, *self._frames.shape[1:])
        for tensor, shape in zip((spec.inputs[0], spec.outputs[0]), found, strict=True):
            if tuple(tensor.shape[1:]) != shape:
                raise BadInput(f"{file}: '{tensor.name}' must have shape {tensor.shape}, not (sample, {shape})")

    def __len__(self) -> int:
        return len(self._starts)

    def batches(self, epoch: int) -> Batch:
        """See objective.Part; the target is the truth and where it was measured."""
        known = self.forecast

        def batch(chosen: NDArray[np.int64] | slice) -> tuple[dict[str, Array], tuple[Array, Array]]:
            starts = self._starts[chosen]
            inputs = inputs_of(self._frames, starts, known.history)
            return {self._input: inputs}, targets_of(self._frames, self._valid, starts, known.history, known.horizon)

        return batch


class Forecasting:
    """A loss over what was measured, and errors of the whole validation part."""

    columns: tuple[str, ...] = COLUMNS

    def __init__(self, spec: ModelSpec, loss: str) -> None:
        if loss not in LOSSES:
            raise BadInput(f"loss must be one of {', '.join(LOSSES)} for forecasts, not {loss!r}")
        self.loss_name, self._input = loss, spec.inputs[0].name

    def validate(self, predict: Predict, part: Part, epoch: int) -> dict[str, float]:
        """See Objective: the loss, and pooled errors of all steps together."""
        batch, known = part.batches(epoch), part.forecast
        loss, pixels = 0.0, 0
        squares, sizes, of_persistence = 0.0, 0.0, 0.0
        for start in range(0, len(part), _AT_ONCE):
            inputs, (truth, mask) = batch(slice(start, start + _AT_ONCE))
            output = predict(inputs)
            loss += float(pixel_losses(self.loss_name, output, truth)[mask].sum())
            pixels += int(mask.sum())
            errors = step_errors(output, truth, mask, "pooled")
            squares += _total(errors.rmse**2, errors.pixels)
            sizes += _total(errors.mae, errors.pixels)
            last = step_errors(persistence(inputs[self._input], known.horizon), truth, mask, "pooled")
            of_persistence += _total(last.rmse**2, last.pixels)
        if not math.isfinite(loss):
            raise Failed(f"the validation loss is {loss} after epoch {epoch + 1}")
        scale = known.top - known.bottom
        return {
            "valid_loss": loss / max(pixels, 1),
            "rmse": scale * math.sqrt(squares / max(pixels, 1)),
            "mae": scale * sizes / max(pixels, 1),
            "skill": 1 - squares / of_persistence if of_persistence else math.nan,
        }


def pixel_losses(name: str, output: Array, truth: Array) -> NDArray[np.float64]:
    """The loss of every value, in float64."""
    found, wanted = output.astype(np.float64), truth.astype(np.float64)
    if name == "mse":
        return (found - wanted) ** 2
    # Bounded as in PyTorch, since a probability may be rounded to zero.
    with np.errstate(divide="ignore"):
        yes, no = np.maximum(np.log(found), -100.0), np.maximum(np.log1p(-found), -100.0)
    return -(wanted * yes + (1.0 - wanted) * no)


def _total(means: NDArray[np.float64], pixels: NDArray[np.int64]) -> float:
    """The sum behind means by step; a step without a pixel adds nothing."""
    return float(np.where(pixels > 0, means * pixels, 0.0).sum())
