from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DataError
from harness.tasks import class_metrics as metrics

CLASSES = 6
LABELS = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=60)


def split(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    array = np.array(pairs)
    return array[:, 0], array[:, 1]


@settings(max_examples=60, deadline=None)
@given(LABELS)
@pytest.mark.filterwarnings("ignore")
def test_metrics_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = split(pairs)
    confusion = metrics.confusion_matrix(truth, predicted, CLASSES)
    every = list(range(CLASSES))
    assert np.array_equal(confusion, reference.confusion_matrix(truth, predicted, labels=every))
    found = metrics.summary(confusion)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(truth, predicted))
    kappa = reference.cohen_kappa_score(truth, predicted, labels=every)
    assert found["kappa"] == pytest.approx(0.0 if np.isnan(kappa) else kappa)
    for average in ("micro", "macro", "weighted"):
        precision, recall, f1, _ = reference.precision_recall_fscore_support(
            truth, predicted, average=average, zero_division=0
        )
        assert found[f"precision_{average}"] == pytest.approx(precision)
        assert found[f"recall_{average}"] == pytest.approx(recall)
        assert found[f"f1_{average}"] == pytest.approx(f1)
    classes = metrics.per_class(confusion)
    expected = reference.precision_recall_fscore_support(truth, predicted, labels=every, zero_division=0)
    for values, wanted in zip((classes.precision, classes.recall, classes.f1, classes.support), expected, strict=True):
        assert values == pytest.approx(np.asarray(wanted, dtype=float))


@given(LABELS)
def test_many_matrices_at_once_are_as_one_by_one(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = split(pairs)
    stack = np.stack(
        [metrics.confusion_matrix(truth, predicted, CLASSES), metrics.confusion_matrix(predicted, truth, CLASSES)]
    )
    for measure in (metrics.accuracy, metrics.cohen_kappa, lambda one: metrics.averaged(one, "f1", "macro")):
        assert measure(stack) == pytest.approx(np.array([measure(one) for one in stack]))


def test_no_samples_give_zeros() -> None:
    empty = np.array([], dtype=np.int64)
    assert set(metrics.summary(metrics.confusion_matrix(empty, empty, 1)).values()) == {0.0}
    assert metrics.agreement(empty, empty) == 1.0


@pytest.mark.parametrize(
    ("truth", "predicted", "text"),
    [([0, 9], [0, 1], "true labels must lie in 0 to 5"), ([0], [0, 1], "1 true"), ([0.5], [0], "integer per sample")],
)
def test_labels_that_make_no_sense(truth: list[float], predicted: list[int], text: str) -> None:
    with pytest.raises(DataError, match=text):
        metrics.confusion_matrix(np.array(truth), np.array(predicted), CLASSES)


def test_interval_is_seeded_and_covers_what_resampling_samples_does() -> None:
    generator = np.random.default_rng(3)
    truth = generator.integers(0, 4, 200)
    predicted = np.where(generator.random(200) < 0.8, truth, generator.integers(0, 4, 200))
    confusion = metrics.confusion_matrix(truth, predicted, 4)
    interval = metrics.bootstrap_interval(confusion, metrics.accuracy, seed=5, resamples=4000)
    assert interval == metrics.bootstrap_interval(confusion, metrics.accuracy, seed=5, resamples=4000)
    # Accuracy takes few values; kappa tells the seeds apart.
    kappas = [metrics.bootstrap_interval(confusion, metrics.cohen_kappa, seed=seed) for seed in (5, 6)]
    assert kappas[0] != kappas[1]
    drawn = generator.integers(0, 200, (4000, 200))
    low, high = np.quantile((truth == predicted)[drawn].mean(axis=1), [0.025, 0.975])
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.01)
    assert interval.low < interval.value < interval.high
    assert not interval.few


@pytest.mark.parametrize(("samples", "few"), [(29, True), (30, False)])
def test_few_samples_are_marked(samples: int, few: bool) -> None:
    confusion = np.array([[samples - 5, 5], [0, 0]])
    assert metrics.bootstrap_interval(confusion, metrics.accuracy).few is few
    large = np.array([[500, 5], [3, 2]])
    assert metrics.bootstrap_interval(large, lambda one: metrics.per_class(one).f1[..., 1], samples=5).few


def test_interval_of_nothing() -> None:
    interval = metrics.bootstrap_interval(np.zeros((3, 3), np.int64), metrics.accuracy)
    assert (interval.value, interval.samples, interval.few) == (0.0, 0, True)


def test_probabilities_of_all_heads_agree() -> None:
    logits = np.array([[1000.0, 1001.0, 990.0], [-5.0, 0.0, 5.0]])
    shares = metrics.probabilities(logits, "logits")
    assert shares.sum(axis=-1) == pytest.approx([1, 1])
    assert shares[0, 1] / shares[0, 0] == pytest.approx(np.e)
    assert metrics.probabilities(np.log(shares), "log-softmax") == pytest.approx(shares)
    assert metrics.probabilities(shares, "softmax") == pytest.approx(shares)


def test_prediction_follows_the_outputs_even_where_probabilities_saturate() -> None:
    outputs = np.array([[0.0, 800.0, 801.0], [1.0, 1.0, 0.0], [900.0, 0.0, 0.0]])
    found = metrics.predict(outputs, "logits")
    assert found.label.tolist() == [2, 0, 0]
    assert found.confidence[0] == pytest.approx(1 / (1 + np.exp(-1)))
    assert found.margin[1] == 0.0
    assert found.confidence[2] == 1.0
    close = np.log(np.array([[0.5, 0.5]])) + np.array([[0.0, 1e-17]])
    assert metrics.predict(close, "log-softmax").label.tolist() == [int(close.argmax())]


def test_disagreement_table() -> None:
    truth = np.array([0, 0, 1, 1, 2, 2])
    first = np.array([0, 1, 1, 2, 0, 2])
    second = np.array([0, 0, 2, 0, 1, 2])
    found = metrics.disagreement(truth, first, second, 3)
    assert found.changes.tolist() == [[0, 1, 0], [1, 0, 1], [1, 0, 0]]
    assert (found.count, found.first_right, found.second_right, found.both_wrong) == (4, 1, 1, 2)
    assert metrics.agreement(first, second) == pytest.approx(2 / 6)
    with pytest.raises(DataError):
        metrics.agreement(first, second[:5])


def test_mean_confidence_per_predicted_class() -> None:
    found = metrics.mean_confidence(np.array([0, 0, 2]), np.array([0.5, 0.7, 0.9]), 3)
    assert found[[0, 2]] == pytest.approx([0.6, 0.9])
    assert np.isnan(found[1])


def test_every_number_of_a_prediction() -> None:
    shares = np.array([[0.5, 0.125, 0.375], [0.0, 1.0, 0.0]])
    images = np.stack([shares, shares[::-1]])
    for head, outputs in (
        ("softmax", images),
        ("sigmoid", images),
        ("log-softmax", np.log(np.maximum(images, 1e-300))),
        ("logits", np.log(np.maximum(images, 1e-300)) + 7),
    ):
        found = metrics.predict(outputs, head)
        assert found.label.tolist() == [[0, 1], [1, 0]]
        assert found.confidence == pytest.approx(np.array([[0.5, 1], [1, 0.5]]))
        assert found.margin == pytest.approx(np.array([[0.125, 1], [1, 0.125]]))
    two = metrics.predict(np.array([[0.25, 0.75]]), "softmax")
    assert (two.label.tolist(), two.confidence.tolist(), two.margin.tolist()) == ([1], [0.75], [0.5])
    one = metrics.predict(np.array([[0.25], [0.75]]), "sigmoid")
    assert one.label.tolist() == [0, 0]
    assert one.confidence.tolist() == one.margin.tolist() == [0.25, 0.75]
    assert metrics.probabilities(np.float32([[0.1]]), "sigmoid").dtype == np.float64


def test_an_interval_of_nothing_is_its_value_and_samples_are_told() -> None:
    nothing = metrics.bootstrap_interval(np.zeros((2, 2), np.int64), lambda matrix: np.asarray(0.5))
    assert nothing == metrics.Interval(0.5, 0.5, 0.5, 0, True)
    matrix = np.array([[20, 5], [5, 20]])
    assert metrics.bootstrap_interval(matrix, metrics.accuracy, samples=7).samples == 7
    assert metrics.bootstrap_interval(matrix, metrics.accuracy).samples == 50


def test_labels_are_refused_by_what_they_are() -> None:
    right, wrong = np.array([0, 1]), np.array([0, 2])
    for call, words in (
        (lambda: metrics.confusion_matrix(right, wrong, 2), "predicted labels must lie in 0 to 1, found 0 to 2"),
        (lambda: metrics.disagreement(wrong, right, right, 2), "true labels must lie in 0 to 1, found 0 to 2"),
        (
            lambda: metrics.disagreement(right[:1], right, right, 2),
            "1 true labels cannot be compared with 2 predicted ones",
        ),
        (lambda: metrics.mean_confidence(wrong, right * 0.5, 2), "predicted labels must lie in 0 to 1, found 0 to 2"),
    ):
        with pytest.raises(DataError, match=f"^{words}$"):
            call()
    found = metrics.mean_confidence(np.array([0, 0], np.uint8), np.array([0.5, 0.25]), 3)
    assert found.tolist()[0] == 0.375
    assert np.isnan(found[1:]).all()
    assert len(found) == 3
