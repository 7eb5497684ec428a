"""Metrics of a class per pixel, of the pixels of a mask. Conventions are scikit-learn's; a quotient 0 / 0 is 0.

Confusion matrices are (..., true, predicted); the last class stands for pixels without a decision, which no pixel truly is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.tasks.class_metrics import accuracy, averaged, cohen_kappa
from harness.tasks.numbers import Float64, ratio


def pixel_confusions(
    truth: NDArray[Any], predicted: NDArray[Any], mask: NDArray[np.bool_], classes: int
) -> NDArray[np.int64]:
    """One matrix per sample, (sample, true, predicted) of ``classes`` + 1 each, of labels (sample, *pixel) below that."""
    size = classes + 1
    found = np.empty((len(truth), size, size), dtype=np.int64)
    for sample, (true, other, counted) in enumerate(zip(truth, predicted, mask, strict=True)):
        places = true[counted].astype(np.int64) * size + other[counted].astype(np.int64)
        found[sample] = np.bincount(places, minlength=size * size).reshape(size, size)
    return found


def iou(confusion: NDArray[Any]) -> Float64:
    """Intersection over union of every class (Jaccard 1912), (..., class)."""
    hit = np.diagonal(confusion, axis1=-2, axis2=-1)
    return ratio(hit, confusion.sum(axis=-1) + confusion.sum(axis=-2) - hit)


def mean_iou(confusion: NDArray[Any]) -> Float64:
    """Mean over the classes that occur among the true or the predicted pixels, (...,)."""
    present = (confusion.sum(axis=-1) + confusion.sum(axis=-2)) > 0
    return ratio(np.where(present, iou(confusion), 0.0).sum(axis=-1), present.sum(axis=-1))


def overall(confusion: NDArray[Any]) -> dict[str, Float64]:
    """All metrics over classes, each (...,)."""
    return {
        "accuracy": accuracy(confusion),
        "kappa": cohen_kappa(confusion),
        "iou_mean": mean_iou(confusion),
        "f1_macro": averaged(confusion, "f1", "macro"),
        "f1_weighted": averaged(confusion, "f1", "weighted"),
    }
