"""Sequences cut from frames: those that are seen, and those that follow with where they were measured."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from harness.data.sequences import inputs_of, targets_of
from harness.files.digests import file_hash
from harness.models.spec import ModelSpec
from harness.tasks.base import Problem, Task
from harness.tasks.forecast_frames import Forecast
from harness.workers.engine import Array, BadInput
from harness.workers.requests import existing_file
from harness.workers.tensors import read_tensors
from harness.workers.training.parts import Batch, Chosen, check_targets, read_record


class FramesPart:
    """See Part: frames of one part and the sequences in them."""

    def __init__(self, folder: Path, part: str, spec: ModelSpec) -> None:
        self.file = existing_file(str(folder / f"{part}.safetensors"))
        tensors = read_tensors(self.file)
        self.digest = file_hash(self.file)
        self._input = spec.inputs[0].name
        try:
            self._frames, self._valid, self._starts = (tensors[name] for name in ("frames", "valid", "starts"))
            self.forecast = Forecast(**read_record(folder)["forecast"])
        except KeyError as error:
            raise BadInput(f"{self.file}: lacks {error}") from error
        except (TypeError, ValidationError) as error:
            raise BadInput(f"{folder / 'dataset.json'}: {error}") from error
        known = self.forecast
        found = (1, known.history, *self._frames.shape[1:]), (1, known.horizon, *self._frames.shape[1:])
        for tensor, shape in zip((spec.inputs[0], spec.decided_output), found, strict=True):
            if tuple(tensor.shape[1:]) != shape:
                raise BadInput(f"{self.file}: '{tensor.name}' must have shape {tensor.shape}, not (sample, {shape})")

    def __len__(self) -> int:
        return len(self._starts)

    def check(self, task: Task, problem: Problem) -> None:
        """See Part; all sequences have the shape of the first."""
        check_targets(self.file, task, problem, self.batches(0)(slice(0, 1))[1])

    def batches(self, epoch: int) -> Batch:
        """See Part."""
        known = self.forecast

        def batch(chosen: Chosen) -> tuple[dict[str, Array], dict[str, Array]]:
            starts = self._starts[chosen]
            inputs = inputs_of(self._frames, starts, known.history)
            truth, measured = targets_of(self._frames, self._valid, starts, known.history, known.horizon)
            return {self._input: inputs}, {"y": truth, "mask": measured}

        return batch
