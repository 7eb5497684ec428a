"""A file exported with its dropout left on: who refuses it, in which words and when, and who draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import UnsupportedError
from harness.runtimes.process import Worker
from harness.workers.tensors import read_tensors, write_tensors
from tests.conformance import small_models
from tests.conformance.conftest import ONNX_RUNTIMES

LIMIT = 120.0
#: Engines of ONNX's and Microsoft's own: they do what the file says, each with numbers of its own.
DRAWS = ("python/onnx-reference", "python/onnxruntime", "r/onnxruntime", "julia/onnxruntime")
REFUSES = [name for name in ONNX_RUNTIMES if name not in DRAWS]

ON = np.array(True)
RATIO = np.array(0.5, np.float32)


def dropout(path: Path, how: str, ratio: Any = RATIO) -> Path:
    """``y = dropout(x)`` of 4,000 values, switched on by an initializer, by a Constant node or by an input."""
    onnx = pytest.importorskip("onnx")
    constant = ("Constant", [], ["on"], {"value": onnx.numpy_helper.from_array(ON)})
    return small_models.write_model(
        path,
        [*([constant] if how == "constant" else []), ("Dropout", ["x", "ratio", "on"], ["y"], {})],
        {"x": (np.float32, [4000])} | ({"on": (np.bool_, [])} if how == "input" else {}),
        {"y": (np.float32, [4000])},
        {"ratio": ratio} | ({"on": ON} if how == "initializer" else {}),
    )


def load(worker: Worker, path: Path) -> None:
    worker.request("load", path=str(path), precision="float32", timeout=LIMIT)


def predict(worker: Worker, folder: Path, inputs: dict[str, Any]) -> Any:
    write_tensors(folder / "inputs.safetensors", inputs)
    given, results = str(folder / "inputs.safetensors"), str(folder / "outputs.safetensors")
    worker.request("predict", inputs=given, outputs=results, batch_size=None, timeout=LIMIT)
    return read_tensors(folder / "outputs.safetensors")["y"]


@pytest.mark.parametrize("how", ["initializer", "constant"])
@pytest.mark.parametrize("runtime", REFUSES)
def test_what_the_graph_itself_switches_on_is_refused_at_load_in_the_same_words(
    runtime: str, how: str, bench: Any, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedError) as error:
        load(bench.worker, dropout(tmp_path / "model.onnx", how))
    number = 1 if how == "constant" else 0
    assert error.value.what.removeprefix(f"{runtime}: ") == (
        f"operator Dropout (opset 17, node 'dropout_{number}'): training mode, which draws at random, is not supported; "
        f"export the model in evaluation mode"
    )


@pytest.mark.parametrize("runtime", ONNX_RUNTIMES)
def test_a_ratio_of_nought_draws_nothing(runtime: str, bench: Any, tmp_path: Path) -> None:
    load(bench.worker, dropout(tmp_path / "model.onnx", "initializer", np.array(0, np.float32)))
    x = np.arange(4000, dtype=np.float32)
    assert np.array_equal(predict(bench.worker, tmp_path, {"x": x}), x)


@pytest.mark.parametrize("runtime", REFUSES)
def test_what_an_input_switches_on_is_refused_at_the_latest_when_it_does(
    runtime: str, bench: Any, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedError, match=r"Dropout.*training mode"):
        load(bench.worker, dropout(tmp_path / "model.onnx", "input"))
        predict(bench.worker, tmp_path, {"x": np.ones(4000, np.float32), "on": ON})


@pytest.mark.parametrize("runtime", DRAWS)
def test_the_others_draw(runtime: str, bench: Any, tmp_path: Path) -> None:
    load(bench.worker, dropout(tmp_path / "model.onnx", "initializer"))
    y = predict(bench.worker, tmp_path, {"x": np.ones(4000, np.float32)})
    assert set(np.unique(y)) == {0, 2}
    assert 0.4 < (y == 0).mean() < 0.6
