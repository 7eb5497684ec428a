"""A model one already has: compared without a scenario, and everything that can be wrong with what is given."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.integration.comparing import compare
from tests.integration.conftest import ROOT, needs_r

#: Makes a network that this project has no specification of: an image patch, LeakyReLU, pooling, softmax.
MAKE = """
import sys, torch
torch.manual_seed(0)
class Patch(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution, self.norm = torch.nn.Conv2d(4, 8, 3, padding=1), torch.nn.BatchNorm2d(8)
        self.dense = torch.nn.Linear(8, 5)
    def forward(self, image):
        hidden = torch.nn.functional.leaky_relu(self.norm(self.convolution(image)), 0.02)
        hidden = torch.nn.functional.max_pool2d(hidden, 2)
        return torch.softmax(self.dense(hidden.mean((2, 3))), 1)
axes = {"image": {0: "n"}, "share": {0: "n"}}
torch.onnx.export(Patch().eval(), (torch.zeros(2, 4, 8, 8),), sys.argv[1], dynamo=False, opset_version=13,
                  input_names=["image"], output_names=["share"], dynamic_axes=axes)
"""

#: Writes a model with an operator that no standard knows.
MAKE_UNKNOWN = """
import sys, onnx
from onnx import helper
shape = ["n", 4, 8, 8]
ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("image", "share")]
node = helper.make_node("Nobody", ["image"], ["share"], name="who")
graph = helper.make_graph([node], "graph", ends[:1], ends[1:])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), sys.argv[1])
"""


#: The same model with its weights in a file beside it, in a folder of their own.
MAKE_APART = """
import sys, onnx
from pathlib import Path
for name in ("apart", "lost"):
    model = onnx.load(sys.argv[1])
    Path(name).mkdir()
    onnx.save(model, f"{name}/patch.onnx", save_as_external_data=True, location="patch.weights", size_threshold=0)
Path("lost/patch.weights").unlink()
"""


#: The same model, which takes sixteen samples and no other number of them.
MAKE_FIXED = """
import sys, onnx
model = onnx.load(sys.argv[1])
for info in (*model.graph.input, *model.graph.output):
    info.type.tensor_type.shape.dim[0].dim_value = 16
onnx.save(model, "fixed.onnx")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    subprocess.run([sys.executable, "-c", MAKE, str(folder / "patch.onnx")], check=True, capture_output=True)
    subprocess.run([sys.executable, "-c", MAKE_UNKNOWN, str(folder / "unknown.onnx")], check=True, capture_output=True)
    arguments = [sys.executable, "-c", MAKE_APART, "patch.onnx"]
    subprocess.run(arguments, check=True, capture_output=True, cwd=folder)
    arguments = [sys.executable, "-c", MAKE_FIXED, "patch.onnx"]
    subprocess.run(arguments, check=True, capture_output=True, cwd=folder)
    random = np.random.default_rng(0)
    x = random.normal(size=(80, 4, 8, 8)).astype(np.float32)
    np.save(folder / "x.npy", x)
    np.save(folder / "wide.npy", x.astype(np.float64))
    np.save(folder / "turned.npy", np.moveaxis(x, 1, -1))
    x[3, 1, 2, 0] = np.nan
    np.save(folder / "nan.npy", x)
    np.save(folder / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(folder / "y.npy", random.integers(0, 5, 80))
    np.save(folder / "y9.npy", np.full(80, 9))
    np.save(folder / "ids.npy", np.arange(1000, 1080))
    (folder / "cut.onnx").write_bytes((folder / "patch.onnx").read_bytes()[:700])
    (folder / "cut.npy").write_bytes((folder / "x.npy").read_bytes()[:5000])
    (folder / "noise.onnx").write_bytes(bytes(range(256)) * 8)
    return folder


@needs_r
def test_a_foreign_model_is_compared_without_a_scenario(folder: Path) -> None:
    done = compare(
        folder,
        *("patch.onnx", "--to", "r/base,python/onnxruntime", "--probe", "x.npy"),
        *("--labels", "y.npy", "--ids", "ids.npy", "--json"),
    )
    assert done.returncode == 0, done.stderr
    cells = {cell["target"]: cell for cell in json.loads(done.stdout)["cells"]}
    assert set(cells) == {"r/base", "python/onnxruntime"}
    for cell in cells.values():
        assert cell["verdict"] == "equivalent"
        assert cell["head"] == "softmax"
        assert cell["parameters"]["verdict"] == "identical"
        assert cell["probe_samples"] == 80
        # Every node of it was asked of the runtime on its own, and none is past its floor.
        layers = cell["layers"]
        assert layers["samples"] == 8
        assert layers["culprit"] is None
        assert layers["not_examined"] == []
        assert {"Conv", "LeakyRelu", "MaxPool", "Softmax"} <= {row["operator"] for row in layers["rows"]}
        assert all(row["local"] is not None and row["accumulated"] is not None for row in layers["rows"])
    # The reference and plain R agree in float64, or there would be no reference.
    assert cells["r/base"]["route_comparison"]["oracle_agreement"] < 1e-10
    results = folder / "results" / "compare_patch"
    page = (results / "report.md").read_text()
    assert "as it was given" in page
    assert "trained with" not in page
    assert (results / "predictions.csv.gz").exists()
    again = compare(
        folder,
        *("patch.onnx", "--to", "r/base,python/onnxruntime", "--probe", "x.npy"),
        *("--labels", "y.npy", "--ids", "ids.npy", "--json"),
    )
    assert not json.loads(again.stdout)["fresh"]


@pytest.mark.slow
def test_a_model_of_one_number_of_samples_is_asked_for_as_many(folder: Path) -> None:
    done = compare(folder, "fixed.onnx", "--to", "python/onnxruntime", "--probe", "x.npy", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    assert cell["verdict"] == "equivalent"
    assert cell["probe_samples"] == 80


@pytest.mark.slow
@needs_r
def test_a_model_whose_weights_lie_beside_it_is_the_same_model(folder: Path) -> None:
    done = compare(folder, "apart/patch.onnx", "--to", "r/base,python/onnxruntime", "--probe", "x.npy", "--json")
    assert done.returncode == 0, done.stderr
    cells = json.loads(done.stdout)["cells"]
    assert [cell["verdict"] for cell in cells] == ["equivalent", "equivalent"]
    assert all(cell["parameters"]["verdict"] == "identical" for cell in cells)
    # Other bytes in the file beside it are another model.
    weights = folder / "apart" / "patch.weights"
    content = bytearray(weights.read_bytes())
    content[0] ^= 1
    weights.write_bytes(content)
    again = compare(folder, "apart/patch.onnx", "--to", "python/onnxruntime", "--probe", "x.npy", "--json")
    assert json.loads(again.stdout)["fresh"]


def test_a_reference_that_breaks_is_no_fault_of_the_user(folder: Path) -> None:
    arguments = ("patch.onnx", "--to", "python/onnxruntime", "--probe", "x.npy", "--output", "broken", "--store", "b")
    started = subprocess.Popen(
        [sys.executable, "-m", "harness", "compare", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    killed = False
    while not killed and time.monotonic() < deadline and started.poll() is None:
        for child in psutil.Process(started.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if "python/onnx-reference" in child.cmdline():
                    child.kill()
                    killed = True
        time.sleep(0.01)
    _, errors = started.communicate(timeout=120)
    assert killed
    assert started.returncode == 3, errors
    assert "was ended by SIGKILL" in errors.strip().splitlines()[-1]
    assert "Traceback" not in errors


@pytest.mark.slow
def test_without_labels_there_are_no_scores(folder: Path) -> None:
    done = compare(
        folder, "patch.onnx", "--to", "python/onnxruntime", "--probe", "image=x.npy", "--output", "unlabelled"
    )
    assert done.returncode == 0, done.stderr
    results = folder / "unlabelled" / "compare_patch"
    assert not (results / "predictions.csv.gz").exists()
    assert (results / "report.html").exists()


@pytest.mark.slow
def test_expecting_more_than_there_is_ends_with_code_1(folder: Path) -> None:
    arguments = ("patch.onnx", "--to", "python/onnxruntime", "--probe", "x.npy", "--expect", "identical")
    assert compare(folder, *arguments).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("nix.onnx", "--to", "r/base", "--probe", "x.npy"), "nix.onnx: no such file"),
        (("x.npy", "--to", "r/base", "--probe", "x.npy"), "is .npy, not .onnx"),
        (("lost/patch.onnx", "--to", "r/base", "--probe", "x.npy"), "'patch.weights', which is missing beside it"),
        (("patch.onnx", "--to", "r/bass", "--probe", "x.npy"), "did you mean 'r/base'?"),
        (("patch.onnx", "--to", "python/pytorch", "--probe", "x.npy"), "does not read .onnx files"),
        (("patch.onnx", "--to", "r/base", "--probe", "nix.npy"), "nix.npy: no such file"),
        (("patch.onnx", "--to", "r/base", "--probe", "picture=x.npy"), "no input 'picture'; it has image"),
        (("patch.onnx", "--to", "r/base", "--probe", "wide.npy"), "holds float64, the input 'image' takes float32"),
        (
            ("patch.onnx", "--to", "r/base", "--probe", "turned.npy"),
            "80 x 8 x 8 x 4, the input 'image' takes n x 4 x 8 x 8",
        ),
        (("patch.onnx", "--to", "r/base", "--probe", "nan.npy"), "not finite at [3, 1, 2, 0]"),
        (("patch.onnx", "--to", "r/base", "--probe", "objects.npy"), "cut short or not a .npy file of numbers"),
        (("patch.onnx", "--to", "r/base", "--probe", "cut.npy"), "cut short or not a .npy file of numbers"),
        (("cut.onnx", "--to", "r/base", "--probe", "x.npy"), "not an ONNX file, or a truncated one"),
        (
            ("unknown.onnx", "--to", "r/base", "--probe", "x.npy"),
            "operator Nobody (opset 17, node 'who') is not supported",
        ),
        (("noise.onnx", "--to", "r/base", "--probe", "x.npy"), "not an ONNX file, or a truncated one"),
        (
            ("patch.onnx", "--to", "python/onnxruntime", "--probe", "x.npy", "--labels", "y9.npy"),
            "holds the class 9, the model has 5",
        ),
        (
            ("patch.onnx", "--to", "python/onnxruntime", "--probe", "x.npy", "--labels", "x.npy"),
            "save whole numbers (sample, ...)",
        ),
        (("patch.onnx", "--to", "r/base", "--probe", "x.npy", "--expect", "good"), "there is no verdict 'good'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_used_gets_one_line(folder: Path, arguments: tuple[str, ...], expected: str) -> None:
    done = compare(folder, *arguments)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("harness: ")
    assert expected in line
