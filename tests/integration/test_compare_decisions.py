"""A model one already has is judged by the decisions that its outputs ask for: labels, pixels, classes, or none."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.integration.comparing import compare

#: Small graphs: labels by sigmoids, a map of scores, a mask of classes, single numbers.
MAKE = """
import numpy as np, onnx
from onnx import TensorProto as T, helper, numpy_helper

random = np.random.default_rng(0)

def drawn(*shape):
    return random.normal(size=shape).astype(np.float32)

def save(name, nodes, takes, gives, weights, kind=T.FLOAT, metadata=None):
    graph = helper.make_graph(
        [helper.make_node(*node[:3], **node[3]) for node in nodes], "graph",
        [helper.make_tensor_value_info("x", T.FLOAT, ["n", *takes])],
        [helper.make_tensor_value_info("y", kind, ["n", *gives])],
        [numpy_helper.from_array(value, key) for key, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, name)

dense = {"w": drawn(7, 43), "b": drawn(43)}
save("labels.onnx", [("Gemm", ["x", "w", "b"], ["h"], {}), ("Sigmoid", ["h"], ["y"], {})], [7], [43], dense)
# onnxruntime sums squares one by one in float32. A sum that all scores of a sample share changes no class.
maps = {"w": drawn(3, 4, 3, 3)}
shared = [("ReduceSumSquare", ["x"], ["s"], {"axes": [1, 2, 3]}), ("Add", ["h", "s"], ["y"], {})]
weights = {"w": 1000 * drawn(4, 3, 1, 1)}
save("scores.onnx", [("Conv", ["x", "w"], ["h"], {"strides": [8, 8]}), *shared], [3, 64, 64], [4, 8, 8], weights)
largest = [("ArgMax", ["h"], ["c"], {"axis": 1, "keepdims": 0}), ("Cast", ["c"], ["y"], {"to": T.UINT8})]
save("mask.onnx", [("Conv", ["x", "w"], ["h"], {}), *largest], [4, 8, 9], [6, 7], {"w": maps["w"]}, T.UINT8)
save("value.onnx", [("Gemm", ["x", "w"], ["y"], {})], [7], [2], {"w": drawn(7, 2)}, metadata={"harness.task": "regression"})
save("odd.onnx", [("Gemm", ["x", "w"], ["y"], {})], [7], [2], {"w": drawn(7, 2)}, metadata={"harness.task": "segmentation"})
np.save("rows.npy", drawn(6, 7))
np.save("maps.npy", drawn(5, 3, 64, 64))
np.save("tiles.npy", drawn(5, 4, 8, 9))
np.save("there.npy", random.integers(0, 2, (6, 43)))
np.save("fields.npy", random.integers(-1, 4, (5, 8, 8)))
np.save("larger.npy", random.integers(0, 4, (5, 8, 9)))
np.save("beyond.npy", np.full((5, 8, 8), 255, np.uint8))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("decisions")
    subprocess.run([sys.executable, "-c", MAKE], check=True, capture_output=True, cwd=folder)
    return folder


def decided(folder: Path, model: str, probe: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return compare(folder, model, "--to", "python/onnxruntime", "--probe", probe, *arguments)


def answer(done: subprocess.CompletedProcess[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The only cell of an answer, and what it says was decided."""
    found = json.loads(done.stdout)
    (cell,) = found["cells"]
    return cell, found["decision"]


def test_every_label_of_sigmoids_is_a_decision(folder: Path) -> None:
    done = decided(folder, "labels.onnx", "rows.npy", "--json")
    assert done.returncode == 0, done.stderr
    cell, decision = answer(done)
    assert (cell["decisions"]["decisions"], cell["decisions"]["unit"]) == (258, "label")
    assert "0 of 258 labels change" in cell["sentence"]
    assert (decision["rule"], decision["thresholds"], decision["asked"]) == ("threshold", [0.5], False)
    page = (folder / "results" / "compare_labels" / "report.md").read_text()
    assert "Each of 43 labels of the output 'y' is decided at 0.5: it ends in a sigmoid." in page
    assert "No decision changed on the probe: 0 of 258 labels change." in page


def test_a_target_past_its_gate_that_changes_no_pixels_class_has_drifted(folder: Path) -> None:
    done = decided(folder, "scores.onnx", "maps.npy")
    assert done.returncode == 1, done.stderr
    told = " ".join(done.stdout.split())
    assert "drifted" in told
    assert "0 of 320 pixels change class" in told
    assert (
        "Decision: the class of a pixel is the largest of 4 along axis 1 of the output 'y': the file does not say"
        in told
    )
    page = (folder / "results" / "compare_scores" / "report.md").read_text()
    assert "No decision changed on the probe: 0 of 320 pixels change class." in page
    assert "No target could be run" not in page


def test_a_mask_of_classes_is_compared_class_by_class(folder: Path) -> None:
    done = decided(folder, "mask.onnx", "tiles.npy", "--json")
    assert done.returncode == 0, done.stderr
    cell, decision = answer(done)
    assert "0 of 210 pixels change class" in cell["sentence"] or cell["verdict"] == "identical"
    assert cell["decisions"]["decisions"] == 210
    assert (decision["rule"], decision["why"]) == ("classes", "the graph ends in ArgMax")


def test_where_nothing_is_decided_the_report_says_so_and_no_more(folder: Path) -> None:
    done = decided(folder, "value.onnx", "rows.npy", "--json")
    assert done.returncode == 0, done.stderr
    cell, decision = answer(done)
    assert cell["decisions"] is None
    assert decision["rule"] == "none"
    page = (folder / "results" / "compare_value" / "report.md").read_text()
    assert "No decision is made on the output 'y': the file names the task regression." in page
    assert page.count("No decision is made on the outputs, so there are none to compare.") == 1
    for untrue in ("No target could be run", "No decision changed", "No runtime predicted"):
        assert untrue not in page


def test_labels_of_pixels_are_scored_where_they_are_known(folder: Path) -> None:
    done = decided(folder, "scores.onnx", "maps.npy", "--labels", "fields.npy", "--json", "--output", "labelled")
    assert done.returncode == 1, done.stderr
    results = folder / "labelled" / "compare_scores"
    with (results / "scores.csv").open() as file:
        scores = {(row["who"], row["part"], row["metric"]): row for row in csv.DictReader(file)}
    labels = np.load(folder / "fields.npy")
    accuracy = scores["source", "", "accuracy"]
    assert int(accuracy["support"]) == (labels >= 0).sum()
    assert 0.1 < float(accuracy["value"]) < 0.4
    assert scores["python/onnxruntime via as-given", "", "accuracy"]["value"] == accuracy["value"]
    assert {"iou", "f1"} <= {metric for _, part, metric in scores if part == "3"}
    page = (results / "report.md").read_text()
    assert "Overall accuracy | Mean IoU" in page.replace("Kappa | ", "")
    assert "No labels were given" not in page


@pytest.mark.slow
def test_labels_of_samples_are_scored_label_by_label(folder: Path) -> None:
    asked = ("--decision", "threshold=0.4", "--json", "--output", "labelled")
    done = decided(folder, "labels.onnx", "rows.npy", "--labels", "there.npy", *asked)
    assert done.returncode == 0, done.stderr
    results = folder / "labelled" / "compare_labels"
    with (results / "scores.csv").open() as file:
        scores = {(row["who"], row["part"], row["metric"]): float(row["value"]) for row in csv.DictReader(file)}
    assert 0.2 < scores["source", "", "hamming"] < 0.8
    assert len({part for _, part, metric in scores if metric == "f2" and part}) == 43
    assert "Hamming loss" in (results / "report.md").read_text()


@pytest.mark.slow
def test_another_decision_is_made_where_it_is_asked_for_and_kept_apart(folder: Path) -> None:
    argmax = decided(folder, "value.onnx", "rows.npy", "--json", "--decision", "argmax")
    cell, decision = answer(argmax)
    assert (cell["decisions"]["rule"], decision["asked"]) == ("argmax", True)
    again = json.loads(decided(folder, "value.onnx", "rows.npy", "--json", "--decision", "argmax").stdout)
    assert (again["fresh"], again["decision"]) == (False, decision)
    assert json.loads(decided(folder, "value.onnx", "rows.npy", "--json").stdout)["decision"]["rule"] == "none"


@pytest.mark.parametrize(
    ("model", "probe", "arguments", "expected"),
    [
        (
            "labels.onnx",
            "rows.npy",
            ("--decision", "argmin"),
            "--decision: there is no decision 'argmin'; say one of argmax",
        ),
        (
            "labels.onnx",
            "rows.npy",
            ("--decision", "threshold=0.5,0.6"),
            "2 thresholds for 43 labels of the output 'y'",
        ),
        ("labels.onnx", "rows.npy", ("--decision", "argmax-axis=0"), "axis 0 of the output 'y' is the sample"),
        ("labels.onnx", "rows.npy", ("--decision-output", "z"), "the model has no output 'z'; it has y"),
        (
            "odd.onnx",
            "rows.npy",
            (),
            "the file names the task segmentation, and its output 'y' of shape 6 x 2 is none of it",
        ),
        ("scores.onnx", "maps.npy", ("--labels", "beyond.npy"), "beyond.npy: holds the class 255, the model has 4"),
        ("labels.onnx", "rows.npy", ("--labels", "fields.npy"), "fields.npy: holds labels of 5 samples for 6 samples"),
        ("labels.onnx", "rows.npy", ("--ids", "there.npy"), "there.npy: holds int64 of 2 axes"),
        ("labels.onnx", "rows.npy", ("--labels", "rows.npy"), "rows.npy: holds float32 of 2 axes; save whole numbers"),
        ("labels.onnx", "rows.npy", ("--ignore-label", "255"), "--ignore-label: there are no labels"),
    ],
)
def test_what_cannot_be_decided_gets_one_line_before_long_steps_and_leaves_nothing(
    folder: Path, model: str, probe: str, arguments: tuple[str, ...], expected: str
) -> None:
    done = decided(folder, model, probe, *arguments, "--output", "refused")
    assert done.returncode == 2, done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("harness: ")
    assert expected in line
    assert "Traceback" not in done.stderr
    assert not list((folder / "refused").rglob("*.json"))
    # Only what tells sizes was done: no runtime has answered the whole probe.
    assert not [step for step in ("reference", "oracle", "target") if f"  {step}" in done.stdout + done.stderr]
