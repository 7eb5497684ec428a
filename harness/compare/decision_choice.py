"""Which decision is made on an output of a given file: as asked, as the file says, or as the output's shape and end tell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare.asked_decision import FORMS, OPTION, AskedDecision
from harness.compare.output_ends import OutputEnd, output_end
from harness.errors import DataError
from harness.models.spec import Decision
from harness.tasks import TASKS
from harness.tasks import task as find_task

#: Decided at where nothing else is said, as a share: half.
_HALF = 0.5


@dataclass(frozen=True)
class GivenOutput:
    """An output of a given file over the probe: ``values`` in float64 (or whole numbers, or texts), axis 0 the sample.

    ``dtype``: that of the file. ``sample_axis``: where the file has the sample; None where the output belongs to none.
    ``structure`` and ``metadata`` are the file's.
    """

    name: str
    values: NDArray[Any]
    dtype: str
    structure: Mapping[str, Any]
    metadata: Mapping[str, str]
    sample_axis: int | None = 0

    @property
    def is_text(self) -> bool:
        """Whether it holds texts."""
        return self.values.dtype.kind not in "biuf"

    @property
    def shape_in_words(self) -> str:
        """``5 x 5 x 27 x 33``."""
        return " x ".join(str(size) for size in self.values.shape) or "a single number"


@dataclass(frozen=True)
class ChosenDecision:
    """The decision on an output, and why.

    ``axis``: of the classes or labels, the sample being axis 0; None where there is none. ``names``: of the classes, or of the
    labels. ``asked``: whether the user said so; ``assumed``: whether nobody did, and the file does not tell either.
    """

    output: str
    rule: Decision
    why: str
    axis: int | None = None
    thresholds: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    asked: bool = False
    assumed: bool = False
    #: What has one class each.
    place: str = "sample"

    def sentence(self) -> str:
        """What is decided and why, in one sentence without a full stop."""
        also = f"; {OPTION} says otherwise" if self.assumed else ""
        return f"{self._what()}: {self.why}{also}"

    def _what(self) -> str:
        named = f"the output '{self.output}'"
        if self.rule == "none":
            return f"no decision is made on {named}"
        if self.rule == "classes":
            return f"the classes that {named} holds are compared one by one"
        if self.rule == "threshold":
            limits = sorted(set(self.thresholds))
            at = (
                f"{limits[0]:g}"
                if len(limits) == 1
                else f"{len(self.thresholds)} thresholds from {limits[0]:g} to {limits[-1]:g}"
            )
            each = f"each of {len(self.names)} labels of {named}" if len(self.names) > 1 else named
            return f"{each} is decided at {at}"
        return f"the class of a {self.place} is the largest of {len(self.names)} along axis {self.axis} of {named}"


def choose_decision(output: GivenOutput, asked: AskedDecision | None) -> ChosenDecision:
    """The decision on an output. Raises DataError where what is asked, or what the file says, cannot be made on it."""
    end = output_end(output.structure, output.name, output.values.ndim)
    if end.class_axis is not None:
        end = replace(end, class_axis=_place(output, end.class_axis))
    if asked is not None:
        return _as_asked(output, asked, end)
    if output.values.ndim == 0 or output.sample_axis is None:
        return ChosenDecision(output.name, "none", "it belongs to no sample")
    if output.values.size == 0:
        return ChosenDecision(output.name, "none", f"it is empty, {output.shape_in_words}")
    if output.is_text:
        return _classes(output, "it holds texts, which are classes already")
    task = _stated_task(output.metadata)
    if task is not None:
        return _of_task(output, task, end)
    return _by_itself(output, end)


def _as_asked(output: GivenOutput, asked: AskedDecision, end: OutputEnd) -> ChosenDecision:
    why = f"{OPTION} says so"
    if asked.rule == "none":
        return ChosenDecision(output.name, "none", why, asked=True)
    if output.values.ndim == 0 or output.sample_axis is None:
        raise DataError(
            f"the output '{output.name}' belongs to no sample: nothing is decided by it", where=OPTION, hint="say none"
        )
    if output.is_text and asked.rule != "classes":
        raise DataError(f"the output '{output.name}' holds texts", where=OPTION, hint="say classes, or none")
    if asked.rule == "classes":
        return _classes(output, why, asked=True)
    if asked.rule == "threshold":
        return _threshold(output, asked.thresholds, why, end, asked=True)
    if asked.axis is None:
        return _argmax(output, _class_axis(output, end), why, asked=True)
    return _argmax(output, _moved(output, asked.axis), why, asked=True)


def _of_task(output: GivenOutput, task: str, end: OutputEnd) -> ChosenDecision:
    """By the task that the file names. Raises DataError where the output has not the shape of one of that task."""
    why = f"the file names the task {task}"
    known = find_task(task)
    rule: Decision = known.decision if known.decides_files else "none"
    wanted = known.output_axes
    if rule == "none":
        return ChosenDecision(output.name, rule, why)
    axes, of_labels = output.values.ndim, rule == "threshold"
    if _is_whole(output) and not of_labels and axes == wanted - 1:
        return _classes(output, why)
    if axes != wanted or (not of_labels and _class_axis(output, end) is None):
        raise DataError(
            f"the file names the task {task}, and its output '{output.name}' of shape {output.shape_in_words} is none of it",
            where="harness.task",
            hint=f"say {OPTION} {FORMS}",
        )
    if of_labels:
        logits = _stated_head(output.metadata, end) not in ("sigmoid", "softmax")
        return _threshold(output, (0.0 if logits else _HALF,), f"{why}, of logits" if logits else why, end)
    return _argmax(output, _class_axis(output, end), why)


def _by_itself(output: GivenOutput, end: OutputEnd) -> ChosenDecision:
    """By what the output is and what the graph ends in."""
    if end.kind == "classes" and _holds_whole(output.values):
        return _classes(output, "the graph ends in ArgMax")
    if _is_whole(output):
        what = "booleans" if output.dtype == "bool" else "whole numbers"
        return _classes(output, f"it holds {what}, which are classes already")
    head = _stated_head(output.metadata, end)
    if head == "sigmoid":
        return _threshold(output, (_HALF,), "it ends in a sigmoid", end)
    axis = _class_axis(output, end)
    if head in ("softmax", "log-softmax") and axis is not None:
        return _argmax(output, axis, f"it ends in a {head}")
    if axis is None or output.values.ndim == 3:
        single = output.values.ndim == 1 or (output.values.ndim in (2, 4) and output.values.shape[1] == 1)
        found = "holds single numbers" if single else "has no axis of classes that is known"
        return ChosenDecision(
            output.name, "none", f"the file does not say what it is for, and it {found}", assumed=True
        )
    return _argmax(
        output, axis, "the file does not say what it is for, and it has the shape of scores of classes", assumed=True
    )


def _argmax(
    output: GivenOutput, axis: int | None, why: str, *, asked: bool = False, assumed: bool = False
) -> ChosenDecision:
    if axis is None:
        raise DataError(
            f"the output '{output.name}' of shape {output.shape_in_words} has no axis of classes that is known",
            where=OPTION,
            hint="say argmax-axis=K",
        )
    classes = output.values.shape[axis]
    if classes < 2:
        raise DataError(
            f"the output '{output.name}' of shape {output.shape_in_words} has {classes} class along axis {axis}",
            where=OPTION,
            hint="argmax needs two; decide by a threshold",
        )
    rule: Decision = "argmax" if output.values.ndim == 2 else "argmax-per-pixel"
    place = {2: "sample", 4: "pixel"}.get(output.values.ndim, "place")
    return ChosenDecision(
        output.name, rule, why, axis, names=_names(output.metadata, classes), asked=asked, assumed=assumed, place=place
    )


def _threshold(
    output: GivenOutput, thresholds: tuple[float, ...], why: str, end: OutputEnd, *, asked: bool = False
) -> ChosenDecision:
    if output.dtype == "bool":
        raise DataError(
            f"the output '{output.name}' holds booleans, which no threshold applies to",
            where=OPTION,
            hint="say classes",
        )
    axes = output.values.ndim
    axis = 1 if axes == 2 else end.class_axis or (1 if axes == 4 else None)
    labels = 1 if axes == 1 or axis is None else output.values.shape[axis]
    if len(thresholds) not in (1, labels):
        raise DataError(
            f"{len(thresholds)} thresholds for {labels} label{'s' * (labels != 1)} of the output '{output.name}' of shape "
            f"{output.shape_in_words}",
            where=OPTION,
            hint="give one, or one for each label",
        )
    names = _names(output.metadata, labels) if labels > 1 else ()
    return ChosenDecision(output.name, "threshold", why, axis, thresholds, names, asked=asked)


def _classes(output: GivenOutput, why: str, *, asked: bool = False) -> ChosenDecision:
    if output.is_text:
        return ChosenDecision(output.name, "classes", why, asked=asked)
    if not _is_whole(output) and not _holds_whole(output.values):
        raise DataError(
            f"the output '{output.name}' holds numbers that are not whole: they are no classes",
            where=OPTION,
            hint="decide by argmax or by a threshold",
        )
    stated = _stated_classes(output.metadata)
    if output.dtype == "bool":
        return ChosenDecision(output.name, "classes", why, names=("false", "true"), asked=asked)
    largest = int(output.values.max(initial=0))
    if len(stated) > largest:
        return ChosenDecision(output.name, "classes", why, names=stated, asked=asked)
    return ChosenDecision(output.name, "classes", why, asked=asked)


def _class_axis(output: GivenOutput, end: OutputEnd) -> int | None:
    """The axis of two classes or more: the second of two, the one that the graph tells, or channels first of a map."""
    axes = output.values.ndim
    axis = 1 if axes == 2 else end.class_axis
    if axis is None and axes == 4:
        axis = 1
    return axis if axis is not None and 0 < axis < axes and output.values.shape[axis] > 1 else None


def _moved(output: GivenOutput, axis: int) -> int:
    """An axis of the file's output where the sample is axis 0. Raises DataError where there is none, or it is the sample."""
    axes = output.values.ndim
    if not -axes <= axis < axes:
        raise DataError(
            f"the output '{output.name}' of shape {output.shape_in_words} has no axis {axis}",
            where=OPTION,
            hint=f"it has {axes}",
        )
    place = _place(output, axis % axes)
    if place == 0:
        raise DataError(
            f"axis {axis} of the output '{output.name}' is the sample",
            where=OPTION,
            hint="name the axis of the classes",
        )
    return place


def _place(output: GivenOutput, axis: int) -> int:
    """Where an axis of the file's output lies once the sample is axis 0."""
    sample = output.sample_axis or 0
    return 0 if axis == sample else axis + 1 if axis < sample else axis


def _is_whole(output: GivenOutput) -> bool:
    return output.dtype == "bool" or "int" in output.dtype


def _holds_whole(values: NDArray[Any]) -> bool:
    return bool((np.isfinite(values) & (values == np.rint(values))).all()) if values.dtype.kind == "f" else True


def _stated_task(metadata: Mapping[str, str]) -> str | None:
    """The task that the file's metadata name, by itself or in a specification; None where they name none that is known."""
    stated = metadata.get("harness.task")
    if stated is None:
        try:
            spec = json.loads(metadata.get("harness.spec", "{}"))
        except ValueError:
            spec = {}
        stated = spec.get("task") if isinstance(spec, dict) else None
    return stated if stated in TASKS else None


def _stated_head(metadata: Mapping[str, str], end: OutputEnd) -> str:
    return metadata.get("harness.head") or end.kind


def _stated_classes(metadata: Mapping[str, str]) -> tuple[str, ...]:
    try:
        named = json.loads(metadata.get("harness.classes", "[]"))
    except ValueError:
        named = []
    return tuple(str(name) for name in named) if isinstance(named, list) else ()


def _names(metadata: Mapping[str, str], count: int) -> tuple[str, ...]:
    """The names that the file has for so many classes, else their numbers."""
    stated: Sequence[str] = _stated_classes(metadata)
    return tuple(stated) if len(stated) == count else tuple(str(index) for index in range(count))
