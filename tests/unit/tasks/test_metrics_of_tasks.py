"""Metrics of labels, pixels and values against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as reference

from harness.tasks import label_metrics, pixel_metrics, value_metrics
from harness.tasks.bootstrap import intervals_of

RANDOM = np.random.default_rng(5)


def test_metrics_of_labels_are_those_of_scikit_learn() -> None:
    truth = RANDOM.random((60, 4)) < (0.2, 0.5, 0.8, 0.0)
    predicted = truth ^ (RANDOM.random((60, 4)) < 0.25)
    counts = label_metrics.label_counts(truth, predicted)
    assert counts.shape == (60, 4, 4)
    total = counts.sum(axis=0)
    found = label_metrics.overall(total)
    known = {"zero_division": 0.0}
    for average in ("micro", "macro", "weighted"):
        assert found[f"f1_{average}"] == pytest.approx(reference.f1_score(truth, predicted, average=average, **known))
    for average in ("micro", "macro"):
        expected = reference.fbeta_score(truth, predicted, beta=2, average=average, **known)
        assert found[f"f2_{average}"] == pytest.approx(expected)
        for name in ("precision", "recall"):
            expected = getattr(reference, f"{name}_score")(truth, predicted, average=average, **known)
            assert found[f"{name}_{average}"] == pytest.approx(expected)
    assert found["hamming"] == pytest.approx(reference.hamming_loss(truth, predicted))
    precision, recall, f1, support = reference.precision_recall_fscore_support(truth, predicted, average=None, **known)
    assert label_metrics.precision(total) == pytest.approx(precision)
    assert label_metrics.recall(total) == pytest.approx(recall)
    assert label_metrics.f_score(total) == pytest.approx(f1)
    assert label_metrics.support(total).tolist() == support.tolist()
    expected = reference.fbeta_score(truth, predicted, beta=2, average=None, **known)
    assert label_metrics.f_score(total, 2.0) == pytest.approx(expected)


def test_metrics_of_pixels_are_those_of_scikit_learn_under_the_mask() -> None:
    truth = RANDOM.integers(0, 3, (7, 5, 6))
    predicted = np.where(RANDOM.random(truth.shape) < 0.3, RANDOM.integers(0, 3, truth.shape), truth)
    mask = RANDOM.random(truth.shape) < 0.7
    total = pixel_metrics.pixel_confusions(truth, predicted, mask, 3).sum(axis=0)
    flat = truth[mask], predicted[mask]
    assert total[:3, :3].tolist() == reference.confusion_matrix(*flat).tolist()
    assert pixel_metrics.iou(total)[:3] == pytest.approx(reference.jaccard_score(*flat, average=None))
    found = pixel_metrics.overall(total)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(*flat))
    assert found["kappa"] == pytest.approx(reference.cohen_kappa_score(*flat))
    assert found["iou_mean"] == pytest.approx(reference.jaccard_score(*flat, average="macro"))
    for average in ("macro", "weighted"):
        assert found[f"f1_{average}"] == pytest.approx(reference.f1_score(*flat, average=average))
    # A class that is neither true nor predicted has no part in the mean.
    absent = pixel_metrics.pixel_confusions(truth % 2, predicted % 2, mask, 3).sum(axis=0)
    expected = reference.jaccard_score(flat[0] % 2, flat[1] % 2, average="macro")
    assert pixel_metrics.mean_iou(absent) == pytest.approx(expected)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_metrics_of_values_are_those_of_scikit_learn(offset: float) -> None:
    truth = RANDOM.normal(size=(50, 2)) * (1.0, 20.0) + (3.0 + offset, -5.0)
    predicted = truth + RANDOM.normal(size=truth.shape) * (0.3, 4.0) + (0.1, 0.0)
    sums = value_metrics.value_sums(truth, predicted).sum(axis=0)
    expected = reference.mean_squared_error(truth, predicted, multioutput="raw_values")
    assert value_metrics.rmse(sums) == pytest.approx(np.sqrt(expected))
    expected = reference.mean_absolute_error(truth, predicted, multioutput="raw_values")
    assert value_metrics.mae(sums) == pytest.approx(expected)
    assert value_metrics.r2(sums) == pytest.approx(reference.r2_score(truth, predicted, multioutput="raw_values"))
    assert value_metrics.bias(sums) == pytest.approx((predicted - truth).mean(axis=0))


def test_where_the_truth_does_not_vary_there_is_no_r2() -> None:
    sums = value_metrics.value_sums(np.ones((4, 1)), np.zeros((4, 1))).sum(axis=0)
    assert np.isnan(value_metrics.r2(sums)).all()
    assert value_metrics.bias(sums) == -1


def test_intervals_are_seeded_and_hold_the_mean_as_theory_has_it() -> None:
    values = RANDOM.normal(2.0, 1.0, (400, 1))
    statistics = np.concatenate([np.ones_like(values), values], axis=1)

    def mean(sums: np.ndarray) -> np.ndarray:
        return sums[..., 1:] / sums[..., :1]

    (found,), (again,) = intervals_of(statistics, mean, 400), intervals_of(statistics, mean, 400)
    assert found == again
    assert found.value == pytest.approx(values.mean())
    half = 1.96 * values.std() / np.sqrt(400)
    assert found.low == pytest.approx(values.mean() - half, abs=0.2 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.2 * half)
    assert not found.few
    assert intervals_of(statistics[:5], mean, 5)[0].few
    # Many pixels of few samples: what is drawn are samples.
    assert intervals_of(statistics[:5], mean, 9000)[0].few
    assert intervals_of(statistics, mean, 400, seed=1) != [found]


def test_without_samples_there_is_a_value_and_no_interval() -> None:
    (found,) = intervals_of(np.zeros((0, 4, 1)), label_metrics.f_score, 0)
    assert (found.value, found.low, found.high, found.few) == (0.0, 0.0, 0.0, True)
