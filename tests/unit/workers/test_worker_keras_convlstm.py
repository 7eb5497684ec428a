"""ConvLSTM in Keras on each of its backends: the canonical parameters, the function, the training and the exports."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_parameters import random_parameters
from small_convlstm import SMALL, X, by_hand, small

from harness.compare.parameters import compare_parameters
from harness.compare.records import Verdict
from harness.models import convlstm
from harness.models.spec import ModelSpec
from harness.runtimes.launch import environment
from harness.runtimes.process import Worker
from harness.runtimes.python import interpreter
from harness.runtimes.registry import RUNTIMES, availability
from harness.workers.tensors import read_tensors, write_tensors

ROOT = Path(__file__).resolve().parents[3]
BACKENDS = [
    "python/keras-tensorflow",
    "python/keras-torch",
    # XLA compiles every model anew, for seconds.
    pytest.param("python/keras-jax", marks=pytest.mark.slow),
]


def stored(folder: Path, spec: ModelSpec) -> Path:
    folder.mkdir(exist_ok=True)
    write_tensors(folder / "weights.safetensors", random_parameters(spec))
    (folder / "model.json").write_text(spec.to_json())
    (folder / "metadata.json").write_text(json.dumps({"harness.model": "convlstm"}))
    return folder


def predicted(worker: Worker, folder: Path, precision: str) -> np.ndarray:
    worker.request("load", path=str(folder / "weights.safetensors"), precision=precision)
    write_tensors(folder / "x", {"x": X})
    worker.request("predict", inputs=str(folder / "x"), outputs=str(folder / "y"), batch_size=3)
    (output,) = read_tensors(folder / "y").values()
    return output


@pytest.mark.parametrize("runtime", BACKENDS)
@pytest.mark.parametrize("preset", list(convlstm.PRESETS))
def test_the_model_computes_what_the_papers_say(
    workers: Callable[[str], Worker], tmp_path: Path, runtime: str, preset: str
) -> None:
    spec, worker = small(preset), workers(runtime)
    folder = stored(tmp_path / "m", spec)
    expected = by_hand(X, random_parameters(spec), spec)
    double = predicted(worker, folder, "float64")
    assert double.dtype == np.float64
    assert double.shape == (4, 1, 3, 6, 5)
    # Slopes and epsilon are a float32 there and here, inside of the cells too, and no layer narrows.
    assert np.abs(double - expected).max() < 1e-12
    single = predicted(worker, folder, "float32")
    assert single.dtype == np.float32
    assert 0 < np.abs(single - expected).max() < 1e-5
    worker.request("parameters", outputs=str(folder / "held"))
    held = read_tensors(folder / "held")
    assert list(held) == sorted(parameter.name for parameter in spec.parameters)
    assert all(held[name].tobytes() == array.tobytes() for name, array in random_parameters(spec).items())


@pytest.mark.parametrize("runtime", BACKENDS)
@pytest.mark.parametrize(
    "change",
    [
        {"gate_order": "iofg", "cell_activation": "leaky-relu", "slope": 0.3},
        {"gate_order": "ifgo", "recurrent_activation": "hard-sigmoid", "layer_activation": "tanh", "epsilon": 0.1},
    ],
)
def test_single_settings_can_be_exchanged(
    workers: Callable[[str], Worker], tmp_path: Path, runtime: str, change: dict[str, Any]
) -> None:
    spec = small(**change)
    found = predicted(workers(runtime), stored(tmp_path / "m", spec), "float64")
    assert np.abs(found - by_hand(X, random_parameters(spec), spec)).max() < 1e-12


@pytest.mark.parametrize("runtime", BACKENDS)
def test_layers_tell_what_they_put_out(workers: Callable[[str], Worker], tmp_path: Path, runtime: str) -> None:
    torch = pytest.importorskip("torch")
    from harness.workers.pytorch.model import build, fill, widened

    spec = small("demetrakopoulos")
    folder = stored(tmp_path / "m", spec)
    predicted(workers(runtime), folder, "float64")
    asked = {"inputs": str(folder / "x"), "names": ["lstm1", "norm2"], "outputs": str(folder / "a")}
    workers(runtime).request("activations", **asked)
    found = read_tensors(folder / "a")
    assert {name: array.shape for name, array in found.items()} == {"lstm1": (4, 3, 3, 6, 5), "norm2": (4, 2, 3, 6, 5)}
    module = build(spec).eval()
    fill(module, spec, random_parameters(spec), "here")
    with torch.inference_mode():
        expected = widened(module).lstm1(torch.from_numpy(X.astype(np.float64))).numpy()
    assert np.abs(found["lstm1"] - expected).max() < 1e-12


@pytest.mark.parametrize("route", ["keras-export", "tf2onnx", "tf2onnx-savedmodel"])
def test_exports_keep_time_as_loops(
    workers: Callable[[str], Worker], tmp_path: Path, ask: Callable[[str], Any], route: str
) -> None:
    onnx = pytest.importorskip("onnx")
    spec, worker = small("demetrakopoulos"), workers("python/keras-tensorflow")
    folder = stored(tmp_path / "m", spec)
    weights = str(folder / "weights.safetensors")
    record = worker.request("export", weights=weights, out=str(folder), route=route, opset=17)
    assert record["operators"]["Loop"] == len(SMALL["filters"])
    model = onnx.load(str(folder / "model.onnx"))
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["x", "forecast"]
    reference = ask("python/onnx-reference")
    reference("load", path=folder / "model.onnx", precision="float64")
    write_tensors(folder / "x", {"x": X})
    reference("predict", inputs=folder / "x", outputs=folder / "y", batch_size=3)
    expected = by_hand(X, random_parameters(spec), spec)
    error = np.sqrt(np.mean((read_tensors(folder / "y")["forecast"] - expected) ** 2)) / expected.std()
    assert 0 < error < 1e-6
    reference("parameters", outputs=folder / "held")
    reference("structure", path=folder / "model.onnx", outputs=folder / "structure.json")
    structure = json.loads((folder / "structure.json").read_text())
    compared = compare_parameters(spec, random_parameters(spec), structure, read_tensors(folder / "held"))
    assert compared.verdict is Verdict.EQUIVALENT, [row for row in compared.rows if row.relation != "equal"]
    relations = {row.name: row.relation for row in compared.rows}
    assert all(relations[f"lstm{index}.{part}"] == "equal" for index in (1, 2, 3) for part in ("weight", "bias"))
    assert relations["output.weight"] == "equal"


@pytest.mark.slow
def test_the_same_export_of_another_process_has_the_same_bytes(tmp_path: Path) -> None:
    runtime = "python/keras-tensorflow"
    if not (here := availability(RUNTIMES[runtime])).installed:
        pytest.skip(f"{runtime}: {here.reason}; install it with: {here.install}")
    folder, contents = stored(tmp_path / "m", small("thesis-keras")), []
    for name in ("a", "b"):
        with Worker.start(RUNTIMES[runtime], tmp_path / f"{name}.log") as worker:
            weights = str(folder / "weights.safetensors")
            worker.request("export", weights=weights, out=str(folder), route="tf2onnx", opset=17)
        contents.append((folder / "model.onnx").read_bytes())
    assert contents[0] == contents[1]


#: Three steps of a learner from given weights, in a process that has a backend to itself; what a new model begins with.
STEPS = """
import importlib, json, sys
from pathlib import Path
runtime, folder = sys.argv[1], Path(sys.argv[2])
from harness.runtimes.table import RUNTIMES
from harness.workers.serve import pin_threads
pin_threads()
engine = importlib.import_module(RUNTIMES[runtime].worker).ENGINE()
import keras
from harness.models.spec import ModelSpec
from harness.workers.keras.model import canonical_parameters, fill
from harness.workers.keras.learner import KerasLearner
from harness.workers.tensors import read_tensors, write_tensors
from harness.workers.training.train import Settings
settings = Settings(1, 4, 0.01, 0.1, 0)
losses = {}
data = read_tensors(folder / "data")
for place in sorted(folder.glob("case-*")):
    spec = ModelSpec.from_json((place / "model.json").read_text())
    loss = place.name.partition("=")[2]
    learner = KerasLearner(spec, settings, loss, 0, framework="keras", versions={}, threads=1)
    write_tensors(place / "begun", learner.parameters())
    fill(learner.model, spec, read_tensors(place / "weights.safetensors"), "here")
    learner.model.save(place / "model.keras")
    again = canonical_parameters(keras.saving.load_model(place / "model.keras", compile=False), spec)
    write_tensors(place / "again", again)
    learner.begin_epoch(1)
    steps = [learner.step({"x": data["x"]}, {"y": data["y"], "mask": data["mask"]}) for _ in range(3)]
    losses[place.name] = steps
    write_tensors(place / "after", learner.parameters())
print(json.dumps(losses))
"""


@pytest.mark.slow
@pytest.mark.parametrize("runtime", BACKENDS)
def test_steps_are_those_of_pytorch(tmp_path: Path, runtime: str) -> None:
    """From the same weights, on the same batch: every preset trains, and only the moving variance is Keras' own."""
    pytest.importorskip("torch")
    if not (here := availability(RUNTIMES[runtime])).installed:
        pytest.skip(f"{runtime}: {here.reason}; install it with: {here.install}")
    from harness.workers.pytorch.learner import PytorchLearner
    from harness.workers.pytorch.model import fill
    from harness.workers.training.train import Settings

    generator = np.random.default_rng(5)
    truth = generator.random((4, 1, 3, 6, 5)).astype(np.float32)
    mask = generator.random(truth.shape) < 0.7
    write_tensors(tmp_path / "data", {"x": X, "y": truth, "mask": mask})
    cases = {
        "case-a=mse": small("thesis-keras"),
        "case-b=binary-cross-entropy": small("thesis-pytorch", forget_bias=0.5),
        "case-c=binary-cross-entropy": small("demetrakopoulos"),
    }
    for name, spec in cases.items():
        stored(tmp_path / name, spec)
    done = subprocess.run(
        [interpreter(RUNTIMES[runtime]), "-c", STEPS, runtime, str(tmp_path)],
        env=environment(RUNTIMES[runtime], 1),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    losses = json.loads(done.stdout)
    for name, spec in cases.items():
        learner = PytorchLearner(spec, Settings(1, 4, 0.01, 0.1, 0), name.partition("=")[2], 0)
        fill(learner.module, spec, random_parameters(spec), "here")
        assert losses[name] == pytest.approx(
            [learner.step({"x": X}, {"y": truth, "mask": mask}) for _ in range(3)], rel=1e-4
        )
        expected, found = learner.parameters(), read_tensors(tmp_path / name / "after")
        keep, count = 1 - spec.hyperparameters["momentum"], X.size // X.shape[1]
        for parameter, before in random_parameters(spec).items():
            after = found[parameter]
            if parameter.endswith("running_var"):
                # Keras takes the variance of the batch, PyTorch the estimate for all: apart by n / (n - 1).
                kept = keep**3 * before
                after = kept + (after - kept) * count / (count - 1)
            assert np.abs(after - expected[parameter]).max() < 5e-4, (name, parameter)
            assert np.abs(found[parameter] - before).max() > 1e-3, (name, parameter)
        begun = read_tensors(tmp_path / name / "begun")
        order, filters = spec.hyperparameters["gate_order"], SMALL["filters"][0]
        bias = dict(zip(order, np.split(begun["lstm1.bias"], 4), strict=True))
        assert {gate: set(values.tolist()) for gate, values in bias.items()} == {
            gate: {spec.hyperparameters["forget_bias"] if gate == "f" else 0.0} for gate in order
        }
        assert len(bias["f"]) == filters
        again = read_tensors(tmp_path / name / "again")
        assert all(again[key].tobytes() == array.tobytes() for key, array in random_parameters(spec).items())
