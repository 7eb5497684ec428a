"""The data of a part by batches: inputs by name, and targets by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.models.spec import ModelSpec
from harness.tasks.base import Problem, Task
from harness.workers.engine import Array, BadInput

Chosen = NDArray[np.int64] | slice
#: Inputs and targets by name for samples by their places: axis 0 the sample, but in inputs that all samples share.
Batch = Callable[[Chosen], tuple[dict[str, Array], dict[str, Array]]]


class Part(Protocol):
    """One part of the data; ``digest`` is the SHA-256 of its file."""

    digest: str

    def __len__(self) -> int:
        """Number of samples."""

    def check(self, task: Task, problem: Problem) -> None:
        """Raise BadInput, naming the file, where the targets are not what the task wants."""

    def batches(self, epoch: int) -> Batch:
        """What gives the batches of an epoch counted from 0."""


def check_targets(file: Path, task: Task, problem: Problem, targets: Mapping[str, Array]) -> None:
    """Raise BadInput, naming the file, where the targets by name are not what the task wants."""
    try:
        task.check(problem, targets)
    except DataError as error:
        raise BadInput(f"{file}: {error.what}") from error


def check_shapes(file: Path, spec: ModelSpec, found: Mapping[str, tuple[int, ...]]) -> None:
    """Raise BadInput, naming the file, where the shape of an input is not the model's; ``found`` by name."""
    for tensor in spec.inputs:
        wanted, shape = tensor.shape, found[tensor.name]
        if len(shape) != len(wanted) or any(size not in (None, has) for size, has in zip(wanted, shape, strict=True)):
            raise BadInput(f"{file}: '{tensor.name}' must have shape {wanted}, not {shape}")


def read_record(folder: Path) -> dict[str, Any]:
    """``dataset.json``; empty where there is none. Raises BadInput where it is damaged."""
    path = folder / "dataset.json"
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return record
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: {error}") from error
