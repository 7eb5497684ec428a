"""What a task is to shared code, which asks it and never asks which one it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.tasks.decision_rule import Decision, DecisionRule
from harness.tasks.losses import OTHER_NAMES

Array = NDArray[Any]
#: Arrays by name, axis 0 the sample: ``y``, and ``mask`` (bool) where not everything counts.
Target = Mapping[str, Array]
#: Rows of a result file, the names of its columns first.
Rows = Iterable[Sequence[Any]]
#: Who answered, and what: the source first, then each target that was run. Read again at every pass, one array at a time.
Answers = Iterable[tuple[str, Array]]

#: The source (the trained model in its own framework) among those who answer.
SOURCE = "source"


@dataclass(frozen=True)
class Problem:
    """What a task must know of a model and its data.

    ``output``, ``axes``, ``shape`` and ``head`` are those of the output that decisions are made on, its sample being axis 0;
    None in ``shape`` where an axis may vary. ``names``: classes, labels or variables in order. ``record``: ``dataset.json``.
    """

    output: str
    axes: tuple[str, ...]
    shape: tuple[int | None, ...]
    head: str
    names: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)

    def name(self, index: int) -> str:
        """The name of a class, label or variable; its number where it has none."""
        return self.names[index] if index < len(self.names) else str(index)

    def size(self, axis: str) -> int:
        """The size of an axis by name; 0 where the output has no such axis or it may vary."""
        return (self.shape[self.axes.index(axis)] or 0) if axis in self.axes else 0


@dataclass(frozen=True)
class Samples:
    """Test samples that were evaluated: ``ids`` int64 (sample,), ``regions`` by sample (or none), inputs and targets by name."""

    ids: NDArray[np.int64]
    regions: tuple[str, ...]
    target: Target
    inputs: Callable[[], Mapping[str, Array]]


@dataclass(frozen=True)
class PortScore:
    """One score of a source and of its port, each by an aggregation of its own; ``unit`` is that of both."""

    source_aggregation: str
    port_aggregation: str
    source: float
    port: float
    unit: str


class Validation(ABC):
    """The metrics of a validation part, gathered batch by batch."""

    @abstractmethod
    def add(self, inputs: Mapping[str, Array], target: Target, output: Array) -> None:
        """Take in a batch: inputs by name, targets by name, and what the model put out for it."""

    @abstractmethod
    def result(self) -> dict[str, float]:
        """The numbers of all batches by the task's columns."""


class Task(ABC):
    """A task: everything that depends on what a model's output is for."""

    name: ClassVar[str]
    #: Losses by their standard names; the first is the default.
    losses: ClassVar[tuple[str, ...]]
    #: Columns of the training log that ``Validation.result`` fills in.
    columns: ClassVar[tuple[str, ...]]
    #: Those of them that are drawn over the epochs, four at most.
    curves: ClassVar[tuple[str, ...]]
    #: Samples that are validated at once.
    at_once: ClassVar[int] = 256
    #: The rule of decisions; ``none`` where nothing is decided.
    decision: ClassVar[Decision]
    #: How many axes the output that is decided on has, the sample among them.
    output_axes: ClassVar[int]
    #: Whether decisions can be made on a file of which nothing but its outputs is known.
    decides_files: ClassVar[bool] = True
    #: What STAC's machine-learning-model extension calls the task.
    stac_name: ClassVar[str]
    #: Result files that `result_tables` and `result_arrays` may give.
    result_files: ClassVar[tuple[str, ...]]
    #: Whether outputs are one number per sample and name, so that those on the probe are written one by one.
    lists_outputs: ClassVar[bool] = False
    #: The file of `harness.report.task_reports` that reports on the result files, which of its tables, and which figures.
    report: ClassVar[str]
    tables: ClassVar[tuple[str, ...]]
    figures: ClassVar[tuple[str, ...]]

    def loss(self, wanted: str | None) -> str:
        """The standard name of a loss that was asked for. Raises DataError where the task has none of that name."""
        name = self.losses[0] if wanted is None else OTHER_NAMES.get(wanted, wanted)
        if name not in self.losses:
            raise DataError(f"loss must be {' or '.join(self.losses)} for {self.name}, not {wanted!r}")
        return name

    @abstractmethod
    def check(self, problem: Problem, target: Target) -> None:
        """Raise DataError where a target, or a part of one, is not what the task wants."""

    @abstractmethod
    def validation(self, problem: Problem, loss: str) -> Validation:
        """What gathers the metrics of a validation part, the mean of a loss by its standard name among them."""

    @abstractmethod
    def decision_rule(self, problem: Problem, ids: NDArray[np.int64], target: Target) -> DecisionRule | None:
        """How decisions are made on answers to samples with these ids and targets; None where nothing is decided."""

    @abstractmethod
    def result_tables(self, problem: Problem, samples: Samples, answers: Answers) -> dict[str, Rows]:
        """Tables by the name of their result file, of the answers to test samples; those of another shape are left out."""

    def curve_unit(self, record: Mapping[str, Any]) -> str | None:
        """The unit of the curves, of which ``dataset.json`` tells; None where they are shares of 1."""
        return None

    def result_arrays(self, problem: Problem, samples: Samples, answers: Answers) -> dict[str, dict[str, Array]]:
        """Arrays by name, by the name of their result file (safetensors)."""
        return {}

    def port_scores(self, problem: Problem, samples: Samples, source: Array, port: Array) -> tuple[PortScore, ...]:
        """Scores of a source and its port on the test samples, for each pair of aggregations; empty where it has none."""
        return ()


def wanted_array(target: Target, name: str, shape: tuple[int | None, ...], kinds: str) -> Array:
    """An array of a target, checked: of that shape (None: any size) and of a dtype of one of NumPy's kinds.

    Raises DataError, naming the array.
    """
    if name not in target:
        raise DataError(f"the target lacks '{name}'")
    array = target[name]
    if array.ndim != len(shape) or any(size not in (None, has) for size, has in zip(shape, array.shape, strict=True)):
        raise DataError(f"'{name}' must have shape {shape}, not {array.shape}")
    if array.dtype.kind not in kinds:
        raise DataError(f"'{name}' must not be {array.dtype}")
    return array


def finite(array: Array, name: str) -> None:
    """Raise DataError where an array holds a value that is not finite."""
    if not np.isfinite(array).all():
        raise DataError(f"'{name}' holds a value that is not finite")
