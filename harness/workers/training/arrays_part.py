"""Samples as arrays by name: inputs and targets as the file of a part holds them."""

from __future__ import annotations

from pathlib import Path

from harness.data.prepared_arrays import INPUT, TARGET, named
from harness.files.digests import file_hash
from harness.models.spec import ModelSpec
from harness.tasks.base import Problem, Task
from harness.workers.engine import Array, BadInput
from harness.workers.requests import existing_file
from harness.workers.tensors import read_tensors
from harness.workers.training.parts import Batch, Chosen, check_shapes, check_targets


class ArraysPart:
    """See Part."""

    def __init__(self, folder: Path, part: str, spec: ModelSpec) -> None:
        self.file = existing_file(str(folder / f"{part}.safetensors"))
        tensors = read_tensors(self.file)
        self.digest = file_hash(self.file)
        self.targets, given = named(tensors, TARGET), named(tensors, INPUT)
        if missing := [tensor.name for tensor in spec.inputs if tensor.name not in given]:
            raise BadInput(f"{self.file}: lacks the input '{missing[0]}'")
        if unknown := sorted(set(given) - {tensor.name for tensor in spec.inputs}):
            # Other readers of the file would not know it either: all of them get the same inputs.
            raise BadInput(f"{self.file}: has the input '{unknown[0]}', which {spec.model} does not take")
        for tensor in spec.inputs:
            if given[tensor.name].dtype.name != tensor.dtype:
                raise BadInput(f"{self.file}: '{tensor.name}' must be {tensor.dtype}, not {given[tensor.name].dtype}")
        check_shapes(self.file, spec, {name: array.shape for name, array in given.items()})
        self.inputs = {tensor.name: given[tensor.name] for tensor in spec.inputs}
        self.shared = {tensor.name for tensor in spec.inputs if tensor.sample_axis is None}
        sampled = {name: array for name, array in self.inputs.items() if name not in self.shared}
        lengths = {name: len(array) for name, array in (*sampled.items(), *self.targets.items())}
        if len(set(lengths.values())) != 1:
            raise BadInput(f"{self.file}: inputs and targets differ in their number of samples: {lengths}")

    def __len__(self) -> int:
        return len(next(array for name, array in self.inputs.items() if name not in self.shared))

    def check(self, task: Task, problem: Problem) -> None:
        """See Part."""
        check_targets(self.file, task, problem, self.targets)

    def batches(self, epoch: int) -> Batch:
        """See Part; the same in every epoch."""

        def batch(chosen: Chosen) -> tuple[dict[str, Array], dict[str, Array]]:
            return (
                {name: array if name in self.shared else array[chosen] for name, array in self.inputs.items()},
                {name: array[chosen] for name, array in self.targets.items()},
            )

        return batch
