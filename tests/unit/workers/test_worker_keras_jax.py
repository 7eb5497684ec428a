"""Keras on JAX alone: the threads that XLA computes with, float64 that does not stay, and what its converter makes of a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from random_parameters import random_parameters
from small_convlstm import X as FRAMES
from small_convlstm import small

from harness.errors import UnsupportedError
from harness.models import tempcnn
from harness.models.spec import ModelSpec
from harness.runtimes.process import Worker
from harness.runtimes.registry import RUNTIMES, availability
from harness.workers.tensors import read_tensors, write_tensors

ROW = RUNTIMES["python/keras-jax"]

pytestmark = pytest.mark.skipif(
    not availability(ROW).installed, reason=f"{availability(ROW).reason}; install it with: {availability(ROW).install}"
)


def seconds_by_thread(process: int) -> dict[str, float]:
    """What every thread of a process has computed so far."""
    found = {}
    for task in Path(f"/proc/{process}/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        found[task.name] = (int(fields[11]) + int(fields[12])) / 100
    return found


@pytest.fixture(scope="module", params=[1, 2])
def pinned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Worker, int]]:
    log = tmp_path_factory.mktemp("pinned") / "log"
    with Worker.start(ROW, log, threads=request.param) as worker:
        yield worker, request.param


def test_one_thread_computes_where_one_was_asked_for(pinned: tuple[Worker, int], tmp_path: Path) -> None:
    worker, threads = pinned
    assert worker.request("describe")["threads"]["xla"] == threads
    sizes = {"filters": [64, 64], "kernels": [7, 7], "dropouts": [0.1, 0.1], "dense_width": 64, "dense_dropout": 0.1}
    spec = tempcnn.build(bands=13, dates=45, classes=9, preset=None, hyperparameters=sizes)
    write_tensors(tmp_path / "weights.safetensors", random_parameters(spec))
    (tmp_path / "model.json").write_text(spec.to_json())
    worker.request("load", path=str(tmp_path / "weights.safetensors"))
    write_tensors(tmp_path / "x", {"x": np.random.default_rng(0).random((128, 13, 45)).astype(np.float32)})
    asked = {"inputs": str(tmp_path / "x"), "batch_sizes": [128], "repeats": 1000}
    # What compiles is not what is timed.
    worker.request("time", **asked, seconds=0.1)
    before = seconds_by_thread(worker.pid)
    worker.request("time", **asked, seconds=3.0)
    after = seconds_by_thread(worker.pid)
    spent = sorted((after[name] - before.get(name, 0.0) for name in after), reverse=True)
    assert sum(spent) > 0.5
    # With one, what is not XLA's is Keras' own Python, which waits for it.
    assert (spent[1] < spent[0] / 2) == (threads == 1), spent


def stored(folder: Path, spec: ModelSpec, x: np.ndarray) -> str:
    write_tensors(folder / "weights.safetensors", random_parameters(spec))
    (folder / "model.json").write_text(spec.to_json())
    (folder / "metadata.json").write_text(json.dumps({"harness.model": spec.model}))
    write_tensors(folder / "x", {"x": x})
    return str(folder / "weights.safetensors")


def predicted(worker: Worker, folder: Path, precision: str = "float32") -> np.ndarray:
    worker.request("load", path=str(folder / "weights.safetensors"), precision=precision)
    worker.request("predict", inputs=str(folder / "x"), outputs=str(folder / "y"), batch_size=4)
    (output,) = read_tensors(folder / "y").values()
    return output


@pytest.mark.slow
def test_neither_float64_nor_an_export_changes_what_comes_after(
    workers: Callable[[str], Worker], small_spec: ModelSpec, tmp_path: Path
) -> None:
    """Both turn JAX upside down for their own while: float64 by a switch of JAX, jax2onnx by exchanging JAX's functions."""
    worker = workers(ROW.name)
    weights = stored(tmp_path, small_spec, np.random.default_rng(1).random((8, 3, 8)).astype(np.float32))
    first = predicted(worker, tmp_path)
    assert first.dtype == np.float32
    double = predicted(worker, tmp_path, "float64")
    assert 0 < np.abs(double - first).max() < 1e-5
    assert predicted(worker, tmp_path).tobytes() == first.tobytes()
    worker.request("export", weights=weights, out=str(tmp_path), route="keras-export", opset=17)
    assert predicted(worker, tmp_path).tobytes() == first.tobytes()
    assert predicted(worker, tmp_path, "float64").tobytes() == double.tobytes()


@pytest.mark.slow
def test_what_its_converter_refuses_is_told_in_its_own_words(workers: Callable[[str], Worker], tmp_path: Path) -> None:
    """Layouts of convolutions over three axes are those that jax2onnx 0.17 does not know."""
    worker = workers(ROW.name)
    weights = stored(tmp_path, small("demetrakopoulos"), FRAMES)
    with pytest.raises(UnsupportedError, match="keras-export refuses opset 17: Unsupported conv layouts") as caught:
        worker.request("export", weights=weights, out=str(tmp_path), route="keras-export", opset=17)
    assert "\n" not in caught.value.what
    assert not (tmp_path / "model.onnx").exists()
