"""Task metrics: the one implementation for all languages. Workers return outputs; what they mean is computed here.

Conventions are scikit-learn's: rows of a confusion matrix are true classes, columns predicted ones; a quotient 0 / 0 is
0 (``zero_division=0``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.tasks.numbers import ratio

Labels = NDArray[np.integer[Any]]
Float64 = NDArray[np.float64]
Average = Literal["micro", "macro", "weighted"]
#: From confusion matrices (..., true, predicted) to one number each (...,).
Metric = Callable[[NDArray[Any]], Float64]

#: Below this number of samples an interval says little, and tables mark it.
FEW_SAMPLES = 30


def confusion_matrix(truth: Labels, prediction: Labels, classes: int) -> NDArray[np.int64]:
    """Counts (true class, predicted class) of samples whose labels are indices below ``classes``.

    Raises DataError where lengths differ or a label is out of range.
    """
    truth, prediction = _labels(truth, classes, "true"), _labels(prediction, classes, "predicted")
    if truth.shape != prediction.shape:
        raise DataError(f"{truth.size} true labels cannot be compared with {prediction.size} predicted ones")
    return np.bincount(truth * classes + prediction, minlength=classes * classes).reshape(classes, classes)


def accuracy(confusion: NDArray[Any]) -> Float64:
    """Share of samples on the diagonal; confusion (..., true, predicted) -> (...,)."""
    return ratio(np.trace(confusion, axis1=-2, axis2=-1), confusion.sum(axis=(-2, -1)))


def cohen_kappa(confusion: NDArray[Any]) -> Float64:
    """Agreement beyond chance (Cohen 1960); 0 where chance agrees fully; confusion (..., true, predicted) -> (...,)."""
    total = confusion.sum(axis=(-2, -1)).astype(np.float64)
    observed = accuracy(confusion)
    by_chance = ratio((confusion.sum(axis=-1) * confusion.sum(axis=-2).astype(np.float64)).sum(axis=-1), total * total)
    return ratio(observed - by_chance, 1.0 - by_chance)


@dataclass(frozen=True)
class ClassMetrics:
    """Precision, recall, F1 and support (number of true samples) per class, each (..., class)."""

    precision: Float64
    recall: Float64
    f1: Float64
    support: NDArray[np.int64]


def per_class(confusion: NDArray[Any]) -> ClassMetrics:
    """Metrics of every class against all others; confusion (..., true, predicted)."""
    hit = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    support, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    return ClassMetrics(
        precision=ratio(hit, predicted),
        recall=ratio(hit, support),
        f1=ratio(2 * hit, support + predicted),
        support=support.astype(np.int64),
    )


def averaged(confusion: NDArray[Any], measure: Literal["precision", "recall", "f1"], average: Average) -> Float64:
    """Precision, recall or F1 over all classes; confusion (..., true, predicted) -> (...,).

    ``micro``: over pooled counts, which for one label per sample is the accuracy. ``macro``: mean over the classes that
    occur among the true or the predicted labels, as scikit-learn does where it is not told the labels. ``weighted``:
    mean weighted by support.
    """
    if average == "micro":
        return accuracy(confusion)
    classes = per_class(confusion)
    values: Float64 = getattr(classes, measure)
    if average == "weighted":
        return ratio((values * classes.support).sum(axis=-1), classes.support.sum(axis=-1))
    present = (classes.support + confusion.sum(axis=-2)) > 0
    return ratio(np.where(present, values, 0.0).sum(axis=-1), present.sum(axis=-1))


def summary(confusion: NDArray[Any]) -> dict[str, float]:
    """All overall metrics of one confusion matrix by the column names of ``training.csv``."""
    numbers = {"accuracy": float(accuracy(confusion)), "kappa": float(cohen_kappa(confusion))}
    for measure in ("f1", "precision", "recall"):
        for average in ("micro", "macro", "weighted"):
            numbers[f"{measure}_{average}"] = float(averaged(confusion, measure, average))  # type: ignore[arg-type]
    return numbers


@dataclass(frozen=True)
class Interval:
    """A metric with its percentile bootstrap interval; ``few`` where it rests on fewer than 30 samples."""

    value: float
    low: float
    high: float
    samples: int
    few: bool


def bootstrap_interval(
    confusion: NDArray[np.int64],
    metric: Metric,
    *,
    seed: int = 0,
    resamples: int = 1000,
    level: float = 0.95,
    samples: int | None = None,
) -> Interval:
    """Percentile bootstrap of a metric of the confusion matrix (Efron and Tibshirani 1993, chapter 13).

    Drawing samples with replacement changes the matrix as drawing from the multinomial distribution of its cells does,
    so that all resamples are drawn at once. ``samples``: the number that the metric rests on, by default all of the
    matrix (a class's support for a metric of one class).
    """
    total = int(confusion.sum())
    value = float(metric(confusion))
    resting_on = total if samples is None else samples
    if total == 0:
        return Interval(value, value, value, 0, True)
    cells = confusion.reshape(-1) / total
    drawn = np.random.default_rng(seed).multinomial(total, cells, size=resamples).reshape(-1, *confusion.shape)
    values = metric(drawn)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), resting_on, resting_on < FEW_SAMPLES)


def probabilities(outputs: NDArray[Any], head: str) -> Float64:
    """Probabilities (..., class) from outputs (..., class) of a model with that head, in float64."""
    values = np.asarray(outputs, dtype=np.float64)
    if head in ("softmax", "sigmoid"):
        return values
    if head == "log-softmax":
        return np.exp(values)
    shifted = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Prediction:
    """Per sample: predicted class, its probability, and how far that is above the second largest; all (sample,)."""

    label: NDArray[np.int64]
    confidence: Float64
    margin: Float64


def predict(outputs: NDArray[Any], head: str) -> Prediction:
    """Classes, confidences and margins of outputs (sample, class); ties go to the first class."""
    shares = probabilities(outputs, head)
    # The largest output, not the largest probability: exp() may make two different outputs equal.
    label = np.asarray(outputs).argmax(axis=-1)
    if shares.shape[-1] < 2:
        return Prediction(label, shares[..., 0], shares[..., 0])
    top = np.partition(shares, -2, axis=-1)
    return Prediction(label, top[..., -1], top[..., -1] - top[..., -2])


def agreement(first: Labels, second: Labels) -> float:
    """Share of samples with the same prediction; 1 where there are none."""
    if first.shape != second.shape:
        raise DataError(f"{first.size} predictions cannot be compared with {second.size}")
    return float(np.mean(first == second)) if first.size else 1.0


@dataclass(frozen=True)
class Disagreement:
    """Samples on which two runtimes predict other classes.

    ``changes``: counts (class by the first, class by the second), zero on the diagonal. ``first_right``,
    ``second_right``: samples on which only that one is right; ``both_wrong``: on which neither is.
    """

    changes: NDArray[np.int64]
    first_right: int
    second_right: int
    both_wrong: int

    @property
    def count(self) -> int:
        """Number of samples on which they disagree."""
        return int(self.changes.sum())


def disagreement(truth: Labels, first: Labels, second: Labels, classes: int) -> Disagreement:
    """Where two runtimes disagree, and who is right; labels are indices below ``classes``."""
    truth = _labels(truth, classes, "true")
    changes = confusion_matrix(first, second, classes)
    if truth.shape != np.shape(first):
        raise DataError(f"{truth.size} true labels cannot be compared with {np.size(first)} predicted ones")
    np.fill_diagonal(changes, 0)
    differ = np.asarray(first) != np.asarray(second)
    first_right = int(np.count_nonzero(differ & (first == truth)))
    second_right = int(np.count_nonzero(differ & (second == truth)))
    return Disagreement(changes, first_right, second_right, int(differ.sum()) - first_right - second_right)


def mean_confidence(label: Labels, confidence: Float64, classes: int) -> Float64:
    """Mean confidence of the samples of each predicted class, (class,); NaN where a class was never predicted."""
    label = _labels(label, classes, "predicted")
    counts = np.bincount(label, minlength=classes)
    sums = np.bincount(label, weights=confidence, minlength=classes)
    return np.asarray(np.divide(sums, counts, out=np.full(classes, np.nan), where=counts > 0))


def _labels(labels: Labels, classes: int, which: str) -> NDArray[np.int64]:
    array = np.asarray(labels)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise DataError(f"{which} labels must be one integer per sample, not {array.dtype} of shape {array.shape}")
    if array.size and (array.min() < 0 or array.max() >= classes):
        raise DataError(f"{which} labels must lie in 0 to {classes - 1}, found {array.min()} to {array.max()}")
    return array.astype(np.int64)
