"""Several labels per sample, each of which is there or not: binary cross-entropy and a threshold per label."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.tasks.base import Array, Problem, Samples, Target, Validation, wanted_array
from harness.tasks.decision_rule import Decision, DecisionRule
from harness.tasks.label_metrics import f_score, label_counts, overall, precision, recall, support
from harness.tasks.losses import LossSum
from harness.tasks.scores import Metric, Score, ScoredTask, overall_scores, part_scores

NAME = "multi-label"

#: The threshold of every label, by what the head puts out: a probability of one half.
THRESHOLDS = {"sigmoid": 0.5, "logits": 0.0}

#: By key, from counts (..., case, label) to every label.
METRICS: dict[str, Callable[[NDArray[Any]], NDArray[np.float64]]] = {
    "f1": f_score,
    "f2": partial(f_score, beta=2.0),
    "precision": precision,
    "recall": recall,
}


class MultiLabel(ScoredTask):
    """Output (sample, label); target ``y`` (sample, label), 0 or 1.

    Labels that a user gives for the outputs of a file may have places (sample, label, row, column), and ``mask``, bool of the
    same shape, where they are known.
    """

    name: ClassVar[str] = NAME
    losses: ClassVar[tuple[str, ...]] = ("binary-cross-entropy",)
    columns: ClassVar[tuple[str, ...]] = (
        "valid_loss",
        *("f1_micro", "f1_macro", "f2_macro", "precision_macro", "recall_macro", "hamming"),
    )
    curves: ClassVar[tuple[str, ...]] = ("f1_micro", "f1_macro", "f2_macro", "hamming")
    decision: ClassVar[Decision] = "threshold"
    output_axes: ClassVar[int] = 2
    stac_name: ClassVar[str] = "classification"
    overall: ClassVar[tuple[Metric, ...]] = (
        Metric("f1_micro", "F1 micro"),
        Metric("f1_macro", "F1 macro"),
        Metric("f1_weighted", "F1 weighted", shown=False),
        Metric("f2_micro", "F2 micro", shown=False),
        Metric("f2_macro", "F2 macro"),
        Metric("precision_micro", "Precision micro", shown=False),
        Metric("precision_macro", "Precision macro", shown=False),
        Metric("recall_micro", "Recall micro", shown=False),
        Metric("recall_macro", "Recall macro", shown=False),
        Metric("hamming", "Hamming loss"),
    )
    of_parts: ClassVar[tuple[Metric, ...]] = (
        Metric("f1", "F1"),
        Metric("f2", "F2"),
        Metric("precision", "Precision"),
        Metric("recall", "Recall"),
    )
    part: ClassVar[tuple[str, str]] = ("label", "labels")
    counted: ClassVar[str] = "samples that have the label"

    def check(self, problem: Problem, target: Target) -> None:
        """See Task."""
        labels = wanted_array(target, "y", (None, problem.size("label")), "iufb")
        if not np.isin(labels, (0, 1)).all():
            raise DataError("labels of a sample must be 0 or 1 each")

    def validation(self, problem: Problem, loss: str) -> Validation:
        """See Task."""
        return _Validation(problem, loss)

    def decision_rule(self, problem: Problem, ids: NDArray[np.int64], target: Target) -> DecisionRule | None:
        """See Task: whether each label is there."""
        return DecisionRule(self.decision, problem.names, ids, (threshold(problem),) * problem.size("label"))

    def fits(self, problem: Problem, samples: Samples, output: Array) -> bool:
        """See ScoredTask."""
        return output.shape == samples.target["y"].shape

    def scores(self, problem: Problem, samples: Samples, output: Array) -> list[Score]:
        """See ScoredTask."""
        truth, known = samples.target["y"], samples.target.get("mask")
        counts = label_counts(truth, labels_of(problem, output, truth), known)
        names = [problem.name(index) for index in range(truth.shape[1])]
        decided = truth[:, 0].size if known is None else int(known.any(axis=1).sum())
        return [
            *overall_scores(counts, overall, decided),
            *part_scores(counts, METRICS, names, support(counts.sum(axis=0))),
        ]


def threshold(problem: Problem) -> float:
    """The threshold of every label. Raises DataError where the head tells none."""
    if problem.head not in THRESHOLDS:
        raise DataError(f"labels need a head of {' or '.join(THRESHOLDS)}, not {problem.head}")
    return THRESHOLDS[problem.head]


def labels_of(problem: Problem, output: Array, truth: Array) -> NDArray[np.bool_]:
    """The labels that an output decides for, bool (sample, label); one that is not finite is wrong whatever is true."""
    return np.where(np.isfinite(output), output >= threshold(problem), np.asarray(truth) == 0)


class _Validation(Validation):
    def __init__(self, problem: Problem, loss: str) -> None:
        self.problem, self.loss = problem, LossSum(loss, problem.head)
        self.counts = np.zeros((4, problem.size("label")), dtype=np.int64)

    def add(self, inputs: Mapping[str, Array], target: Target, output: Array) -> None:
        self.loss.add(output, target)
        self.counts += label_counts(target["y"], labels_of(self.problem, output, target["y"])).sum(axis=0)

    def result(self) -> dict[str, float]:
        found = overall(self.counts)
        return {"valid_loss": self.loss.mean, **{name: float(found[name]) for name in MultiLabel.columns[1:]}}


TASK = MultiLabel()
