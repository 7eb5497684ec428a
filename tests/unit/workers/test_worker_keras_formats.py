"""Keras' own formats as routes: a SavedModel for TensorFlow alone, a .keras file for the other backends."""

from __future__ import annotations

import base64
import json
import marshal
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_parameters import random_parameters

from harness.errors import BadInputError, UnsupportedError
from harness.models.spec import ModelSpec
from harness.runtimes.process import Worker
from harness.workers.tensors import read_tensors, write_tensors
from tests.unit.workers.small_convlstm import X as FRAMES
from tests.unit.workers.small_convlstm import small

X = np.random.default_rng(1).standard_normal((9, 3, 8)).astype(np.float32)
TENSORFLOW, TORCH, JAX = "python/keras-tensorflow", "python/keras-torch", "python/keras-jax"


@pytest.fixture(params=["tempcnn", "thesis-keras", "demetrakopoulos"])
def spec(request: pytest.FixtureRequest, small_spec: ModelSpec) -> ModelSpec:
    """``demetrakopoulos`` has activations inside of its recurrent layers, with slopes of their own."""
    return small_spec if request.param == "tempcnn" else small(request.param, slope=0.3)


def written(worker: Worker, spec: ModelSpec, folder: Path, route: str) -> dict[str, Any]:
    write_tensors(folder / "weights.safetensors", random_parameters(spec))
    (folder / "model.json").write_text(spec.to_json())
    (folder / "metadata.json").write_text('{"harness.model": "small"}')
    (folder / "out").mkdir()
    return worker.request(
        "export", weights=str(folder / "weights.safetensors"), out=str(folder / "out"), route=route, opset=18
    )


def predicted(worker: Worker, spec: ModelSpec, file: Path, folder: Path, precision: str) -> np.ndarray:
    loaded = worker.request("load", path=str(file), precision=precision)
    assert loaded["metadata"].get("harness.model") in ("small", None)
    write_tensors(folder / "x", {"x": X if spec.model == "tempcnn" else FRAMES})
    worker.request("predict", inputs=str(folder / "x"), outputs=str(folder / "y"), batch_size=4)
    (output,) = read_tensors(folder / "y").values()
    return output


def same_parameters(worker: Worker, spec: ModelSpec, folder: Path) -> None:
    worker.request("parameters", outputs=str(folder / "held"))
    held, given = read_tensors(folder / "held"), random_parameters(spec)
    assert set(held) == set(given)
    for name, value in given.items():
        assert held[name].tobytes() == value.tobytes(), name


def test_a_saved_model_is_run_by_tensorflow_in_both_precisions(
    workers: Callable[[str], Worker], spec: ModelSpec, tmp_path: Path
) -> None:
    keras, tensorflow = workers(TENSORFLOW), workers("python/tensorflow")
    record = written(keras, spec, tmp_path, "keras-to-savedmodel")
    assert record["exporter"].startswith("keras model.export (tf_saved_model)")
    assert json.loads((tmp_path / "out" / "export.json").read_text()) == record
    file = tmp_path / "out" / "savedmodel" / "saved_model.pb"
    for precision, limit in (("float32", 1e-5), ("float64", 1e-13)):
        wanted = predicted(keras, spec, tmp_path / "weights.safetensors", tmp_path, precision)
        found = predicted(tensorflow, spec, file, tmp_path, precision)
        assert found.dtype == precision
        assert np.abs(found - wanted).max() <= limit * np.abs(wanted).max()
        same_parameters(tensorflow, spec, tmp_path)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (TENSORFLOW, TORCH),
        (TORCH, TENSORFLOW),
        # XLA compiles every model anew, for seconds.
        *(pytest.param(*pair, marks=pytest.mark.slow) for pair in ((TENSORFLOW, JAX), (JAX, TENSORFLOW), (JAX, TORCH))),
    ],
)
def test_a_keras_file_opens_on_the_other_backends(
    workers: Callable[[str], Worker], spec: ModelSpec, tmp_path: Path, first: str, second: str
) -> None:
    writer, reader = workers(first), workers(second)
    written(writer, spec, tmp_path, "keras-backend-swap")
    file = tmp_path / "out" / "model.keras"
    for precision, limit in (("float32", 1e-5), ("float64", 1e-13)):
        wanted = predicted(writer, spec, tmp_path / "weights.safetensors", tmp_path, precision)
        found = predicted(reader, spec, file, tmp_path, precision)
        assert found.dtype == precision
        assert np.abs(found - wanted).max() <= limit * np.abs(wanted).max()
        same_parameters(reader, spec, tmp_path)


def test_code_in_a_keras_file_is_never_run(
    workers: Callable[[str], Worker], small_spec: ModelSpec, tmp_path: Path
) -> None:
    worker = workers(TENSORFLOW)
    written(worker, small_spec, tmp_path, "keras-backend-swap")
    file, mark = tmp_path / "out" / "model.keras", tmp_path / "mark"
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    first = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "ReLU")
    code = compile(f"__import__('pathlib').Path({str(mark)!r}).touch()", "code", "eval")
    first["class_name"] = "Lambda"
    function = {
        "class_name": "__lambda__",
        "config": {"code": base64.b64encode(marshal.dumps(code)).decode(), "defaults": None, "closure": None},
    }
    first["config"] = {"name": first["config"]["name"], "function": function}
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(BadInputError) as caught:
        worker.request("load", path=str(file), precision="float32")
    assert "Keras cannot load it" in caught.value.what
    assert "\n" not in caught.value.what
    assert not mark.exists()


READING = """
import os
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
import sys, tensorflow as tf

class Reader(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, 3, 8), tf.float32, name="x")])
    def serve(self, x):
        read = tf.strings.to_number(tf.strings.substr(tf.io.read_file("/etc/hostname"), 0, 0) + "0")
        return {"logits": tf.reduce_sum(x, 2) + read}

module = Reader()
tf.saved_model.save(module, sys.argv[1], signatures={"serving_default": module.serve})
"""


def test_a_saved_model_that_reads_files_is_refused_before_it_is_loaded(
    workers: Callable[[str], Worker], small_spec: ModelSpec, tmp_path: Path
) -> None:
    worker = workers("python/tensorflow")
    (tmp_path / "model.json").write_text(small_spec.to_json())
    made = [sys.executable, "-c", READING, str(tmp_path / "savedmodel")]
    subprocess.run(made, check=True, capture_output=True)
    with pytest.raises(UnsupportedError) as caught:
        worker.request("load", path=str(tmp_path / "savedmodel" / "saved_model.pb"), precision="float32")
    assert "operation ReadFile" in caught.value.what
    assert "it does more than compute" in caught.value.what


def test_what_is_no_saved_model_gets_one_line(
    workers: Callable[[str], Worker], small_spec: ModelSpec, tmp_path: Path
) -> None:
    worker = workers("python/tensorflow")
    written(workers(TENSORFLOW), small_spec, tmp_path, "keras-to-savedmodel")
    file = tmp_path / "out" / "savedmodel" / "saved_model.pb"
    content = file.read_bytes()
    for broken in (b"", b"\xff" * 40, content[:500]):
        file.write_bytes(broken)
        with pytest.raises((BadInputError, UnsupportedError)) as caught:
            worker.request("load", path=str(file), precision="float32")
        assert "\n" not in caught.value.what
    file.write_bytes(content)
    shutil.rmtree(file.parent / "variables")
    with pytest.raises(BadInputError, match="not a SavedModel that can be served"):
        worker.request("load", path=str(file), precision="float32")
