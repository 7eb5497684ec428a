"""One class per sample: cross-entropy, the most likely class, and metrics of labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.tasks.base import (
    Answers,
    Array,
    Problem,
    Rows,
    Samples,
    Target,
    Task,
    Validation,
    wanted_array,
)
from harness.tasks.class_metrics import confusion_matrix, summary
from harness.tasks.class_rows import prediction_rows
from harness.tasks.decision_rule import Decision, DecisionRule
from harness.tasks.losses import LossSum

NAME = "classification"

_SCORES = ("f1", "precision", "recall")
_AVERAGES = ("micro", "macro", "weighted")


class Classification(Task):
    """Output (sample, class); target ``y`` int64 (sample,)."""

    name: ClassVar[str] = NAME
    losses: ClassVar[tuple[str, ...]] = ("cross-entropy",)
    #: The averages are over classes.
    columns: ClassVar[tuple[str, ...]] = (
        "valid_loss",
        "accuracy",
        "kappa",
        *(f"{score}_{average}" for score in _SCORES for average in _AVERAGES),
    )

    curves: ClassVar[tuple[str, ...]] = ("accuracy", "kappa", "f1_macro", "f1_weighted")
    decision: ClassVar[Decision] = "argmax"
    output_axes: ClassVar[int] = 2
    stac_name: ClassVar[str] = "classification"
    result_files: ClassVar[tuple[str, ...]] = ("predictions.csv.gz",)
    lists_outputs: ClassVar[bool] = True
    report: ClassVar[str] = "classes"
    tables: ClassVar[tuple[str, ...]] = (
        "outputs_per_class",
        "metrics",
        "metrics_per_class",
        "confusion",
        "disagreement_summary",
        "disagreement",
        "mcnemar",
        "confidence",
    )
    figures: ClassVar[tuple[str, ...]] = ("class_counts", "confusion", "f1_heatmap", "f1_per_class")

    def check(self, problem: Problem, target: Target) -> None:
        """See Task."""
        labels = wanted_array(target, "y", (None,), "iu")
        check_labels(labels, problem.size("class"))

    def validation(self, problem: Problem, loss: str) -> Validation:
        """See Task."""
        return _Validation(problem, loss)

    def decision_rule(self, problem: Problem, ids: NDArray[np.int64], target: Target) -> DecisionRule | None:
        """See Task: the most likely class."""
        return DecisionRule(self.decision, problem.names, ids)

    def result_tables(self, problem: Problem, samples: Samples, answers: Answers) -> dict[str, Rows]:
        """See Task: the predicted class of every sample, its probability and margin."""
        truth = [problem.names[label] for label in samples.target["y"]]
        rows = prediction_rows(samples.regions, samples.ids.tolist(), truth, problem.names, problem.head, answers)
        return {"predictions.csv.gz": rows}


class _Validation(Validation):
    def __init__(self, problem: Problem, loss: str) -> None:
        self.loss = LossSum(loss, problem.head)
        self.confusion = np.zeros((problem.size("class"),) * 2, dtype=np.int64)

    def add(self, inputs: Mapping[str, Array], target: Target, output: Array) -> None:
        self.loss.add(output, target)
        self.confusion += confusion_matrix(target["y"], output.argmax(axis=1), len(self.confusion))

    def result(self) -> dict[str, float]:
        return {"valid_loss": self.loss.mean, **summary(self.confusion)}


def check_labels(labels: Array, classes: int) -> None:
    """Raise DataError where a label is none of that many classes."""
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise DataError(f"labels must lie in 0 .. {classes - 1}, found {labels.min()} .. {labels.max()}")


TASK = Classification()
