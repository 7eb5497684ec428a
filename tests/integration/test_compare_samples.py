"""Given files with several inputs and outputs: which axes are the sample, what is told of it, and every output compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the files are written with the onnx package: pip install onnx")
pytest.importorskip("onnxruntime", reason="it is the target that is compared: pip install onnxruntime")

from harness.files.arrays import load_arrays
from tests.conformance import small_models
from tests.integration.comparing import compare
from tests.integration.conftest import ROOT, needs_julia, needs_r

GIVEN = Path(__file__).parent / "given_models"
PYTHON = ("--to", "python/onnxruntime")


def compared(folder: Path, *arguments: str) -> dict[str, Any]:
    """The JSON of a comparison that ends well."""
    done = compare(folder, *arguments, "--store", "store", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def target_outputs(folder: Path, stored: str) -> dict[str, Any]:
    """What the target of a comparison answered, as it lies in the store."""
    (path,) = folder.glob(f"store/target-*/{stored}")
    return load_arrays(path)


def outputs_of(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The rows of the first cell's outputs, by name."""
    return {row["name"]: row for row in found["cells"][0]["outputs"]}


def test_an_output_is_joined_along_the_axis_that_is_its_sample(tmp_path: Path) -> None:
    given = GIVEN / "heads-eq-batch"
    probe = ("--probe", str(given / "X.npy"))
    found = compared(tmp_path, str(given / "model.onnx"), *PYTHON, *probe, "--batch-size", "8")
    assert found["samples"] == ["the sample axis of output attention is 1"]
    assert outputs_of(found)["attention"]["shape"] == [8, 16, 12]
    assert {row["verdict"] for row in outputs_of(found).values()} == {"equivalent"}
    stored = target_outputs(tmp_path, "probe.float32.safetensors")
    expected = np.load(given / "expected.npz")
    np.testing.assert_allclose(stored["attention"], expected["attention"], atol=1e-5)
    manifest = json.loads((tmp_path / "results" / "compare_model" / "manifest.json").read_text())
    assert manifest["samples_said"] == found["samples"]
    report = (tmp_path / "results" / "compare_model" / "report.md").read_text()
    assert "the sample axis of output attention is 1" in report
    assert "8 x 16 x 12" in report


def test_an_input_of_all_samples_is_given_once(tmp_path: Path) -> None:
    given = GIVEN / "shared-doy"
    probe = ("--probe", f"x={given / 'X_x.npy'}", "--probe", f"doy={given / 'X_doy.npy'}")
    found = compared(tmp_path, str(given / "model.onnx"), *PYTHON, *probe, "--batch-size", "7", "--time")
    assert found["samples"] == ["input doy is shared by all samples"]
    stored = target_outputs(tmp_path, "probe.float32.safetensors")
    np.testing.assert_allclose(stored["y"], np.load(given / "expected.npy"), atol=1e-5)
    timings = json.loads((tmp_path / "results" / "compare_model" / "timings.json").read_text())
    assert timings


def test_a_file_of_one_batch_size_takes_any_number_of_samples(tmp_path: Path) -> None:
    given = GIVEN / "conv-batch8"
    probe = ("--probe", str(given / "X.npy"))
    found = compared(tmp_path, str(given / "model.onnx"), *PYTHON, *probe, "--time")
    assert found["samples"] == ["the file takes 8 samples per call: the last batch is filled and cut"]
    stored = target_outputs(tmp_path, "probe.float32.safetensors")
    np.testing.assert_allclose(stored["y"], np.load(given / "expected.npy"), atol=1e-5)
    done = compare(tmp_path, str(given / "model.onnx"), *PYTHON, *probe, "--batch-size", "4")
    assert done.returncode == 2
    assert "the file takes 8 samples per call, not 4" in done.stderr


@pytest.mark.slow
@needs_r
@needs_julia
@pytest.mark.parametrize("case", ["heads-eq-batch", "conv-batch8"])
def test_all_languages_take_them(tmp_path: Path, case: str) -> None:
    given = GIVEN / case
    to = ("--to", "python/onnxruntime,r/base,julia/base")
    found = compared(tmp_path, str(given / "model.onnx"), *to, "--probe", str(given / "X.npy"))
    assert {cell["verdict"] for cell in found["cells"]} == {"equivalent"}


def mixed_outputs(path: Path) -> Path:
    """Scores (batch, 4), their class int64 (batch,), whether the first is positive bool (batch,), and one number of no sample."""
    return small_models.write_model(
        path,
        [
            ("MatMul", ["x", "W"], ["scores"], {}),
            ("ArgMax", ["scores"], ["class"], {"axis": 1, "keepdims": 0}),
            ("Gather", ["scores", "first"], ["one"], {"axis": 1}),
            ("Greater", ["one", "zero"], ["positive"], {}),
            ("Mul", ["temperature", "two"], ["twice"], {}),
        ],
        {"x": (np.float32, ["batch", 3]), "temperature": (np.float32, [])},
        {
            "scores": (np.float32, ["batch", 4]),
            "class": (np.int64, ["batch"]),
            "positive": (np.bool_, ["batch"]),
            "twice": (np.float32, []),
        },
        {
            "W": np.random.default_rng(3).normal(size=(3, 4)).astype(np.float32),
            "first": np.array(0, np.int64),
            "zero": np.array(0, np.float32),
            "two": np.array(2, np.float32),
        },
    )


def test_whole_numbers_truth_values_and_single_numbers_are_compared_as_what_they_are(tmp_path: Path) -> None:
    mixed_outputs(tmp_path / "mixed.onnx")
    np.save(tmp_path / "x.npy", np.random.default_rng(4).normal(size=(70, 3)).astype(np.float32))
    np.save(tmp_path / "t.npy", np.float32(1.5))
    probe = ("--probe", "x=x.npy", "--probe", "temperature=t.npy")
    found = compared(tmp_path, "mixed.onnx", *PYTHON, *probe)
    assert found["samples"] == ["input temperature is shared by all samples", "output twice belongs to no sample"]
    rows = outputs_of(found)
    assert {name: (row["dtype"], row["shape"], row["differing"]) for name, row in rows.items()} == {
        "scores": ("float32", [70, 4], None),
        "class": ("int64", [70], 0),
        "positive": ("bool", [70], 0),
        "twice": ("float32", [], None),
    }
    assert [name for name, row in rows.items() if row["decided"]] == ["scores"]


def test_an_output_over_all_samples_is_run_in_one_call(tmp_path: Path) -> None:
    small_models.write_model(
        tmp_path / "mean.onnx",
        [("Mul", ["x", "two"], ["y"], {}), ("ReduceMean", ["y"], ["mean"], {"axes": [0], "keepdims": 0})],
        {"x": (np.float32, ["batch", 3])},
        {"y": (np.float32, ["batch", 3]), "mean": (np.float32, [3])},
        {"two": np.array(2, np.float32)},
    )
    np.save(tmp_path / "x.npy", np.random.default_rng(4).normal(size=(70, 3)).astype(np.float32))
    found = compared(tmp_path, "mean.onnx", *PYTHON, "--probe", "x.npy")
    assert found["samples"] == ["output mean belongs to all samples of a call together: all are run in one call"]
    done = compare(tmp_path, "mean.onnx", *PYTHON, "--probe", "x.npy", "--batch-size", "8")
    assert done.returncode == 2
    assert "output 'mean' belongs to all samples of a call together" in done.stderr


def test_texts_are_equal_or_not(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, save

    names = helper.make_tensor("names", TensorProto.STRING, [3], ["maize", "blé", "soy"])
    graph = helper.make_graph(
        [
            helper.make_node("ArgMax", ["x"], ["place"], axis=1, keepdims=0),
            helper.make_node("Gather", ["names", "place"], ["label"]),
        ],
        "texts",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("label", TensorProto.STRING, ["n"])],
        [names],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save(model, str(tmp_path / "texts.onnx"))
    np.save(tmp_path / "x.npy", np.random.default_rng(4).normal(size=(70, 3)).astype(np.float32))
    found = compared(tmp_path, "texts.onnx", *PYTHON, "--probe", "x.npy", "--batch-size", "32")
    (row,) = found["cells"][0]["outputs"]
    assert (row["dtype"], row["shape"], row["differing"], row["verdict"]) == ("string", [70], 0, "identical")


#: Writes a segmentation of this project with random weights as a file, and as one whose second output is spoiled.
MAKE_SPOILED = """
import sys, torch, onnx
from onnx import helper
from pathlib import Path
from safetensors.torch import save_file
from harness.models import model
from native.pytorch.fieldseg import FieldSeg
torch.manual_seed(0)
spec = model("fieldseg").build(bands=4, rows=6, columns=5, classes=3)
net = FieldSeg(bands=4, classes=3, width=16).eval()
Path("weights").mkdir()
Path("weights/model.json").write_text(spec.to_json())
state = {name: value for name, value in net.state_dict().items() if "num_batches" not in name}
save_file(state, "weights/weights.safetensors")
example = (torch.zeros(2, 4, 6, 5), torch.ones(2), torch.ones(2, 6, 5, dtype=torch.bool))
names = ["x", "doy", "mask"], ["scores", "share"]
torch.onnx.export(net, example, "field.onnx", dynamo=False, opset_version=17, input_names=names[0], output_names=names[1],
                  do_constant_folding=False, dynamic_axes={name: {0: "sample"} for name in (*names[0], *names[1])})
made = onnx.load("field.onnx")
for node in made.graph.node:
    node.output[:] = ["clean" if name == "share" else name for name in node.output]
factor = helper.make_tensor("factor", onnx.TensorProto.FLOAT, [], [1.05])
made.graph.initializer.append(factor)
made.graph.node.append(helper.make_node("Mul", ["clean", "factor"], ["share"], name="spoil"))
onnx.save(made, "spoiled.onnx")
"""


def test_spoiling_the_second_output_alone_is_divergent(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the file is exported from PyTorch: pip install torch")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    made = subprocess.run(
        [sys.executable, "-c", MAKE_SPOILED], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    random = np.random.default_rng(5)
    np.save(tmp_path / "x.npy", random.normal(size=(64, 4, 6, 5)).astype(np.float32))
    np.save(tmp_path / "doy.npy", random.integers(1, 366, 64).astype(np.float32))
    np.save(tmp_path / "mask.npy", random.random((64, 6, 5)) < 0.7)
    given = [part for name in ("x", "doy", "mask") for part in ("--probe", f"{name}={name}.npy")]
    source = ("--from", "weights/weights.safetensors", *PYTHON, *given, "--json")
    clean = compare(tmp_path, "field.onnx", *source)
    assert clean.returncode == 0, clean.stderr
    rows = {row["name"]: row for row in json.loads(clean.stdout)["cells"][0]["outputs"]}
    assert {name: (row["decided"], row["shape"]) for name, row in rows.items()} == {
        "scores": (True, [64, 3, 6, 5]),
        "share": (False, [64, 3]),
    }
    spoiled = compare(tmp_path, "spoiled.onnx", *source)
    assert spoiled.returncode == 1, spoiled.stderr
    (cell,) = json.loads(spoiled.stdout)["cells"]
    assert cell["verdict"] == "divergent"
    assert "a Mul after the Div after classifier that multiplies by 1.05" in cell["sentence"]
    assert any(found["message"].startswith("output share: in float64") for found in cell["findings"])
    rows = {row["name"]: row["verdict"] for row in cell["outputs"]}
    assert rows["scores"] in ("identical", "equivalent")
    assert rows["share"] == "divergent"
    # No decision changed: those are made on the scores.
    assert cell["decisions"]["flip_count"] == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    small_models.shared_dates(folder / "dates.onnx")
    small_models.eight_heads(folder / "heads.onnx")
    np.save(folder / "x.npy", np.ones((20, 3), np.float32))
    np.save(folder / "doy.npy", np.ones(3, np.float32))
    np.save(folder / "few.npy", np.ones(2, np.float32))
    np.save(folder / "heads.npy", np.random.default_rng(0).normal(size=(20, 8, 4)).astype(np.float32))
    return folder


DATES = ("dates.onnx", *PYTHON, "--probe", "x=x.npy", "--probe", "doy=doy.npy")
HEADS = ("heads.onnx", *PYTHON, "--probe", "heads.npy")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((*DATES, "--shared", "day"), "--shared: the model has no input or output 'day'; it has x, doy, y, season"),
        ((*DATES, "--sample-axis", "day=0"), "--sample-axis: the model has no input or output 'day'"),
        ((*DATES, "--sample-axis", "doy"), "'doy' names no axis; write NAME=K"),
        ((*DATES, "--sample-axis", "x=2"), "'x' has 2 axes, so that its sample axis cannot be 2"),
        (
            (*DATES, "--sample-axis", "x=0", "--sample-axis", "doy=0"),
            "the arrays differ in their number of samples: {'x': 20, 'doy': 3}",
        ),
        ((*DATES, "--sample-axis", "y=0", "--shared", "y"), "'y' cannot be shared and have a sample axis"),
        ((*DATES, "--shared", "x", "--shared", "doy"), "no input has samples"),
        ((*HEADS, "--sample-axis", "attention=0"), "axis 0 is not the sample; it can be 1"),
        (
            ("dates.onnx", *PYTHON, "--probe", "x=x.npy", "--probe", "doy=few.npy"),
            "dimension 'time' is 3 in input 'x' but 2 in input 'doy'",
        ),
        (("dates.onnx", *PYTHON, "--probe", "x=x.npy", "--probe", "dox=doy.npy"), "no input 'dox'; it has x, doy"),
        (("dates.onnx", *PYTHON, "--probe", "x=x.npy", "--probe", "x=x.npy"), "the input 'x' is given twice"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_gets_one_line(folder: Path, arguments: tuple[str, ...], expected: str) -> None:
    done = compare(folder, *arguments)
    assert done.returncode == 2, done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("harness: ")
    assert expected in line
