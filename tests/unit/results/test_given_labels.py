"""Labels for the probe of a given file: what fits the decisions on its output is scored by their task, the rest is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.compare.decision_choice import ChosenDecision
from harness.errors import DataError
from harness.results.given_labels import LabelledProbe, read_labels, task_of

NAMES = ("a", "b", "c")


def decision(rule: Any, axis: int | None = None, names: tuple[str, ...] = (), *thresholds: float) -> ChosenDecision:
    return ChosenDecision("y", rule, "it is tested", axis, thresholds, names)


def read(
    folder: Path,
    labels: Any,
    chosen: ChosenDecision,
    values: Any,
    head: str = "softmax",
    ignored: int | None = None,
) -> LabelledProbe:
    np.save(folder / "labels.npy", np.asarray(labels))
    array = np.asarray(values)
    return read_labels(folder / "labels.npy", chosen, array, head, np.arange(10, 10 + len(array)), ignored=ignored)


def scored(found: LabelledProbe, *outputs: Any) -> dict[str, list[list[str]]]:
    """The rows of the task's result files, the outputs being of ``source``, ``t1``, ``t2`` and so on."""
    arrays = [np.asarray(output) for output in outputs]
    named = [("source", arrays[0]), *((f"t{place}", array) for place, array in enumerate(arrays[1:], start=1))]
    tables = found.result_tables(lambda: iter(named), arrays[0].shape)
    return {name: [[str(cell) for cell in row] for row in rows] for name, rows in tables.items()}


def score(rows: list[list[str]], who: str, part: str, metric: str) -> float:
    header = rows[0]
    places = [header.index(name) for name in ("who", "part", "metric")]
    (row,) = [row for row in rows[1:] if [row[place] for place in places] == [who, part, metric]]
    return float(row[header.index("value")])


def test_classes_of_samples(tmp_path: Path) -> None:
    values = np.eye(3, dtype=np.float32)[[0, 1, 2, 2]]
    found = read(tmp_path, [0, 1, 2, 0], decision("argmax", 1, NAMES), values)
    assert (found.task, found.problem.names, found.problem.head) == ("classification", NAMES, "softmax")
    (rows,) = scored(found, values).values()
    assert [row[:4] for row in rows[1:]] == [
        ["probe", "10", "a", "a"],
        ["probe", "11", "b", "b"],
        ["probe", "12", "c", "c"],
        ["probe", "13", "a", "c"],
    ]


def test_labels_of_samples_at_thresholds_of_their_own(tmp_path: Path) -> None:
    values = np.float32([[0.25, 0.9], [0.2, 0.1]])
    found = read(tmp_path, [[1, 1], [0, 1]], decision("threshold", 1, ("oak", "pine"), 0.25, 0.8), values)
    assert (found.task, found.problem.names) == ("multi-label", ("oak", "pine"))
    rows = scored(found, values, 1 - values)["scores.csv"]
    # An output at its threshold has the label.
    assert score(rows, "source", "oak", "precision") == 1.0
    assert score(rows, "source", "pine", "recall") == 0.5
    assert score(rows, "source", "", "hamming") == 0.25
    assert score(rows, "t1", "", "hamming") > 0.25


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_one_label_per_sample(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.array([0.9, 0.1, 0.6, 0.4]).reshape(shape)
    found = read(tmp_path, np.array([1, 0, 0, 0]), decision("threshold", len(shape) - 1 or None, (), 0.5), values)
    rows = scored(found, values)["scores.csv"]
    assert score(rows, "source", "y", "precision") == 0.5


@pytest.mark.parametrize("axis", [1, 3])
def test_classes_of_pixels_under_those_that_are_known(tmp_path: Path, axis: int) -> None:
    chosen = np.array([[[0, 1], [2, 2]]])
    values = np.moveaxis(np.eye(3)[chosen], -1, axis)
    found = read(tmp_path, [[[0, 1], [0, -1]]], decision("argmax-per-pixel", axis, NAMES), values)
    assert found.task == "segmentation"
    assert found.samples.target["mask"].tolist() == [[[True, True], [True, False]]]
    rows = scored(found, values)["scores.csv"]
    assert score(rows, "source", "", "accuracy") == pytest.approx(2 / 3)
    assert score(rows, "source", "a", "iou") == 0.5
    assert score(rows, "source", "b", "iou") == 1.0


def test_classes_that_the_graph_itself_decides_for(tmp_path: Path) -> None:
    mask = np.array([[[0, 1], [7, 1]]], np.uint8)
    found = read(tmp_path, [[[0, 1], [1, 1]]], decision("classes"), mask)
    assert (found.task, found.problem.names[-1]) == ("segmentation", "7")
    assert score(scored(found, mask)["scores.csv"], "source", "", "accuracy") == 0.75
    numbers = np.array([0, 1, -1])
    found = read(tmp_path, [0, 1, 1], decision("classes"), numbers)
    assert found.task == "classification"
    (rows,) = scored(found, numbers).values()
    # Minus one is no class: nothing is decided there.
    assert [row[3] for row in rows[1:]] == ["0", "1", ""]


def test_one_map_at_a_threshold_has_two_classes(tmp_path: Path) -> None:
    values = np.array([[[[0.5, 0.4], [0.9, np.nan]]]])
    found = read(tmp_path, [[[1, 0], [0, 1]]], decision("threshold", 1, (), 0.5), values)
    assert (found.task, found.problem.names) == ("segmentation", ("0", "1"))
    assert score(scored(found, values)["scores.csv"], "source", "", "accuracy") == 0.5


def test_places_that_are_no_map_are_scored_as_pixels(tmp_path: Path) -> None:
    values = np.moveaxis(np.eye(3)[np.array([[0, 1, 2, 2]])], -1, 1)
    found = read(tmp_path, [[0, 1, 2, -9]], decision("argmax-per-pixel", 1, NAMES), values)
    assert score(scored(found, values)["scores.csv"], "source", "", "accuracy") == 1.0


@pytest.mark.parametrize("axis", [1, 3])
def test_several_labels_of_every_pixel(tmp_path: Path, axis: int) -> None:
    # (sample, label, row, column): two samples of two labels in three pixels.
    values = np.array([[[[0.9, 0.2, 0.5]], [[0.1, 0.8, 0.3]]], [[[0.1, 0.2, 0.9]], [[0.7, 0.9, 0.8]]]])
    labels = np.array([[[[1, 0, 0]], [[0, 1, 1]]], [[[1, 7, 1]], [[1, 1, 0]]]])
    chosen = decision("threshold", axis, ("oak", "pine"), 0.5, 0.75)
    given = (np.moveaxis(array, 1, axis) for array in (labels, values))
    found = read(tmp_path, next(given), chosen, outputs := next(given), ignored=7)
    assert found.task == "multi-label"
    rows = scored(found, outputs)["scores.csv"]
    # oak: two hits, a false alarm, a miss, a correct rejection; pine: two hits, a false alarm, two misses, a rejection.
    assert score(rows, "source", "oak", "precision") == score(rows, "source", "oak", "recall") == pytest.approx(2 / 3)
    assert score(rows, "source", "pine", "precision") == pytest.approx(2 / 3)
    assert score(rows, "source", "pine", "recall") == 0.5
    assert score(rows, "source", "", "hamming") == pytest.approx(5 / 11)
    supports = [row[rows[0].index("support")] for row in rows[1:] if row[2:4] in (["", "hamming"], ["oak", "f1"])]
    assert supports == ["6", "3"]


def test_another_number_may_stand_where_no_label_is_known(tmp_path: Path) -> None:
    chosen = np.array([[[0, 1], [2, 2]]])
    values = np.moveaxis(np.eye(3)[chosen], -1, 1)
    found = read(tmp_path, np.uint8([[[0, 255], [0, 2]]]), decision("argmax-per-pixel", 1, NAMES), values, ignored=255)
    assert score(scored(found, values)["scores.csv"], "source", "", "accuracy") == pytest.approx(2 / 3)
    # A class of the model may be the one that is not scored.
    found = read(tmp_path, [[[0, 1], [0, 2]]], decision("argmax-per-pixel", 1, NAMES), values, ignored=0)
    assert found.samples.target["mask"].tolist() == [[[False, True], [False, True]]]
    rows = np.eye(3, dtype=np.float32)[[0, 1, 2, 2]]
    found = read(tmp_path, [0, 255, 2, 0], decision("argmax", 1, NAMES), rows, ignored=255)
    (table,) = scored(found, rows).values()
    assert [row[1:4] for row in table[1:]] == [["10", "a", "a"], ["12", "c", "c"], ["13", "a", "c"]]
    pair = np.array([[0.9, 0.9], [0.1, 0.1]])
    found = read(tmp_path, [[1, -1], [0, 1]], decision("threshold", 1, ("a", "b"), 0.5), pair, ignored=-1)
    table = scored(found, pair)["scores.csv"]
    assert score(table, "source", "b", "recall") == 0.0
    assert score(table, "source", "", "hamming") == pytest.approx(1 / 3)


def test_labels_of_which_none_is_known_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no label that is known"):
        read(tmp_path, [255] * 4, decision("argmax", 1, NAMES), ROWS, ignored=255)


def test_targets_of_another_shape_are_not_scored(tmp_path: Path) -> None:
    values = np.eye(3, dtype=np.float32)
    found = read(tmp_path, [0, 1, 2], decision("argmax", 1, NAMES), values)
    (rows,) = scored(found, values, values[:, :2]).values()
    assert not [name for name in rows[0] if name.startswith("t1")]


def test_the_task_of_a_decision() -> None:
    assert task_of(decision("none"), (4, 2)) == ""
    assert task_of(decision("threshold", 1, NAMES, 0.5), (4, 3)) == "multi-label"
    assert task_of(decision("threshold", 1, NAMES, 0.5), (4, 3, 5, 5)) == "multi-label"
    assert task_of(decision("classes"), (4, 1)) == "classification"


ROWS, MAPS = np.zeros((4, 3)), np.zeros((2, 3, 4, 5))


@pytest.mark.parametrize(
    ("labels", "chosen", "values", "message"),
    [
        ([0, 1, 2, 3], decision("argmax", 1, NAMES), ROWS, r"holds the class 3, the model has 3; count classes from 0"),
        ([0, 1, 2, -1], decision("argmax", 1, NAMES), ROWS, "holds the class -1, the model has 3"),
        ([0, 1, 2], decision("argmax", 1, NAMES), ROWS, "holds labels of 3 samples for 4 samples"),
        (
            np.zeros((4, 3), int),
            decision("argmax", 1, NAMES),
            ROWS,
            r"has the shape 4 x 3, the decisions .* are 4 \(sample\)",
        ),
        (
            np.zeros(4),
            decision("argmax", 1, NAMES),
            ROWS,
            r"holds float64 of 1 axes; save whole numbers \(sample, ...\)",
        ),
        (np.int64(1), decision("argmax", 1, NAMES), ROWS, r"has the shape \(\)"),
        (
            [0, 1, 0, 1],
            decision("threshold", 1, NAMES, 0.5),
            ROWS,
            r"the shape 4, the decisions .* 4 x 3 \(sample, label\)",
        ),
        (np.full((4, 3), 2), decision("threshold", 1, NAMES, 0.5), ROWS, "holds 2, a label is 0 or 1"),
        (
            np.zeros((2, 4, 6), int),
            decision("argmax-per-pixel", 1, NAMES),
            MAPS,
            r"2 x 4 x 6, .* 2 x 4 x 5 \(sample, row, column\)",
        ),
        (
            np.full((2, 4, 5), 255),
            decision("argmax-per-pixel", 1, NAMES),
            MAPS,
            "the class 255, .* give places without one a negative number; --ignore-label names",
        ),
        (np.full((2, 4, 5), -1), decision("argmax-per-pixel", 1, NAMES), MAPS, "names no class"),
        (
            np.zeros((2, 4, 5), int),
            decision("threshold", 1, NAMES, 0.5),
            MAPS,
            r"2 x 4 x 5, .* 2 x 3 x 4 x 5 \(sample, label, row, column\)",
        ),
        (np.full((2, 4), 255), decision("classes"), np.zeros((2, 4), int), "holds the class 255, the model has 255"),
        ([0, 1], decision("classes"), np.array([0, 70000]), "holds 70000, too large for a class"),
        ([0, 1], decision("classes"), np.array(["a", "b"]), "holds texts"),
        ([0, 1, 1, 1], decision("none"), ROWS, "no decision is made on the output 'y', so labels can score nothing"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    tmp_path: Path, labels: Any, chosen: Any, values: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, labels, chosen, values)
