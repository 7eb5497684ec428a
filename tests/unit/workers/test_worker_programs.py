"""Whole models as sources: programs of PyTorch and files of Keras, in float32 and in float64, and nothing of them unpickled."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from harness.errors import BadInputError, UnsupportedError  # noqa: E402
from harness.runtimes.process import Worker  # noqa: E402
from harness.runtimes.registry import availability, runtime  # noqa: E402
from harness.runtimes.whole_models import files_of, whole_model  # noqa: E402
from harness.workers.engine import BadInput, Stopwatch  # noqa: E402
from harness.workers.pytorch.program import TorchProgram, TorchPrograms  # noqa: E402
from harness.workers.pytorch.script_program import ScriptProgram  # noqa: E402
from harness.workers.tensors import read_tensors, write_tensors  # noqa: E402

X = np.random.default_rng(1).standard_normal((5, 3, 8, 8)).astype(np.float32)


class Net(torch.nn.Module):
    """A constant of its own, one that it makes, and a type that it names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4, eps=1e-3)
        self.register_buffer("level", torch.rand(4))
        self.dense = torch.nn.Linear(4, 2)

    def forward(self, image: Any) -> Any:
        hidden = torch.relu(self.norm(self.conv(image)))
        hidden = hidden * torch.arange(1, 5, dtype=torch.float32).reshape(4, 1, 1).sqrt()
        pooled = hidden.mean((2, 3)) * self.level
        return self.dense(pooled.to(torch.float32)), pooled


@pytest.fixture(scope="module")
def net() -> Any:
    torch.manual_seed(3)
    made = Net().eval()
    made.norm.running_var.uniform_(0.5, 2.0)
    return made


@pytest.fixture(scope="module")
def program(net: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("programs") / "net.pt2"
    sizes = ({0: torch.export.Dim("n", min=1)},)
    torch.export.save(torch.export.export(net, (torch.from_numpy(X[:2]),), dynamic_shapes=sizes), path)
    torch.jit.trace(net, torch.from_numpy(X[:2])).save(path.with_name("net.pt"))
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["net.pt2", "net.pt"])
def test_a_program_answers_as_its_module_in_both_precisions(net: Any, program: Path, name: str) -> None:
    kind = TorchProgram if name == "net.pt2" else ScriptProgram
    path = program.with_name(name)
    assert whole_model(path) is not None
    model = kind(path, "float32")
    found = [*model.run({model.inputs[0].name: X}, Stopwatch()).values()]
    with torch.inference_mode():
        wanted = [value.numpy() for value in net(torch.from_numpy(X))]
    assert [value.dtype for value in found] == [np.float32, np.float32]
    assert all(np.array_equal(value, other) for value, other in zip(found, wanted, strict=True))
    state = model.parameters()
    assert np.array_equal(state["conv.weight"], net.conv.weight.detach().numpy())
    wide = kind(path, "float64")
    exact = [*wide.run({wide.inputs[0].name: X.astype(np.float64)}, Stopwatch()).values()]
    away = [np.abs(value - other).max() for value, other in zip(exact, wanted, strict=True)]
    assert [value.dtype for value in exact] == [np.float64, np.float64]
    assert all(0 < one < 1e-5 for one in away)
    assert torch.get_default_dtype() == torch.float32, "others in this process are widened too"
    again = [*wide.run({wide.inputs[0].name: X[:1].astype(np.float64)}, Stopwatch()).values()]
    # Where anything were rounded to single precision, sums of other lengths would differ by more.
    assert np.abs(again[1] - exact[1][:1]).max() < 1e-14


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("name", ["net.pt2", "net.pt"])
def test_a_program_is_exported_as_it_answers(program: Path, tmp_path: Path, name: str, fold: bool) -> None:
    engine = TorchPrograms()
    model = engine.load(program.with_name(name), "float32")
    (key,) = (info.name for info in model.inputs)
    write_tensors(tmp_path / "x", {key: X[:2]})
    engine.requests(lambda done, total, text: None)["export"](
        out=str(tmp_path / "made.onnx"), inputs=str(tmp_path / "x"), opset=18, fold=fold
    )
    session = onnxruntime.InferenceSession(tmp_path / "made.onnx")
    # Another number of samples than it was traced with.
    found = session.run(None, {session.get_inputs()[0].name: X})
    wanted = [*model.run({key: X}, Stopwatch()).values()]
    assert all(np.allclose(one, other, atol=1e-5) for one, other in zip(found, wanted, strict=True))
    kept = "BatchNormalization" in {node.op_type for node in onnx.load(tmp_path / "made.onnx").graph.node}
    assert kept is not fold


def test_a_program_tells_its_layers_with_their_lines(program: Path) -> None:
    model = TorchProgram(program, "float64")
    layers = {layer.name: layer for layer in model.layers()}
    assert [layer.kind for layer in layers.values()][:3] == ["conv2d", "batch_norm", "relu"]
    assert layers["batch_norm"].namespace == "norm"
    assert layers["batch_norm"].inputs == ("conv2d",)
    # What is made without the inputs is no layer.
    assert not {"arange", "sqrt"} & {layer.kind for layer in layers.values()}
    assert layers["conv2d"].source_line.endswith("torch.relu(self.norm(self.conv(image)))")
    found = model.activations({"image": X.astype(np.float64)}, ["relu", "linear"])
    assert found["relu"].min() == 0
    outputs = model.run({"image": X.astype(np.float64)}, Stopwatch())
    assert np.array_equal(found["linear"], outputs["linear"])


class Touch:
    """What a pickle does when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


def rewritten(program: Path, path: Path, changes: Callable[[str, bytes], bytes | None]) -> Path:
    with zipfile.ZipFile(program) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = changes(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return path


def test_sample_inputs_are_not_unpickled(program: Path, tmp_path: Path) -> None:
    payload, touched = pickle.dumps(Touch(tmp_path / "touched")), tmp_path / "touched"
    path = rewritten(program, tmp_path / "a.pt2", lambda name, old: payload if "sample_inputs" in name else old)
    assert any("sample_inputs" in name for name in zipfile.ZipFile(path).namelist())
    model = TorchProgram(path, "float32")
    assert model.run({"image": X}, Stopwatch())["linear"].shape == (5, 2)
    assert not touched.exists()


def test_pickled_weights_are_refused_by_name(program: Path, tmp_path: Path) -> None:
    payload = pickle.dumps(Touch(tmp_path / "touched"))

    def changed(name: str, old: bytes) -> bytes:
        if name.endswith("_weights_config.json"):
            config = json.loads(old)
            config["config"]["conv.weight"]["use_pickle"] = True
            return json.dumps(config).encode()
        return payload if "data/weights/weight_" in name else old

    path = rewritten(program, tmp_path / "b.pt2", changed)
    with pytest.raises(BadInput, match=r"holds 'conv.weight' as a pickled object, which is never unpickled"):
        TorchProgram(path, "float32")
    old = rewritten(program, tmp_path / "c.pt2", lambda name, old: None if name.endswith("_config.json") else old)
    with pytest.raises(BadInput, match=r"not an archive that torch.export.save of PyTorch 2.8 or later wrote"):
        TorchProgram(old, "float32")
    assert not (tmp_path / "touched").exists()


def test_what_holds_a_whole_model_is_told_without_loading_it(net: Any, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "weights.pt")
    assert whole_model(tmp_path / "weights.pt") is None
    (tmp_path / "cut.pt").write_bytes(b"PK\3\4")
    assert whole_model(tmp_path / "cut.pt") is None
    saved = tmp_path / "saved"
    (saved / "variables").mkdir(parents=True)
    assert whole_model(saved) is None
    (saved / "saved_model.pb").touch()
    (saved / "variables" / "variables.index").touch()
    found = whole_model(saved)
    assert found is not None
    assert (found.runtime, found.program) == ("python/tensorflow-program", "SavedModel")
    assert [*files_of(found)] == ["saved_model.pb", "variables/variables.index"]


MAKE_KERAS = """
import os
os.environ |= {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}
import keras
keras.utils.set_random_seed(0)
given = keras.Input((8, 3), name="series")
hidden = keras.layers.BatchNormalization(name="norm")(keras.layers.Conv1D(4, 3, name="conv")(given))
made = keras.layers.Dense(2, name="share")(keras.layers.GRU(4, name="gru")(hidden))
keras.Model(given, made).save("k.keras")
keras.Model(given, made).export("saved", format="tf_saved_model", verbose=False)
keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: 2 * x)]).save("lambda.keras")
image = keras.Input((8, 8, 3), name="image")
larger = keras.layers.UpSampling2D(2, interpolation="bilinear")(image)
keras.Model(image, larger).export("resizing", format="tf_saved_model", verbose=False)
"""


@pytest.mark.skipif(
    not availability(runtime("python/keras-file")).installed, reason="Keras on TensorFlow is not installed"
)
def test_files_of_keras_answer_without_its_code(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", MAKE_KERAS], cwd=tmp_path, check=True, capture_output=True)
    series = X[:, :, :, 0].transpose(0, 2, 1)
    found: dict[str, np.ndarray] = {}
    for name, file, key in (
        ("python/keras-file", "k.keras", "series"),
        ("python/tensorflow-program", "saved/saved_model.pb", "series"),
    ):
        with Worker.start(runtime(name), tmp_path / "log") as worker:
            for precision in ("float32", "float64"):
                loaded = worker.request("load", path=str(tmp_path / file), precision=precision)
                assert [entry["name"] for entry in loaded["inputs"]] == [key]
                write_tensors(tmp_path / "x", {key: series})
                worker.request("predict", inputs=str(tmp_path / "x"), outputs=str(tmp_path / "y"), batch_size=2)
                (found[f"{name} {precision}"],) = read_tensors(tmp_path / "y").values()
            write_tensors(tmp_path / "x", {key: series})
            # Read anew: it has not been called since.
            worker.request("load", path=str(tmp_path / file), precision="float32")
            made = tmp_path / f"{name.partition('/')[2]}.onnx"
            worker.request("export", out=str(made), inputs=str(tmp_path / "x"), opset=17, fold=True)
            (exported,) = onnxruntime.InferenceSession(made).run(None, {key: series})
            assert np.allclose(exported, found[f"{name} float32"], atol=1e-5)
            if name == "python/keras-file":
                worker.request("load", path=str(tmp_path / file), precision="float64")
                worker.request("layers", outputs=str(tmp_path / "layers.json"))
                layers = json.loads((tmp_path / "layers.json").read_text())
                assert [layer["inputs"] for layer in layers] == [[], ["conv"], ["norm"], ["gru"]]
                assert [layer["kind"] for layer in layers] == ["Conv1D", "BatchNormalization", "GRU", "Dense"]
                wide = {key: series.astype(np.float64)}
                write_tensors(tmp_path / "x", wide)
                worker.request("activations", inputs=str(tmp_path / "x"), names=["share"], outputs=str(tmp_path / "a"))
                assert np.allclose(read_tensors(tmp_path / "a")["share"], found[f"{name} float64"], atol=1e-12)
                with pytest.raises(BadInputError, match=r"holds code .a Lambda layer., which is not run"):
                    worker.request("load", path=str(tmp_path / "lambda.keras"), precision="float32")
            else:
                with pytest.raises(UnsupportedError, match=r"cannot be computed in float64: .*ResizeBilinear"):
                    worker.request("load", path=str(tmp_path / "resizing" / "saved_model.pb"), precision="float64")
    one, two = found["python/keras-file float64"], found["python/tensorflow-program float64"]
    assert np.abs(one - two).max() < 1e-12
    assert 0 < np.abs(one - found["python/keras-file float32"]).max() < 1e-5
