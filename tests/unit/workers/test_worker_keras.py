"""Keras on each of its backends, in processes of their own: one process can hold one backend."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_parameters import random_parameters

from harness.compare.parameters import compare_parameters
from harness.compare.records import Verdict
from harness.errors import BadInputError, UnsupportedError, WorkerError
from harness.models import tempcnn
from harness.models.spec import ModelSpec
from harness.runtimes.launch import environment
from harness.runtimes.process import Worker
from harness.runtimes.python import interpreter
from harness.runtimes.registry import RUNTIMES, availability
from harness.workers.tensors import read_tensors, write_tensors

ROOT = Path(__file__).resolve().parents[3]
#: JAX compiles everything anew in every process.
JAX = pytest.param("python/keras-jax", marks=pytest.mark.slow)
BACKENDS = ["python/keras-tensorflow", "python/keras-torch", JAX]
ROUTES = [
    ("python/keras-tensorflow", "keras-export"),
    ("python/keras-tensorflow", "tf2onnx"),
    ("python/keras-tensorflow", "tf2onnx-savedmodel"),
    ("python/keras-torch", "keras-export"),
    pytest.param("python/keras-jax", "keras-export", marks=pytest.mark.slow),
]
EXPORTERS = {"python/keras-torch": "torch.onnx (TorchScript)", "python/keras-jax": "jax2onnx"}
TRAINING = {"epochs": 3, "batch_size": 16, "seed": 11, "learning_rate": 0.01}
X = np.random.default_rng(1).standard_normal((70, 3, 8)).astype(np.float32)


def predicted(worker: Worker, source: Path, precision: str) -> np.ndarray:
    worker.request("load", path=str(source / "weights.safetensors"), precision=precision)
    write_tensors(source / "x", {"x": X})
    worker.request("predict", inputs=str(source / "x"), outputs=str(source / "y"), batch_size=32)
    (output,) = read_tensors(source / "y").values()
    return output


def in_pytorch(spec: ModelSpec) -> np.ndarray:
    torch = pytest.importorskip("torch")
    from harness.workers.pytorch.model import build, fill, widened

    module = build(spec).eval()
    fill(module, spec, random_parameters(spec), "here")
    with torch.inference_mode():
        output: np.ndarray = widened(module)(torch.from_numpy(X.astype(np.float64))).numpy()
    return output


@pytest.mark.parametrize("runtime", BACKENDS)
def test_it_says_what_it_is(workers: Callable[[str], Worker], runtime: str) -> None:
    said = workers(runtime).request("describe")
    assert said["runtime"] == runtime
    assert {"keras", runtime.removeprefix("python/keras-")} <= set(said["versions"])
    assert set(said["threads"].values()) == {1}
    assert {"train", "export", "activations", "time"} <= set(said["requests"])


@pytest.mark.parametrize("runtime", BACKENDS)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_canonical_parameters_go_in_and_come_out_bit_for_bit(
    workers: Callable[[str], Worker], source: Path, runtime: str, precision: str, small_spec: ModelSpec
) -> None:
    worker = workers(runtime)
    worker.request("load", path=str(source / "weights.safetensors"), precision=precision)
    worker.request("parameters", outputs=str(source / "held"))
    held, given = read_tensors(source / "held"), random_parameters(small_spec)
    assert set(held) == set(given)
    assert all(held[name].tobytes() == array.tobytes() for name, array in given.items())


@pytest.mark.parametrize("runtime", BACKENDS)
def test_it_is_the_function_that_pytorch_computes(
    workers: Callable[[str], Worker], source: Path, runtime: str, small_spec: ModelSpec
) -> None:
    expected = in_pytorch(small_spec)
    single, double = (predicted(workers(runtime), source, precision) for precision in ("float32", "float64"))
    assert (single.dtype.name, double.dtype.name) == ("float32", "float64")
    # Epsilon is a float32 there and here, and nothing of it is computed in float32: no layer narrows.
    assert np.abs(double - expected).max() < 1e-13
    assert 0 < np.abs(single - expected).max() < 1e-5


@pytest.mark.parametrize("head", ["log-softmax", "softmax"])
@pytest.mark.parametrize("runtime", BACKENDS)
def test_heads(workers: Callable[[str], Worker], source: Path, runtime: str, head: Any, small_spec: ModelSpec) -> None:
    sizes = {
        name: value for name, value in small_spec.hyperparameters.items() if name not in ("bands", "dates", "classes")
    }
    spec = tempcnn.build(bands=3, dates=8, classes=4, head=head, preset=None, hyperparameters=sizes)
    (source / "model.json").write_text(spec.to_json())
    assert np.abs(predicted(workers(runtime), source, "float64") - in_pytorch(spec)).max() < 1e-13


@pytest.mark.parametrize("runtime", BACKENDS)
def test_layers_tell_what_they_put_out(
    workers: Callable[[str], Worker], source: Path, runtime: str, small_spec: ModelSpec
) -> None:
    torch = pytest.importorskip("torch")
    from harness.workers.pytorch.model import build, fill, widened

    worker = workers(runtime)
    predicted(worker, source, "float64")
    worker.request("activations", inputs=str(source / "x"), names=["conv1", "dense"], outputs=str(source / "a"))
    found = read_tensors(source / "a")
    assert {name: array.shape for name, array in found.items()} == {"conv1": (70, 6, 8), "dense": (70, 7)}
    module = build(small_spec).eval()
    fill(module, small_spec, random_parameters(small_spec), "here")
    with torch.inference_mode():
        expected = widened(module).conv1(torch.from_numpy(X.astype(np.float64))).numpy()
    assert np.abs(found["conv1"] - expected).max() < 1e-13
    with pytest.raises(BadInputError, match="the model has no layer 'conv7'"):
        worker.request("activations", inputs=str(source / "x"), names=["conv7"], outputs=str(source / "a"))


@pytest.mark.parametrize(("runtime", "route"), ROUTES)
def test_exports_hold_the_parameters_and_say_what_ran(
    workers: Callable[[str], Worker], source: Path, runtime: str, route: str, small_spec: ModelSpec, ask: Any
) -> None:
    onnx = pytest.importorskip("onnx")
    worker, contents = workers(runtime), []
    for name in ("a", "b"):
        out = source / name
        out.mkdir()
        weights = str(source / "weights.safetensors")
        record = worker.request("export", weights=weights, out=str(out), route=route, opset=17)
        contents.append((out / "model.onnx").read_bytes())
    # Names that count through the life of a process are no reason for other bytes.
    assert contents[0] == contents[1]
    model = onnx.load(str(source / "a" / "model.onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert (record["opset"], record["asked"]) == (17, {"opset": 17, "fold": True})
    assert EXPORTERS.get(runtime, "tf2onnx") in record["exporter"]
    assert record["folded"] is True
    assert record["batch_normalisations"] == {"model": 3, "file": 0}
    assert any("was renamed 'logits'" in line for line in record["warnings"])
    assert {entry.key for entry in model.metadata_props} == {"harness.model", "harness.classes"}
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["x", "logits"]
    dimensions = model.graph.input[0].type.tensor_type.shape.dim
    assert (dimensions[0].dim_param, dimensions[1].dim_value, dimensions[2].dim_value) == ("sample", 3, 8)
    reference = ask("python/onnx-reference")
    reference("load", path=source / "a" / "model.onnx", precision="float64")
    write_tensors(source / "x", {"x": X})
    reference("predict", inputs=source / "x", outputs=source / "y", batch_size=9)
    reference("structure", path=source / "a" / "model.onnx", outputs=source / "structure.json")
    expected = in_pytorch(small_spec)
    error = np.sqrt(np.mean((read_tensors(source / "y")["logits"] - expected) ** 2)) / expected.std()
    assert 0 < error < 1e-6
    held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    structure = json.loads((source / "structure.json").read_text())
    compared = compare_parameters(small_spec, random_parameters(small_spec), structure, held)
    assert compared.verdict is Verdict.EQUIVALENT, [row for row in compared.rows if row.relation != "equal"]
    relations = {row.name: row.relation for row in compared.rows}
    for layer in ("conv1", "conv2", "dense", "classifier"):
        assert relations[f"{layer}.weight"] == relations[f"{layer}.bias"] == "equal"
    assert all(relations[f"{layer}.running_var"] == "folded" for layer in ("norm1", "norm2", "dense_norm"))


@pytest.mark.parametrize(("runtime", "route"), ROUTES)
def test_what_a_converter_cannot_do_is_said_in_one_line(
    workers: Callable[[str], Worker], source: Path, runtime: str, route: str
) -> None:
    asked = {"weights": str(source / "weights.safetensors"), "out": str(source), "route": route}
    for change, words in (
        ({"opset": 99}, "99"),
        ({"opset": 17, "fold": False}, "cannot keep it; ask for fold: true"),
        ({"opset": 17, "route": "torch-dynamo"}, f"route 'torch-dynamo' is not supported by {runtime}"),
    ):
        with pytest.raises(UnsupportedError) as error:
            workers(runtime).request("export", **(asked | change))
        assert words in error.value.what
        assert "\n" not in error.value.what
    assert not (source / "model.onnx").exists()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four classes that can be told apart, 3 bands, 8 dates: 97 to train on (so that a batch of 16 leaves one over)."""
    folder = tmp_path / "data"
    folder.mkdir()
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((4, 3, 8))
    for part, count in (("train", 97), ("valid", 30)):
        y = generator.integers(0, 4, count)
        x = (centres[y] + generator.standard_normal((count, 3, 8))).astype(np.float32)
        write_tensors(folder / f"{part}.safetensors", {"x": x, "y": y, "ids": np.arange(count)})
    return folder


@pytest.fixture
def out(tmp_path: Path, small_spec: ModelSpec) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.json").write_text(small_spec.to_json())
        (folder / "metadata.json").write_text("{}")
        return folder

    return make


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "training.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("runtime", BACKENDS)
def test_training_learns_the_same_bits_also_after_an_interruption(
    workers: Callable[[str], Worker], data: Path, out: Callable[[str], Path], runtime: str
) -> None:
    whole, broken, other = out("whole"), out("broken"), out("other")
    record = workers(runtime).request("train", data=str(data), out=str(whole), **TRAINING)
    assert record["framework"] == runtime.removeprefix("python/")
    assert {"keras", "numpy"} < set(record["versions"])
    assert (record["iterations_per_epoch"], record["resumed_at"]) == (6, None)
    log = rows(whole)
    assert [int(row["epoch"]) for row in log] == [1, 2, 3]
    assert float(log[-1]["loss"]) < float(log[0]["loss"])

    def stop(told: dict[str, Any]) -> None:
        if told["text"].startswith("epoch 3"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workers(runtime).request("train", progress=stop, data=str(data), out=str(broken), **TRAINING)
    assert not (broken / "weights.safetensors").exists()
    # The process is gone, and what the next one makes of the checkpoint has the same bits.
    record = workers(runtime).request("train", data=str(data), out=str(broken), **TRAINING)
    assert record["resumed_at"] == 2
    weights = (whole / "weights.safetensors").read_bytes()
    assert (broken / "weights.safetensors").read_bytes() == weights
    keep = [name for name in log[0] if name not in ("seconds", "iterations_per_second")]
    assert [[row[name] for name in keep] for row in rows(broken)] == [[row[name] for name in keep] for row in log]
    workers(runtime).request("train", data=str(data), out=str(other), **(TRAINING | {"seed": 12}))
    assert (other / "weights.safetensors").read_bytes() != weights


#: Three steps of a learner from given weights for every folder named, in a process that has a backend to itself.
STEPS = """
import importlib, json, sys
from pathlib import Path
runtime, *folders = sys.argv[1:]
from harness.runtimes.table import RUNTIMES
from harness.workers.serve import pin_threads
pin_threads()
engine = importlib.import_module(RUNTIMES[runtime].worker).ENGINE()
from harness.models.spec import ModelSpec
from harness.workers.keras.model import fill
from harness.workers.keras.learner import KerasLearner
from harness.workers.tensors import read_tensors, write_tensors
from harness.workers.training.train import Settings
for folder in map(Path, folders):
    spec = ModelSpec.from_json((folder / "model.json").read_text())
    settings = Settings(**json.loads((folder / "settings.json").read_text()))
    learner = KerasLearner(spec, settings, "cross-entropy", 0, framework="keras", versions={}, threads=1)
    fill(learner.model, spec, read_tensors(folder / "weights.safetensors"), "here")
    data = read_tensors(folder / "data")
    learner.model.save(folder / "model.keras")
    learner.begin_epoch(1)
    losses = [learner.step({"x": data["x"]}, {"y": data["y"]}) for _ in range(3)]
    (folder / "losses.json").write_text(json.dumps(losses))
    write_tensors(folder / "after", learner.parameters())
"""


@pytest.mark.parametrize("runtime", BACKENDS)
def test_steps_are_those_of_pytorch(tmp_path: Path, runtime: str, small_spec: ModelSpec) -> None:
    """From the same weights, on the same batch, without dropout: the loss, Adam and its L2 penalty are the same."""
    pytest.importorskip("torch")
    if not (here := availability(RUNTIMES[runtime])).installed:
        pytest.skip(f"{runtime}: {here.reason}; install it with: {here.install}")
    sizes = {name: small_spec.hyperparameters[name] for name in ("filters", "kernels", "dense_width")}
    sizes |= {"dropouts": [0.0, 0.0], "dense_dropout": 0.0}
    settings = {"epochs": 1, "batch_size": 64, "learning_rate": 0.01, "weight_decay": 0.1, "seed": 0}
    labels = np.arange(len(X)) % 4
    heads: tuple[Any, ...] = ("logits", "softmax")
    for head in heads:
        folder = tmp_path / head
        folder.mkdir()
        spec = tempcnn.build(bands=3, dates=8, classes=4, head=head, preset=None, hyperparameters=sizes)
        (folder / "model.json").write_text(spec.to_json())
        (folder / "settings.json").write_text(json.dumps(settings))
        write_tensors(folder / "weights.safetensors", random_parameters(spec))
        write_tensors(folder / "data", {"x": X, "y": labels})
    subprocess.run(
        [interpreter(RUNTIMES[runtime]), "-c", STEPS, runtime, *(str(tmp_path / head) for head in heads)],
        env=environment(RUNTIMES[runtime], 1),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    for head in heads:
        assert_steps_are_those_of_pytorch(tmp_path / head, head, settings, labels)


def assert_steps_are_those_of_pytorch(
    folder: Path, head: str, settings: dict[str, Any], labels: np.ndarray[Any, Any]
) -> None:
    import torch

    from harness.models.layouts import from_keras
    from harness.workers.keras.file import read_keras_file
    from harness.workers.pytorch.learner import PytorchLearner
    from harness.workers.pytorch.model import fill
    from harness.workers.training.train import Settings

    spec = ModelSpec.from_json((folder / "model.json").read_text())
    # What Keras saves of the model is read without Keras, as the same canonical parameters.
    _, layers = read_keras_file(folder / "model.keras")
    saved = from_keras(spec.model, layers)
    assert saved.head == head
    assert all(saved.parameters[name].tobytes() == array.tobytes() for name, array in random_parameters(spec).items())
    learner = PytorchLearner(spec, Settings(**settings), "cross-entropy", 0)
    fill(learner.module, spec, random_parameters(spec), "here")
    assert torch.get_num_threads() == 1
    losses = [learner.step({"x": X}, {"y": labels}) for _ in range(3)]
    assert json.loads((folder / "losses.json").read_text()) == pytest.approx(losses, rel=1e-4)
    expected, found = learner.parameters(), read_tensors(folder / "after")
    for name, before in random_parameters(spec).items():
        after = found[name]
        if name.endswith("running_var"):
            # Keras takes the variance of the batch, PyTorch the estimate for all: apart by n / (n - 1).
            count, kept = (len(X) if name.startswith("dense") else X.shape[0] * X.shape[2]), 0.9**3 * before
            after = kept + (after - kept) * count / (count - 1)
        assert np.abs(after - expected[name]).max() < 2e-4, name
        assert np.abs(found[name] - before).max() > 1e-3, name


@pytest.mark.parametrize("runtime", BACKENDS)
def test_a_loss_that_is_no_number_ends_the_training(
    workers: Callable[[str], Worker], data: Path, out: Callable[[str], Path], runtime: str
) -> None:
    tensors = read_tensors(data / "train.safetensors")
    tensors["x"][40, 1, 2] = np.nan
    write_tensors(data / "train.safetensors", tensors)
    folder = out("a")
    with pytest.raises(WorkerError, match="the loss is nan in epoch 1, batch "):
        workers(runtime).request("train", data=str(data), out=str(folder), **TRAINING)
    assert not (folder / "weights.safetensors").exists()


@pytest.mark.parametrize("runtime", BACKENDS)
def test_a_model_without_a_file_for_keras_is_refused(
    workers: Callable[[str], Worker], source: Path, runtime: str, small_spec: ModelSpec
) -> None:
    (source / "model.json").write_text(small_spec.model_copy(update={"model": "nobody"}).to_json())
    with pytest.raises(UnsupportedError, match=f"model 'nobody' is not supported by {runtime}"):
        workers(runtime).request("load", path=str(source / "weights.safetensors"))


@pytest.mark.parametrize("runtime", BACKENDS)
def test_weights_that_do_not_fit_are_refused(workers: Callable[[str], Worker], source: Path, runtime: str) -> None:
    held = read_tensors(source / "weights.safetensors")
    held.pop("norm1.bias")
    write_tensors(source / "weights.safetensors", held)
    with pytest.raises(BadInputError, match=r"lacks 'norm1.bias'"):
        workers(runtime).request("load", path=str(source / "weights.safetensors"))
