"""A probe with nodata: refused unless it is allowed, and then a runtime's own way with NaN is found and placed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.comparing import compare

#: Max pooling: onnxruntime takes the largest of the other values where one is NaN, the oracles give NaN.
MAKE = """
import numpy as np, onnx
from onnx import TensorProto as T, helper, numpy_helper

random = np.random.default_rng(0)
nodes = [
    helper.make_node("MaxPool", ["x"], ["p"], name="pool", kernel_shape=[2], strides=[2]),
    helper.make_node("ReduceMean", ["p"], ["m"], name="mean", axes=[2], keepdims=0),
    helper.make_node("Gemm", ["m", "w"], ["y"], name="dense"),
]
ends = [helper.make_tensor_value_info(name, T.FLOAT, shape) for name, shape in (("x", ["n", 4, 8]), ("y", ["n", 3]))]
weight = numpy_helper.from_array(random.normal(size=(4, 3)).astype(np.float32), "w")
graph = helper.make_graph(nodes, "graph", ends[:1], ends[1:], [weight])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), "pool.onnx")
x = random.normal(size=(64, 4, 8)).astype(np.float32)
x[3, 1, 2], x[9, 2] = np.nan, np.nan
np.save("x.npy", x)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nan")
    subprocess.run([sys.executable, "-c", MAKE], check=True, capture_output=True, cwd=folder)
    return folder


def test_nan_that_is_not_allowed_is_refused_and_the_option_named(folder: Path) -> None:
    done = compare(
        folder, "pool.onnx", "--to", "python/onnxruntime", "--probe", "x.npy", "--output", "refused", languages=False
    )
    assert done.returncode == 2
    assert "not finite at [3, 1, 2]; leave such samples out, or say --nan allow" in done.stderr.strip().splitlines()[-1]
    assert not (folder / "refused" / "compare_pool" / "manifest.json").exists()
    done = compare(
        folder, "pool.onnx", "--to", "python/onnxruntime", "--probe", "x.npy", "--nan", "maybe", languages=False
    )
    assert done.returncode == 2
    assert done.stderr.strip() == "harness: --nan: 'maybe' is no choice; say refuse or allow"


def test_what_a_runtime_makes_of_nan_is_a_finding_of_its_own(folder: Path) -> None:
    targets = "python/onnxruntime,python/onnx-reference"
    done = compare(
        folder, "pool.onnx", "--to", targets, "--probe", "x.npy", "--nan", "allow", "--json", languages=False
    )
    cells = {cell["target"]: cell for cell in json.loads(done.stdout)["cells"]}
    assert cells["python/onnx-reference"]["sentence"].endswith("; positions of NaN are equal everywhere.")
    assert [cells["python/onnx-reference"]["decisions"][key] for key in ("decisions", "without")] == [62, 2]
    found = cells["python/onnxruntime"]
    assert (found["verdict"], done.returncode) == ("divergent", 1)
    told = [finding["message"] for finding in found["findings"]]
    assert (
        "MaxPool 'pool' treats NaN otherwise than the oracle: of the same inputs with 1 NaN it makes 1 other values"
        in (told[-1])
    )
    assert "the standard does not say which is right" in told[-1]
    report = (folder / "results" / "compare_pool" / "report.md").read_text()
    assert "Of input x 9 of 2,048 values are NaN, which is allowed." in report
