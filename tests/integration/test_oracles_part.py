"""An oracle that computes an operator wrongly, in the process that production starts: who is followed, and what is told."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

import onnx
from onnx import TensorProto, helper

from harness.runtimes.registry import RUNTIMES, availability
from tests.integration.comparing import compare

NEEDED = ("python/onnxruntime", "python/onnx2torch", "r/base")
pytestmark = pytest.mark.skipif(
    not all(availability(RUNTIMES[name]).installed for name in NEEDED), reason=f"needs {', '.join(NEEDED)}"
)

#: Every Python process that imports the module gets a LogSoftmax that rounds to single precision.
FAULT = """
import importlib.abc, importlib.util, sys

class Faulty(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "harness.workers.onnx.exact.softmax":
            return None
        sys.meta_path.remove(self)
        found = importlib.util.find_spec(name)
        carry_out = found.loader.exec_module

        def exec_module(module):
            carry_out(module)
            exact = module.log_softmax
            module.log_softmax = lambda *a, **k: exact(*a, **k).astype("float32").astype("float64")

        found.loader.exec_module = exec_module
        return found

sys.meta_path.insert(0, Faulty())
"""


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory, programs: str) -> dict[str, dict[str, Any]]:
    """The cells of a file whose LogSoftmax one of two oracles computes in single precision; Julia is not to be found."""
    folder = tmp_path_factory.mktemp("part")
    (folder / "faulty").mkdir()
    (folder / "faulty" / "sitecustomize.py").write_text(FAULT)
    draw = np.random.default_rng(3)
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w", "b"], ["scores"], name="dense"),
            helper.make_node("LogSoftmax", ["scores"], ["y"], name="head"),
        ],
        "part",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])],
        [
            onnx.numpy_helper.from_array(draw.normal(size=(6, 5)).astype(np.float32), "w"),
            onnx.numpy_helper.from_array(draw.normal(size=5).astype(np.float32), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    np.save(folder / "X.npy", draw.normal(size=(64, 6)).astype(np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", programs)
        done = compare(
            folder,
            "model.onnx",
            *("--probe", "X.npy", "--to", "python/onnx2torch,python/onnxruntime"),
            *("--no-layers", "--json"),
            languages=True,
            imported_first=folder / "faulty",
        )
    assert done.returncode == 1, done.stderr
    return {cell["target"]: cell for cell in json.loads(done.stdout)["cells"]}


def test_the_majority_is_followed_and_the_odd_one_named(cells: dict[str, dict[str, Any]]) -> None:
    cell = cells["python/onnx2torch"]
    assert cell["verdict"] in ("identical", "equivalent")
    told = " ".join(finding["message"] for finding in cell["findings"])
    assert "python/onnx-reference computes LogSoftmax 'head'" in told
    assert "in single precision here" in told
    assert "the reference is that of the majority" in told


def test_an_engine_has_no_vote_on_its_own_cell(cells: dict[str, dict[str, Any]]) -> None:
    cell = cells["python/onnxruntime"]
    assert cell["verdict"] == "undecided"
    told = [finding["message"] for finding in cell["findings"]]
    assert any("no majority tells which is right without the vote of python/onnxruntime" in text for text in told)
    # Nothing is said of a conversion: a file alone has no source that it could differ from.
    assert not any("differs from the source" in text for text in told)
