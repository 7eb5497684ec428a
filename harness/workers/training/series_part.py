"""Labelled series: their inputs and labels, the dates drawn once and for all or anew in every epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.draw import drawn_series
from harness.files.digests import file_hash
from harness.models.spec import ModelSpec
from harness.tasks.base import Problem, Task
from harness.workers.engine import Array, BadInput
from harness.workers.requests import existing_file
from harness.workers.tensors import read_tensors
from harness.workers.training.parts import Batch, Chosen, check_shapes, check_targets, read_record


class SeriesPart:
    """See Part. Where dates are drawn anew per epoch, the file holds the whole series they are drawn from."""

    def __init__(self, folder: Path, part: str, spec: ModelSpec) -> None:
        self.file = existing_file(str(folder / f"{part}.safetensors"))
        tensors = read_tensors(self.file)
        self.spec = spec
        self.digest = file_hash(self.file)
        try:
            self.labels: NDArray[np.int64] = tensors["y"]
            self._drawn = "values" in tensors
            if self._drawn:
                record = read_record(folder)
                self._seed, self._dates = int(record["seed"]), int(record["dates"])
                self._series = tensors["values"], tensors["offsets"], tensors["ids"]
            else:
                self._inputs = {tensor.name: tensors[tensor.name] for tensor in spec.inputs}
        except KeyError as error:
            raise BadInput(f"{self.file}: lacks {error}") from error
        except ValueError as error:
            raise BadInput(f"{folder / 'dataset.json'}: {error}") from error
        self._check_inputs()

    def __len__(self) -> int:
        return len(self.labels)

    def check(self, task: Task, problem: Problem) -> None:
        """See Part."""
        check_targets(self.file, task, problem, {"y": self.labels})

    def inputs(self, epoch: int) -> dict[str, Array]:
        """Inputs by name for an epoch counted from 0; the same ones every time where the draw is frozen."""
        if self._drawn:
            series = drawn_series(*self._series, dates=self._dates, seed=self._seed, epoch=epoch)
            return {self.spec.inputs[0].name: series}
        return self._inputs

    def batches(self, epoch: int) -> Batch:
        """See Part."""
        inputs = self.inputs(epoch)

        def batch(chosen: Chosen) -> tuple[dict[str, Array], dict[str, Array]]:
            return {name: array[chosen] for name, array in inputs.items()}, {"y": self.labels[chosen]}

        return batch

    def _check_inputs(self) -> None:
        if self._drawn:
            bands, dates = self._series[0].shape[1], self._dates
            found: dict[str, Any] = {self.spec.inputs[0].name: (len(self), bands, dates)}
        else:
            found = {name: array.shape for name, array in self._inputs.items()}
        check_shapes(self.file, self.spec, found)
