"""Numbers in tables: held against scikit-learn, and against what the result files hold."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from fixture import CLASSES, SUPPORT, cell_name
from sklearn.metrics import (
    accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)

from harness.report.read import read_results
from harness.report.tables import outcome_tables, parameter_tables, structure_table, task_tables, training_tables

UNFOLDED = "python/onnxruntime via torch-dynamo-opset18-unfolded"
BROKEN = "python/onnxruntime via torch-script-opset11-folded"


@pytest.fixture(scope="module")
def found(results):
    return task_tables.task_results(results)


def test_overall_metrics_are_those_of_scikit_learn(results, found):
    rows = {row["runner"]: row for row in task_tables.metrics_table(results, found).rows}
    frame = results.predictions
    for runner in ("source", UNFOLDED):
        truth, predicted = frame["truth"], frame[f"{runner}.prediction"]
        row = rows[runner]
        assert row["n"] == sum(SUPPORT)
        assert row["accuracy"] == pytest.approx(accuracy_score(truth, predicted), abs=1e-12)
        assert row["kappa"] == pytest.approx(cohen_kappa_score(truth, predicted), abs=1e-12)
        for average in ("micro", "macro", "weighted"):
            assert row[f"f1_{average}"] == pytest.approx(
                f1_score(truth, predicted, average=average, zero_division=0), abs=1e-12
            )
        assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
    assert rows["source"]["accuracy"] > rows[UNFOLDED]["accuracy"] + 0.1


def test_metrics_per_class_have_support_and_marks(results, found):
    rows = {(row["runner"], row["class"]): row for row in task_tables.metrics_per_class_table(results, found).rows}
    frame = results.predictions
    expected = precision_recall_fscore_support(
        frame["truth"], frame["source.prediction"], labels=list(CLASSES), zero_division=0
    )
    for index, name in enumerate(CLASSES):
        row = rows["source", name]
        assert row["support"] == SUPPORT[index] == expected[3][index]
        assert row["few"] == (SUPPORT[index] < 30)
        assert row["f1"] == pytest.approx(expected[2][index], abs=1e-12)
        assert row["precision"] == pytest.approx(expected[0][index], abs=1e-12)
        if SUPPORT[index]:
            assert row["recall"] == pytest.approx(expected[1][index], abs=1e-12)
            assert row["f1_low"] <= row["f1"] <= row["f1_high"]
    assert rows["source", CLASSES[-1]]["recall"] is None, "no recall without a sample"


def test_few_samples_are_marked_in_pages(results, found):
    table = task_tables.per_class_page_table(results, found, task_tables.metrics_per_class_table(results, found))
    marked = [row["class"] for row in table.rows if row["class"].endswith(" †")]
    assert marked == [f"{name} †" for name, count in zip(CLASSES, SUPPORT, strict=True) if count < 30]
    assert any("†" in note for note in table.notes)


def test_runtimes_with_equal_predictions_are_grouped(found):
    assert [[runner.name for runner in group.runners] for group in found.groups] == [
        [
            "source",
            "python/pytorch via safetensors",
            "python/onnxruntime via torch-dynamo-opset18-folded",
            "r/base via torch-dynamo-opset18-folded",
            "python/onnx-reference via torch-script-opset11-folded",
        ],
        [UNFOLDED],
        [BROKEN],
    ]


def test_the_source_and_the_cells_that_predict_the_same_are_counted_apart(results, found):
    alone = dataclasses.replace(found, groups=found.groups[:1], runners=found.groups[0].runners)
    assert task_tables.group_notes(results, alone) == (
        "The source and all 4 cells agree on the class of every sample.",
    )
    assert task_tables.group_label(results, alone, alone.groups[0]) == "the source and all 4 cells"
    assert task_tables.confusion_page_table(results, alone, alone.groups[0]).caption.endswith(
        "true classes down and predicted ones across: the source and all 4 cells."
    )
    source = dataclasses.replace(alone, runners=alone.runners[:1])
    assert task_tables.group_notes(results, source) == ()


def test_samples_without_a_decision_count_as_wrong(results, found):
    rows = {row["runner"]: row for row in task_tables.metrics_table(results, found).rows}
    assert rows[BROKEN]["undecided"] == 2
    assert rows["source"]["undecided"] == 0
    frame = results.predictions
    lost = int((frame["truth"][:2] == frame["source.prediction"][:2]).sum())
    assert lost > 0
    assert rows[BROKEN]["accuracy"] == pytest.approx(rows["source"]["accuracy"] - lost / len(frame), abs=1e-3)
    confusion = task_tables.confusion_table(found).rows
    undecided = [row for row in confusion if row["runner"] == BROKEN and row["predicted"] == "no decision"]
    assert sum(row["samples"] for row in undecided) == 2


def test_a_label_without_confidence_is_no_decision(results, found):
    frame = results.predictions.copy()
    frame.loc[3, "source.confidence"] = np.nan
    changed = task_tables.task_results(dataclasses.replace(results, predictions=frame))
    assert changed.runners[0].undecided == 1


def test_confusion_is_by_class_name(results, found):
    rows = [row for row in task_tables.confusion_table(found).rows if row["runner"] == UNFOLDED]
    frame = results.predictions
    expected = confusion_matrix(frame["truth"], frame[f"{UNFOLDED}.prediction"], labels=list(CLASSES))
    for row in rows:
        assert row["samples"] == expected[CLASSES.index(row["truth"]), CLASSES.index(row["predicted"])]
    assert len(rows) == len(CLASSES) ** 2


def test_disagreement_adds_up(results, found):
    summary, changes = task_tables.disagreement_tables(results, found)
    frame = results.predictions
    source = frame["source.prediction"]
    for row in summary.rows:
        target = frame[f"{row['runner']}.prediction"]
        differ = source != target
        assert row["differ"] == int(differ.sum()) == row["source_right"] + row["target_right"] + row["both_wrong"]
        assert row["source_right"] == int((differ & (source == frame["truth"])).sum())
        assert row["differ"] == sum(change["samples"] for change in changes.rows if change["runner"] == row["runner"])
    assert all(change["source"] != change["target"] for change in changes.rows)
    counts = [change["samples"] for change in changes.rows]
    assert counts == sorted(counts, reverse=True)


def test_mean_confidence_per_predicted_class(results, found):
    frame = results.predictions
    for row in task_tables.confidence_table(found).rows:
        chosen = frame[frame[f"{row['runner']}.prediction"] == row["class"]]
        assert row["predicted"] == len(chosen)
        if len(chosen):
            assert row["mean_confidence"] == pytest.approx(chosen[f"{row['runner']}.confidence"].mean(), abs=1e-12)
        else:
            assert row["mean_confidence"] is None


def test_errors_are_told_against_both_oracles(results):
    ratios, absolute = outcome_tables.errors_tables(results)
    rows = [row for row in ratios.rows if row["cell"] == UNFOLDED]
    assert [(row["against"], row["rms_ratio"]) for row in rows] == [("route oracle", 1.5), ("source oracle", 310.0)]
    assert {row["head"] for row in absolute.rows} == {"logits"}
    assert {row["range"] for row in absolute.rows} == {"−6.31\u00a0…\u00a013.9"}
    broken = [row for row in ratios.rows if row["cell"] == BROKEN]
    assert [row["rms_ratio"] for row in broken] == ["not finite", "not finite"]
    alone = [row["against"] for row in ratios.rows if row["cell"].endswith("via safetensors")]
    assert alone == ["source oracle"], "without a route there is no route oracle"


def test_flips_are_listed_with_margins(results):
    rows = [row for row in outcome_tables.flips_table(results).rows if row["cell"] == UNFOLDED]
    assert [(row["from"], row["to"], row["margin"], row["counts"]) for row in rows] == [
        (CLASSES[3], CLASSES[4], 0.0213, True),
        (CLASSES[0], CLASSES[1], 1.1e-6, False),
    ]


def test_outputs_that_are_not_finite_do_not_vanish_in_means(results):
    rows = [row for row in outcome_tables.outputs_per_class_table(results).rows if row["cell"] == BROKEN]
    assert len(rows) == len(CLASSES)
    assert all(np.isnan(row["route_rms"]) and np.isnan(row["route_max"]) for row in rows)


def test_parameters_that_are_neither_equal_nor_folded_are_singled_out(results):
    rows = parameter_tables.parameter_findings(results).rows
    assert [(row["parameter"], row["relation"], row["differing"]) for row in rows] == [("conv2.weight", "unequal", 1)]
    summary = {row["cell"]: row for row in parameter_tables.parameter_summary(results).rows}
    assert summary[UNFOLDED]["unequal"] == 1
    assert summary[UNFOLDED]["equal"] == 25


def test_structure_has_one_row_per_route(results):
    rows = {row["route"]: row for row in structure_table.structure_table(results).rows}
    assert sorted(rows) == [
        "safetensors",
        "torch-dynamo-opset18-folded",
        "torch-dynamo-opset18-unfolded",
        "torch-script-opset11-folded",
    ]
    row = rows["torch-script-opset11-folded"]
    assert row["operators"] == "BatchNormalization 1, Conv 3, Flatten 1, Gemm 2, Relu 4"
    assert (row["opset"], row["nodes"], row["bytes"], row["warnings"]) == (11, 11, 12_807_015, 1)
    assert row["dynamic"] == "logits: batch; x: batch"


def test_what_a_route_froze_and_what_became_of_its_loops_is_told(folder):
    label = "torch-script-opset11-folded"
    cells = json.loads((folder / "cells.json").read_text())
    for cell in cells:
        if cell["route_label"] == label and cell["structure"]:
            cell["structure"] |= {"loops": {}, "steps": 18, "nodes_inside": 0}
            cell["structure"]["inputs"][0]["shape"][0] = 1
            if cell["parameters"]:
                cell["parameters"] |= {"copies": 18, "copied_count": 30_000}
    (folder / "cells.json").write_text(json.dumps(cells))
    results = read_results(folder)
    row = next(row for row in structure_table.structure_table(results).rows if row["route"] == label)
    assert row["time"] == "unrolled, 18 steps"
    assert row["frozen"] == "sample of x at 1"
    held = next(cell for cell in results.cells if cell.route_label == label and cell.parameters).parameters
    assert f"{held.target_count - 30_000:,} parameters in 18 copies" in structure_table.copies_note(results)


def test_nothing_is_said_of_copies_where_there_are_none(results):
    assert structure_table.copies_note(results) == ""


def test_csv_files_hold_raw_values(report):
    path = next(path for path in report.tables if path.stem == "routes")
    with path.open(newline="") as file:
        rows = {row["route"]: row for row in csv.DictReader(file)}
    assert rows["torch-dynamo-opset18-unfolded"]["relative_rms"] == "1.1e-05"
    assert rows["torch-dynamo-opset18-unfolded"]["verdict"] == "divergent"
    assert rows["torch-dynamo-opset18-folded"]["folded"] == "true"
    path = next(path for path in report.tables if path.stem == "cells")
    with path.open(newline="") as file:
        assert {row["cell"] for row in csv.DictReader(file)} >= {cell_name("safetensors", "python/pytorch")}


def test_training_log_is_whole(results):
    rows = training_tables.training_table(results).rows
    assert [row["epoch"] for row in rows] == list(range(1, 13))
    assert rows[-1]["f1_macro"] == pytest.approx(float(results.training["f1_macro"].iloc[-1]))
    assert "seconds" not in rows[0]
