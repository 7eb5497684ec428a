"""What each task says of targets, losses, decisions and result files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.compare.records import Floor
from harness.errors import DataError, ModelError
from harness.results.evaluate import compare_by_rule
from harness.tasks import TASKS, task
from harness.tasks.base import Problem
from harness.tasks.decision_rule import DecisionRule
from tests.unit.tasks.problems import CLASSES, LABELS, PIXELS, VALUES, samples

RANDOM = np.random.default_rng(3)
FLOOR = Floor(rms=1e-6, max_abs=1e-6, measured_rms=1e-6, measured_max_abs=1e-6, scale=1.0)
IDS = np.arange(2)


def rows(name: str, problem: Problem, answers: list[tuple[str, Any]], **target: Any) -> list[dict[str, str]]:
    """The rows of ``scores.csv`` by column."""
    header, *found = task(name).result_tables(problem, samples(**target), answers)["scores.csv"]
    return [dict(zip(map(str, header), map(str, row), strict=True)) for row in found]


def compared(rule: DecisionRule | None, target: Any, source: Any) -> Any:
    assert rule is not None
    return compare_by_rule(rule, target, source, FLOOR)


def test_the_tasks_are_found_by_their_files() -> None:
    assert TASKS == ("classification", "forecast", "multi-label", "regression", "segmentation")
    assert [task(name).name for name in TASKS] == [*TASKS]
    with pytest.raises(ModelError, match="there is no task 'detection'; choose one of classification, "):
        task("detection")


@pytest.mark.parametrize(
    ("name", "wanted", "found"),
    [
        ("forecast", None, "mse"),
        ("forecast", "bce", "binary-cross-entropy"),
        ("multi-label", None, "binary-cross-entropy"),
        ("segmentation", "cross-entropy", "cross-entropy"),
        ("regression", None, "mse"),
    ],
)
def test_a_loss_has_one_standard_name(name: str, wanted: str | None, found: str) -> None:
    assert task(name).loss(wanted) == found


def test_a_loss_of_another_task_is_refused() -> None:
    with pytest.raises(DataError, match="loss must be binary-cross-entropy for multi-label, not 'mse'"):
        task("multi-label").loss("mse")


@pytest.mark.parametrize(
    ("name", "problem", "target", "message"),
    [
        ("classification", CLASSES, {"y": np.array([0, 3])}, "labels must lie in 0 .. 2, found 0 .. 3"),
        ("classification", CLASSES, {"y": np.array([0.0, 1.0])}, "'y' must not be float64"),
        ("multi-label", LABELS, {"y": np.array([[0, 1, 2]])}, "labels of a sample must be 0 or 1 each"),
        ("multi-label", LABELS, {"y": np.array([[0, 1]])}, r"'y' must have shape \(None, 3\), not \(1, 2\)"),
        ("segmentation", PIXELS, {"y": np.zeros((2, 4, 5), int)}, "the target lacks 'mask'"),
        (
            "segmentation",
            PIXELS,
            {"y": np.full((2, 4, 5), 7), "mask": np.ones((2, 4, 5), bool)},
            "labels must lie in 0 .. 2",
        ),
        (
            "segmentation",
            PIXELS,
            {"y": np.zeros((2, 4, 5), int), "mask": np.ones((1, 4, 5), bool)},
            r"'mask' must have shape \(2, 4, 5\), not \(1, 4, 5\)",
        ),
        ("regression", VALUES, {"y": np.float32([[1.0, np.nan]])}, "'y' holds a value that is not finite"),
        ("regression", VALUES, {"y": np.float32([1.0])}, r"'y' must have shape \(None, 2\)"),
    ],
)
def test_a_target_that_does_not_fit_is_refused(
    name: str, problem: Problem, target: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        task(name).check(problem, target)


def test_labels_outside_the_mask_may_be_anything() -> None:
    mask = np.zeros((1, 4, 5), bool)
    mask[0, 1, 1] = True
    task("segmentation").check(PIXELS, {"y": np.where(mask, 2, 255), "mask": mask})


def test_a_decision_is_made_for_every_label_of_every_sample() -> None:
    source = np.array([[0.4, 0.6, 0.1], [0.9, 0.2, 0.3]])
    target = source.copy()
    target[0, 1] = 0.45
    found = compared(task("multi-label").decision_rule(LABELS, IDS, {}), target, source)
    assert (found.samples, found.decisions, found.flip_count) == (2, 6, 1)
    assert found.flips[0].source == "pine: at or above"


def test_the_threshold_of_logits_is_zero() -> None:
    rule = task("multi-label").decision_rule(replace(LABELS, head="logits"), IDS, {})
    assert rule is not None
    assert rule.thresholds == (0.0, 0.0, 0.0)
    with pytest.raises(DataError, match="labels need a head of sigmoid or logits, not softmax"):
        task("multi-label").decision_rule(replace(LABELS, head="softmax"), IDS, {})


def test_a_decision_is_made_for_every_pixel_of_the_mask() -> None:
    source = RANDOM.normal(size=(2, 3, 4, 5))
    target = source.copy()
    target[0, :, 0, 0] = source[0, ::-1, 0, 0]
    mask = np.ones((2, 4, 5), bool)
    found = compared(task("segmentation").decision_rule(PIXELS, IDS, {"mask": mask}), target, source)
    flips = found.flip_count
    assert found.decisions == 40
    mask[0, 0, 0] = False
    found = compared(task("segmentation").decision_rule(PIXELS, IDS, {"mask": mask}), target, source)
    assert (found.decisions, found.flip_count) == (39, 0)
    assert flips == int(source[0, :, 0, 0].argmax() != target[0, :, 0, 0].argmax())


def test_regression_decides_nothing() -> None:
    assert task("regression").decision_rule(VALUES, IDS, {}) is None


def test_scores_of_labels_name_each_label_with_its_support() -> None:
    truth = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 0]])
    good, other = truth.astype(np.float32), truth.astype(np.float32)
    other[0, 0] = np.nan
    found = rows("multi-label", LABELS, [("source", good), ("r/base", other), ("odd", good[:, :2])], y=truth)
    assert {row["who"] for row in found} == {"source", "r/base"}
    assert {row["output"] for row in found} == {"labels"}
    by = {(row["who"], row["part"], row["metric"]): row for row in found}
    assert by["source", "", "f1_micro"]["value"] == "1.0"
    assert by["source", "birch", "f1"]["support"] == "2"
    # What is not finite is wrong, not left out.
    assert float(by["r/base", "oak", "recall"]["value"]) == 0.5
    assert float(by["r/base", "", "hamming"]["value"]) == pytest.approx(1 / 9)
    assert {row["metric"] for row in found if row["part"]} == {one.key for one in task("multi-label").of_parts}
    assert {row["metric"] for row in found if not row["part"]} == {one.key for one in task("multi-label").overall}


def test_scores_of_pixels_are_of_the_mask_alone() -> None:
    truth = RANDOM.integers(0, 3, (6, 4, 5))
    mask = RANDOM.random(truth.shape) < 0.5
    output = np.moveaxis(np.eye(3)[np.where(mask, truth, (truth + 1) % 3)], -1, 1)
    found = rows("segmentation", PIXELS, [("source", output)], y=truth, mask=mask)
    by = {(row["part"], row["metric"]): row for row in found}
    assert by["", "accuracy"]["value"] == by["", "iou_mean"]["value"] == by["maize", "iou"]["value"] == "1.0"
    assert int(by["water", "iou"]["support"]) == int((truth[mask] == 2).sum())
    output[0] = np.nan
    broken = rows("segmentation", PIXELS, [("source", output)], y=truth, mask=mask)
    share = mask[1:].sum() / mask.sum()
    assert float(next(row["value"] for row in broken if row["metric"] == "accuracy")) == pytest.approx(share)


def test_scores_of_values_have_the_unit_of_their_variable() -> None:
    truth = RANDOM.normal(size=(40, 2)).astype(np.float32)
    output = truth + np.float32([0.5, 0.0])
    found = rows("regression", VALUES, [("source", output)], y=truth)
    by = {(row["part"], row["metric"]): row for row in found}
    assert float(by["nitrogen", "bias"]["value"]) == pytest.approx(0.5, abs=1e-6)
    assert by["nitrogen", "rmse"]["unit"] == "g/kg"
    assert by["water", "r2"]["unit"] == ""
    assert float(by["water", "r2"]["value"]) == 1.0
    tables = task("regression").result_tables(VALUES, samples(y=truth), [("source", output)])
    header, first, *rest = tables["values.csv.gz"]
    assert header == ["id", "variable", "unit", "truth", "source"]
    assert first[:3] == [0, "nitrogen", "g/kg"]
    assert np.float32(first[4]) == output[0, 0]
    assert len(rest) == 79


@pytest.mark.parametrize(
    ("name", "problem", "target", "output"),
    [
        ("multi-label", LABELS, {"y": RANDOM.random((30, 3)) < 0.5}, RANDOM.random((30, 3))),
        (
            "segmentation",
            PIXELS,
            {"y": RANDOM.integers(0, 3, (30, 4, 5)), "mask": RANDOM.random((30, 4, 5)) < 0.6},
            RANDOM.normal(size=(30, 3, 4, 5)),
        ),
        ("regression", VALUES, {"y": RANDOM.normal(size=(30, 2))}, RANDOM.normal(size=(30, 2))),
        ("classification", CLASSES, {"y": RANDOM.integers(0, 3, 30)}, RANDOM.normal(size=(30, 3))),
    ],
)
def test_validation_gathers_batches_of_any_size(name: str, problem: Problem, target: Any, output: Any) -> None:
    known = task(name)
    found = []
    for size in (30, 7):
        validation = known.validation(problem, known.loss(None))
        for start in range(0, 30, size):
            part = slice(start, start + size)
            validation.add({}, {key: array[part] for key, array in target.items()}, output[part])
        found.append(validation.result())
    assert tuple(found[0]) == known.columns
    assert found[0] == pytest.approx(found[1])
