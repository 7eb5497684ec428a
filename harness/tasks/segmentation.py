"""A class per pixel, under a mask: cross-entropy of the pixels that count, and the most likely class of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.tasks.base import Array, Problem, Samples, Target, Validation, wanted_array
from harness.tasks.class_metrics import per_class
from harness.tasks.classification import check_labels
from harness.tasks.decision_rule import Decision, DecisionRule
from harness.tasks.losses import LossSum
from harness.tasks.pixel_metrics import iou, overall, pixel_confusions
from harness.tasks.scores import Metric, Score, ScoredTask, overall_scores, part_scores

NAME = "segmentation"

#: By key, from matrices (..., true, predicted) to every class, pixels without a decision the last of them.
METRICS: dict[str, Callable[[NDArray[Any]], NDArray[np.float64]]] = {
    "iou": iou,
    "f1": lambda confusion: per_class(confusion).f1,
    "precision": lambda confusion: per_class(confusion).precision,
    "recall": lambda confusion: per_class(confusion).recall,
}


class Segmentation(ScoredTask):
    """Output (sample, class, row, column); target ``y`` whole numbers and ``mask`` bool, both (sample, row, column).

    Only pixels of the mask are learned from, decided on and counted; what the target holds elsewhere does not matter.
    """

    name: ClassVar[str] = NAME
    losses: ClassVar[tuple[str, ...]] = ("cross-entropy",)
    columns: ClassVar[tuple[str, ...]] = ("valid_loss", "accuracy", "kappa", "iou_mean", "f1_macro", "f1_weighted")
    at_once: ClassVar[int] = 16
    curves: ClassVar[tuple[str, ...]] = ("accuracy", "kappa", "iou_mean", "f1_macro")
    decision: ClassVar[Decision] = "argmax-per-pixel"
    output_axes: ClassVar[int] = 4
    stac_name: ClassVar[str] = "semantic-segmentation"
    overall: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", "Overall accuracy"),
        Metric("kappa", "Kappa"),
        Metric("iou_mean", "Mean IoU"),
        Metric("f1_macro", "F1 macro"),
        Metric("f1_weighted", "F1 weighted", shown=False),
    )
    of_parts: ClassVar[tuple[Metric, ...]] = (
        Metric("iou", "IoU"),
        Metric("f1", "F1"),
        Metric("precision", "Precision"),
        Metric("recall", "Recall"),
    )
    part: ClassVar[tuple[str, str]] = ("class", "classes")
    counted: ClassVar[str] = "pixels of the mask that are of the class"

    def check(self, problem: Problem, target: Target) -> None:
        """See Task."""
        shape = (None, problem.size("row") or None, problem.size("column") or None)
        labels, mask = wanted_array(target, "y", shape, "iu"), wanted_array(target, "mask", shape, "b")
        wanted_array(target, "mask", labels.shape, "b")
        check_labels(labels[mask], problem.size("class"))

    def validation(self, problem: Problem, loss: str) -> Validation:
        """See Task."""
        return _Validation(problem, loss)

    def decision_rule(self, problem: Problem, ids: NDArray[np.int64], target: Target) -> DecisionRule | None:
        """See Task: the most likely class of each pixel of the mask."""
        return DecisionRule(self.decision, problem.names, ids, mask=target.get("mask"))

    def fits(self, problem: Problem, samples: Samples, output: Array) -> bool:
        """See ScoredTask."""
        samples_and_pixels = samples.target["y"].shape
        return output.shape == (samples_and_pixels[0], problem.size("class"), *samples_and_pixels[1:])

    def scores(self, problem: Problem, samples: Samples, output: Array) -> list[Score]:
        """See ScoredTask."""
        classes, truth, mask = problem.size("class"), samples.target["y"], samples.target["mask"]
        confusions = pixel_confusions(truth, classes_of(output), mask, classes)
        total = confusions.sum(axis=0)
        names = [problem.name(index) for index in range(classes)]
        return [
            *overall_scores(confusions, overall, int(mask.sum())),
            *part_scores(confusions, METRICS, names, total.sum(axis=1)),
        ]


def classes_of(output: Array) -> NDArray[np.int64]:
    """The most likely class of every pixel (sample, row, column); the number of classes where it is not finite."""
    finite = np.asarray(np.isfinite(output).all(axis=1))
    chosen = np.where(finite[:, None], output, 0.0).argmax(axis=1)
    return np.asarray(np.where(finite, chosen, output.shape[1]), np.int64)


class _Validation(Validation):
    def __init__(self, problem: Problem, loss: str) -> None:
        self.loss, self.classes = LossSum(loss, problem.head), problem.size("class")
        self.confusion = np.zeros((self.classes + 1,) * 2, dtype=np.int64)

    def add(self, inputs: Mapping[str, Array], target: Target, output: Array) -> None:
        self.loss.add(output, target)
        found = pixel_confusions(target["y"], classes_of(output), target["mask"], self.classes)
        self.confusion += found.sum(axis=0)

    def result(self) -> dict[str, float]:
        found = overall(self.confusion)
        return {"valid_loss": self.loss.mean, **{name: float(found[name]) for name in Segmentation.columns[1:]}}


TASK = Segmentation()
