"""A file that was exported elsewhere, with a probe by name and the outputs that its framework gave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from harness.files.arrays import save_arrays  # noqa: E402
from tests.integration.comparing import compare  # noqa: E402
from tests.integration.conftest import ROOT  # noqa: E402

RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(70, 4)).astype(np.float32)
LEVEL = RANDOM.normal(size=(3,)).astype(np.float32)
WEIGHT = RANDOM.normal(size=(4, 3)).astype(np.float32)


def truth(x: np.ndarray = X) -> dict[str, np.ndarray]:
    """What the model of the file means, in float64."""
    hidden = np.tanh(x.astype(np.float64) @ WEIGHT.astype(np.float64))
    return {"scores": hidden + LEVEL.astype(np.float64), "hidden": hidden, "label": (hidden + LEVEL).argmax(1)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("expected")
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["product"], name="dense"),
            helper.make_node("Tanh", ["product"], ["hidden"], name="tanh"),
            helper.make_node("Add", ["hidden", "level"], ["scores"], name="add"),
            helper.make_node("ArgMax", ["scores"], ["label"], name="decide", axis=1, keepdims=0),
        ],
        "graph",
        [
            helper.make_tensor_value_info("x", kinds.FLOAT, ["n", 4]),
            helper.make_tensor_value_info("level", kinds.FLOAT, ["k"]),
        ],
        [
            helper.make_tensor_value_info("scores", kinds.FLOAT, ["n", "k"]),
            helper.make_tensor_value_info("hidden", kinds.FLOAT, ["n", 3]),
            helper.make_tensor_value_info("label", kinds.INT64, ["n"]),
        ],
        [onnx.numpy_helper.from_array(WEIGHT, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "m.onnx")
    np.savez(folder / "X.npz", level=LEVEL, x=X)
    np.savez(folder / "Y.npz", **truth())
    save_arrays(
        folder / "Y32.safetensors",
        {name: array.astype(np.float32) for name, array in truth().items() if name != "label"},
    )
    np.savez(folder / "other.npz", **truth(X[:, ::-1]))
    np.save(folder / "unnamed.npy", truth()["scores"])
    np.savez(folder / "wide.npz", scores=np.zeros((70, 4)))
    return folder


@pytest.fixture(autouse=True)
def _only_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # One oracle is enough here: those of R and Julia take longer than all else.
    monkeypatch.setenv("PATH", str(tmp_path))


COMMON = ("m.onnx", "--to", "python/onnxruntime", "--probe", "X.npz", "--no-layers")


def sample(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", "sample", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_a_probe_is_drawn_that_both_sides_read(folder: Path) -> None:
    ranges = ("--range", "-2:2", "--range", "level=0:1", "--size", "k=3", "--seed", "4")
    done = sample(folder, "m.onnx", "--samples", "70", "--out", "drawn.npz", *ranges)
    assert (done.returncode, "x: float32 70 x 4, -" in done.stdout) == (0, True), done.stderr
    assert "input level is shared by all samples" in done.stdout
    with np.load(folder / "drawn.npz") as drawn:
        assert drawn["x"].shape == (70, 4)
        meant = np.tanh(drawn["x"].astype(np.float64) @ WEIGHT.astype(np.float64)) + drawn["level"]
    np.savez(folder / "meant.npz", scores=meant)
    done = compare(folder, *COMMON[:3], "--probe", "drawn.npz", "--no-layers", "--expected", "meant.npz")
    assert done.returncode == 0, done.stdout + done.stderr
    done = sample(folder, "m.onnx", "--out", "data.npz", "--from-data", "X.npz", "--samples", "5", "--json")
    found = json.loads(done.stdout)
    assert (found["samples"], found["inputs"]["x"]["shape"]) == (5, [5, 4])
    with np.load(folder / "data.npz") as drawn:
        assert all((row == X).all(1).any() for row in drawn["x"])
    done = sample(folder, "m.onnx", "--out", "x.npz", "--range", "high")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "'high' is no range; write LOW:HIGH" in done.stderr


def answer(folder: Path, expected: str, *more: str) -> tuple[int, dict[str, Any]]:
    done = compare(folder, *COMMON, "--expected", expected, "--json", *more)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_a_faithful_file_is_equivalent_by_either_precision(folder: Path) -> None:
    code, found = answer(folder, "Y.npz")
    (cell,) = found["cells"]
    assert code == 0
    assert cell["route_comparison"]["verdict"] in ("identical", "equivalent")
    assert found["expected"]["types"] == {"scores": "float64", "hidden": "float64", "label": "int64"}
    assert all(output["end_to_end_ratio"] is not None for output in cell["outputs"] if output["dtype"] == "float32")
    code, found = answer(folder, "Y32.safetensors")
    assert code == 0
    assert "a measurement of the route" in found["expected"]["said"][0]
    assert found["expected"]["said"][-1] == "nothing was expected of label"
    report = " ".join((folder / "results" / "compare_m" / "report.md").read_text().split())
    assert "Route: the exported graph in float64 (the route oracle) against the expected outputs" in report
    assert "a measurement of the route" in report


def test_a_file_that_means_something_else_is_told_on_the_terminal(folder: Path) -> None:
    done = compare(folder, *COMMON, "--expected", "other.npz")
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert "values of the exported graph differ from the expected outputs" in said
    assert "Route: the exported graph against the expected outputs: divergent" in said
    assert "Expected: output scores was expected in float64: an oracle of the route." in said


@pytest.mark.parametrize(
    ("expected", "line"),
    [
        ("unnamed.npy", "the model has 3 outputs: scores, hidden, label"),
        ("wide.npz", "wide.npz: has the shape 70 x 4, the output 'scores' is 70 x 3"),
        ("nix.npz", "nix.npz: no such file"),
    ],
)
def test_what_cannot_be_expected_is_refused_in_one_line(folder: Path, expected: str, line: str) -> None:
    done = compare(folder, *COMMON, "--expected", expected)
    assert (done.returncode, done.stderr.count("harness: ")) == (2, 1)
    assert line in done.stderr
    assert "Traceback" not in done.stderr
