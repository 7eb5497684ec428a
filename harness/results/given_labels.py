"""Labels that a user gives for a probe: held against the decisions on an output, and scored by the task of such decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare.decision_choice import ChosenDecision
from harness.errors import DataError
from harness.files.arrays import Array
from harness.tasks import TASKS, task
from harness.tasks.base import Problem, Rows, Samples
from harness.tasks.decision_rule import Decision

#: Numbers from here on are no classes where the file does not name so many: 255 is where many masks have no class.
_MOST_CLASSES = 255


@dataclass(frozen=True)
class LabelledProbe:
    """The probe's labels as a task has them.

    ``arranged`` turns an output of the file, its sample being axis 0, into what the task decides on in the same way.
    """

    task: str
    problem: Problem
    samples: Samples
    arranged: Callable[[Array], Array]

    def result_tables(
        self, outputs: Callable[[], Iterator[tuple[str, Array]]], shape: tuple[int, ...]
    ) -> dict[str, Rows]:
        """The result files of the task, see `harness.tasks.base.Task.result_tables`.

        ``outputs``: who answered and what, the source first, as the file has it; those of another ``shape`` are left out.
        """
        answers = ArrangedAnswers(outputs, shape, self.arranged)
        return task(self.task).result_tables(self.problem, self.samples, answers)


@dataclass(frozen=True)
class ArrangedAnswers:
    """See `harness.tasks.base.Answers`: those of ``outputs`` that have the shape of the file's own, arranged for the task."""

    outputs: Callable[[], Iterator[tuple[str, Array]]]
    shape: tuple[int, ...]
    arranged: Callable[[Array], Array]

    def __iter__(self) -> Iterator[tuple[str, Array]]:
        """Who answered, and what."""
        return ((who, self.arranged(array)) for who, array in self.outputs() if array.shape == self.shape)


def task_of(decision: ChosenDecision, shape: tuple[int, ...]) -> str:
    """The task that makes such decisions on an output of that shape; empty where nothing is decided."""
    return _task_deciding(_rule(decision, shape))


def _task_deciding(rule: Decision) -> str:
    """The task whose own rule that is, once an output is arranged; empty where nothing is decided."""
    tasks = (task(name) for name in TASKS) if rule != "none" else ()
    return next((known.name for known in tasks if known.decides_files and known.decision == rule), "")


def _rule(decision: ChosenDecision, shape: tuple[int, ...]) -> Decision:
    """What decides once an output is arranged: classes are the largest score, and those of one map at a threshold are two."""
    if decision.rule == "none" or (
        decision.rule == "threshold" and (len(decision.names) > 1 or not _places(decision, shape))
    ):
        return decision.rule
    return "argmax-per-pixel" if _places(decision, shape) else "argmax"


def check_whole(path: Path, labels: Array) -> None:
    """Raises DataError where an array holds anything but whole numbers (or booleans)."""
    if labels.dtype.kind not in "biu":
        raise DataError(
            f"holds {labels.dtype.name} of {labels.ndim} axes", where=str(path), hint="save whole numbers (sample, ...)"
        )


def check_count(path: Path, labels: Array, samples: int) -> None:
    """Raises DataError where labels are of another number of samples."""
    if labels.ndim and len(labels) != samples:
        raise DataError(
            f"holds labels of {len(labels)} samples for {samples} samples",
            where=str(path),
            hint="give one for each sample",
        )


def read_labels(
    path: Path,
    decision: ChosenDecision,
    values: Array,
    head: str,
    ids: NDArray[np.int64],
    *,
    ignored: int | None = None,
) -> LabelledProbe:
    """Labels for the decisions on an output. ``values``: the output over the probe, axis 0 the sample; ``head``: what it is.

    ``ignored``: the number that stands where no label is known, beside negative ones of pixels. Raises DataError, in one line,
    where labels and decisions do not fit.
    """
    from harness.data.named_arrays import read_array

    if decision.rule == "none":
        raise DataError(
            f"no decision is made on the output '{decision.output}', so labels can score nothing",
            where="--labels",
            hint="leave the labels out, or say --decision",
        )
    if values.dtype.kind not in "biuf":
        raise DataError(
            f"the output '{decision.output}' holds texts, which labels in whole numbers cannot score",
            where="--labels",
            hint="leave the labels out, or name another output by --decision-output",
        )
    rule, places = _rule(decision, values.shape), _places(decision, values.shape)
    if rule == "threshold":
        # Several labels in every place are given in the output's own arrangement.
        wanted = values.shape if places else (len(values), _labels(decision))
        labels = _fitting(path, read_array(path), wanted, decision)
        return _multi_label(path, labels, decision, ids, ignored)
    labels = _fitting(path, read_array(path), (len(values), *places), decision)
    return _classes(path, labels, decision, values, head, ids, ignored)


def _multi_label(
    path: Path, labels: Array, decision: ChosenDecision, ids: NDArray[np.int64], ignored: int | None
) -> LabelledProbe:
    known = np.ones(labels.shape, np.bool_) if ignored is None else labels != ignored
    odd = labels[known & (labels != 0) & (labels != 1)]
    if odd.size:
        raise DataError(
            f"holds {odd[0]}, a label is 0 or 1",
            where=str(path),
            hint="1 where the label is there; --ignore-label names the number that stands where it is not known",
        )
    _some_known(path, known)
    count = _labels(decision)
    names = decision.names or (decision.output,)
    axes = ("sample", "label", *("place",) * (labels.ndim - 2))

    def labels_second(array: Array) -> Array:
        return array.reshape(len(array), count) if labels.ndim == 2 else np.moveaxis(array, decision.axis or 1, 1)

    y = labels_second(np.where(known, labels, 0))
    problem = Problem(decision.output, axes, (None, *y.shape[1:]), "logits", names)
    limits = np.asarray(decision.thresholds, np.float64).reshape(-1, *[1] * (y.ndim - 2))

    def arranged(output: Array) -> Array:
        # What is at least its threshold is at least zero: the difference of two doubles has the right sign.
        return labels_second(np.asarray(output, np.float64)) - limits

    target = {"y": y} if ignored is None else {"y": y, "mask": labels_second(known)}
    return LabelledProbe(_task_deciding("threshold"), problem, _samples(ids, target), arranged)


def _some_known(path: Path, known: NDArray[np.bool_]) -> None:
    if known.size and not known.any():
        raise DataError("holds no label that is known", where=str(path), hint="mind the number that stands for none")


def _classes(
    path: Path,
    labels: Array,
    decision: ChosenDecision,
    values: Array,
    head: str,
    ids: NDArray[np.int64],
    ignored: int | None,
) -> LabelledProbe:
    per_place = bool(_places(decision, values.shape))
    known = np.ones(labels.shape, np.bool_) if ignored is None else labels != ignored
    _some_known(path, known)
    labels = np.where(known, labels, -1)
    names = _class_names(decision, values, labels)
    lowest = int(labels[known].min(initial=0))
    if (lowest < 0 and not per_place) or labels.max(initial=0) >= len(names):
        odd = lowest if lowest < 0 and not per_place else int(labels.max())
        also = ", and give places without one a negative number" if per_place else ""
        also += "; --ignore-label names the number that stands where none is known" if ignored is None else ""
        raise DataError(
            f"holds the class {odd}, the model has {len(names)}",
            where=str(path),
            hint=f"count classes from 0, in the order of the model's output{also}",
        )
    if labels.size and labels.max() < 0:
        raise DataError("names no class: all of its numbers are negative", where=str(path), hint="count classes from 0")
    arranged = _scores(decision, len(names), values.shape)
    own = decision.rule == "argmax"
    axes: tuple[str, ...] = ("sample", "class")
    shape: tuple[int | None, ...] = (None, len(names))
    if per_place:
        mapped = labels.reshape(len(labels), *_map(labels.shape[1:]))
        target: dict[str, Any] = {"y": np.where(mapped < 0, 0, mapped), "mask": mapped >= 0}
        axes, shape = (*axes, "row", "column"), (*shape, *mapped.shape[1:])
    else:
        # Samples of which nothing is known are left out.
        of_all = arranged
        arranged = lambda output: of_all(output)[known]  # noqa: E731
        target, ids = {"y": labels[known]}, ids[known]
    problem = Problem(decision.output, axes, shape, head if own else "softmax", names)
    return LabelledProbe(task_of(decision, values.shape), problem, _samples(ids, target), arranged)


def _scores(decision: ChosenDecision, classes: int, shape: tuple[int, ...]) -> Callable[[Array], Array]:
    """What turns an output into scores (sample, class) or (sample, class, row, column) whose largest is what it decides for."""
    places = _places(decision, shape)
    size = _map(places) if places else ()

    def largest(output: Array) -> Array:
        moved = np.moveaxis(output, decision.axis or 1, 1)
        return np.ascontiguousarray(moved.reshape(*moved.shape[:2], *size))

    def decided(output: Array) -> Array:
        numbers = np.asarray(output, np.float64).reshape(len(output), *size)
        broken = ~np.isfinite(numbers)
        chosen = np.rint(np.where(broken, 0.0, numbers))
        if decision.rule == "threshold":
            chosen = numbers >= decision.thresholds[0]
        # What is none of the classes has no decision, as what is not finite.
        broken |= (chosen < 0) | (chosen >= classes)
        scores = (chosen[:, None] == np.arange(classes).reshape(-1, *([1] * len(size)))).astype(np.float32)
        return np.where(broken[:, None], np.float32(np.nan), scores)

    return largest if decision.rule in ("argmax", "argmax-per-pixel") else decided


def _class_names(decision: ChosenDecision, values: Array, labels: Array) -> tuple[str, ...]:
    """The names of the classes: those that the decision has, else as many numbers as output and labels hold."""
    if decision.rule == "threshold":
        return ("0", "1")
    if decision.names:
        return decision.names
    # Decided by the output itself; infinities and the like are no classes.
    finite = values[np.isfinite(values)]
    largest = max(int(finite.max(initial=0)), int(labels.max(initial=0)))
    own = int(finite.max(initial=0))
    if own >= _MOST_CLASSES:
        raise DataError(
            f"the output '{decision.output}' holds {own}, too large for a class",
            where="--labels",
            hint="leave the labels out",
        )
    return tuple(str(index) for index in range(min(largest, _MOST_CLASSES - 1) + 1))


def _fitting(path: Path, labels: Array, wanted: tuple[int, ...], decision: ChosenDecision) -> NDArray[np.int64]:
    """The labels as int64 of the wanted shape. Raises DataError where they are no whole numbers, or have another shape."""
    axes: tuple[str, ...] = ("sample", "row", "column")
    if _rule(decision, wanted) == "threshold":
        axes = ("sample", "label", "row", "column") if decision.axis in (None, 1) else ()
    words = ", ".join(axes[: len(wanted)]) if len(wanted) <= len(axes) else "sample, place, ..."
    check_whole(path, labels)
    # An axis of one, as (sample, 1) or (sample, 1, row, column), says nothing more.
    if [size for size in labels.shape[1:] if size != 1] != [
        size for size in wanted[1:] if size != 1
    ] or not labels.ndim:
        raise DataError(
            f"has the shape {_text(labels.shape)}, the decisions on the output '{decision.output}' are {_text(wanted)} ({words})",
            where=str(path),
            hint="give one number for each decision",
        )
    check_count(path, labels, wanted[0])
    if labels.dtype.kind == "u" and labels.max(initial=0) > np.iinfo(np.int64).max:
        raise DataError(f"holds the class {labels.max()}", where=str(path), hint="count classes from 0")
    return labels.astype(np.int64).reshape(wanted)


def _places(decision: ChosenDecision, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes of what is decided in every sample beside its labels: () for one decision, (row, column) for pixels."""
    if decision.rule == "classes":
        # Graphs that decide themselves may keep the axis that they decided over.
        return tuple(size for size in shape[1:] if size != 1)
    return tuple(size for axis, size in enumerate(shape) if axis not in (0, decision.axis))


def _labels(decision: ChosenDecision) -> int:
    return max(len(decision.names), 1)


def _map(places: tuple[int, ...]) -> tuple[int, int]:
    """Places as rows and columns: those of a map, else all in one row."""
    return (places[0], places[1]) if len(places) == 2 else (1, int(np.prod(places)))


def _samples(ids: NDArray[np.int64], target: dict[str, Any]) -> Samples:
    return Samples(ids, ("probe",) * len(ids), target, dict)


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape) or "()"
