"""PatchCNN, FieldSeg and SpectralNet in every framework, from the same weights: against NumPy."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from random_parameters import random_parameters
from small_models import SPECS, by_hand, inputs_of

from harness.errors import BadInputError, ModelError
from harness.models import build_for, model
from harness.runtimes.process import Worker
from harness.workers.tensors import read_tensors, write_tensors

#: Julia compiles a model anew in every process.
RUNTIMES = (
    "python/pytorch",
    "python/keras-tensorflow",
    pytest.param("python/keras-torch", marks=pytest.mark.slow),
    pytest.param("python/keras-jax", marks=pytest.mark.slow),
    "r/torch",
    pytest.param("julia/flux", marks=pytest.mark.slow),
)


@pytest.fixture(params=RUNTIMES)
def worker(request: pytest.FixtureRequest, workers: Callable[[str], Worker]) -> Worker:
    return workers(request.param)


def written(folder: Path, name: str) -> Path:
    write_tensors(folder / "weights.safetensors", random_parameters(SPECS[name]))
    (folder / "model.json").write_text(SPECS[name].to_json())
    write_tensors(folder / "inputs.safetensors", inputs_of(name))
    return folder / "weights.safetensors"


def answers(
    worker: Worker, weights: Path, precision: str, batch_size: int | None, given: Path | None = None
) -> dict[str, np.ndarray]:
    worker.request("load", path=str(weights), precision=precision)
    given, out = given or weights.with_name("inputs.safetensors"), weights.with_name("outputs.safetensors")
    worker.request("predict", inputs=str(given), outputs=str(out), batch_size=batch_size)
    return read_tensors(out)


@pytest.mark.parametrize("name", SPECS)
def test_it_holds_the_weights_bit_for_bit_and_answers_as_numpy_does(worker: Worker, tmp_path: Path, name: str) -> None:
    weights = written(tmp_path, name)
    loaded = worker.request("load", path=str(weights))
    spec = SPECS[name]
    for told, tensors in ((loaded["inputs"], spec.inputs), (loaded["outputs"], spec.outputs)):
        assert [(one["name"], one["dtype"], len(one["shape"])) for one in told] == [
            (tensor.name, tensor.dtype, len(tensor.axes)) for tensor in tensors
        ]
    worker.request("parameters", outputs=str(tmp_path / "held.safetensors"))
    held, stored = read_tensors(tmp_path / "held.safetensors"), random_parameters(spec)
    assert held.keys() == stored.keys()
    assert all(held[key].tobytes() == array.tobytes() for key, array in stored.items())
    expected = by_hand(name, inputs_of(name), stored)
    for precision, limit in (("float32", 1e-5), ("float64", 1e-12)):
        for batch_size in (3, None):
            found = answers(worker, weights, precision, batch_size)
            assert found.keys() == expected.keys()
            for key, values in expected.items():
                assert found[key].dtype == np.dtype(precision)
                assert found[key].shape == values.shape
                assert np.abs(found[key] - values).max() < limit * np.abs(values).max(), (key, precision, batch_size)
    if name == "fieldseg":
        # An empty mask is no reason for values that are not finite.
        assert not found["share"][1].any()
        assert np.allclose(found["share"][2].sum(), 1)


def test_a_layer_is_told_whichever_inputs_lead_to_it(worker: Worker, tmp_path: Path) -> None:
    weights = written(tmp_path, "fieldseg")
    worker.request("load", path=str(weights), precision="float64")
    out = tmp_path / "layers.safetensors"
    worker.request(
        "activations", inputs=str(tmp_path / "inputs.safetensors"), names=["classifier", "season"], outputs=str(out)
    )
    found = read_tensors(out)
    assert {name: array.shape for name, array in found.items()} == {"classifier": (11, 4, 7, 5), "season": (11, 6)}
    expected = by_hand("fieldseg", inputs_of("fieldseg"), random_parameters(SPECS["fieldseg"]))
    assert np.abs(found["classifier"] - expected["scores"]).max() < 1e-12 * np.abs(expected["scores"]).max()


EXPORTS = {
    "python/pytorch": [
        ("torch-dynamo", True),
        ("torch-dynamo", False),
        ("torch-script", True),
        ("torch-script", False),
    ],
    "python/keras-tensorflow": [("keras-export", True), ("tf2onnx", True), ("tf2onnx-savedmodel", True)],
    "python/keras-torch": [("keras-export", True)],
}


@pytest.mark.parametrize("runtime", EXPORTS)
@pytest.mark.parametrize("name", SPECS)
def test_an_export_takes_inputs_and_gives_outputs_under_their_names(
    workers: Callable[[str], Worker], tmp_path: Path, name: str, runtime: str
) -> None:
    weights = written(tmp_path, name)
    expected = by_hand(name, inputs_of(name), random_parameters(SPECS[name]))
    reader = workers("python/onnxruntime")
    for route, fold in EXPORTS[runtime]:
        out = tmp_path / f"{route}-{fold}"
        out.mkdir()
        workers(runtime).request("export", weights=str(weights), out=str(out), route=route, opset=17 + fold, fold=fold)
        loaded = reader.request("load", path=str(out / "model.onnx"))
        assert {one["name"]: one["dtype"] for one in loaded["inputs"]} == {
            tensor.name: tensor.dtype for tensor in SPECS[name].inputs
        }
        found = answers(reader, out / "model.onnx", "float32", None, given=tmp_path / "inputs.safetensors")
        assert found.keys() == expected.keys()
        for key, values in expected.items():
            assert np.abs(found[key] - values).max() < 1e-5 * np.abs(values).max(), (route, fold, key)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize(
    ("route", "file", "reader"),
    [
        ("keras-to-savedmodel", "savedmodel/saved_model.pb", "python/tensorflow"),
        ("keras-backend-swap", "model.keras", "python/keras-torch"),
    ],
)
def test_formats_of_keras_own_keep_inputs_and_outputs_apart(
    workers: Callable[[str], Worker], tmp_path: Path, name: str, route: str, file: str, reader: str
) -> None:
    weights = written(tmp_path, name)
    (out := tmp_path / "out").mkdir()
    workers("python/keras-tensorflow").request("export", weights=str(weights), out=str(out), route=route, opset=17)
    expected = by_hand(name, inputs_of(name), random_parameters(SPECS[name]))
    for precision, limit in (("float32", 1e-5), ("float64", 1e-12)):
        found = answers(workers(reader), out / file, precision, None, given=tmp_path / "inputs.safetensors")
        assert found.keys() == expected.keys()
        for key, values in expected.items():
            assert found[key].dtype == np.dtype(precision)
            assert np.abs(found[key] - values).max() < limit * np.abs(values).max(), (precision, key)


@pytest.mark.parametrize("name", SPECS)
def test_a_setting_that_it_does_not_take_is_one_line(worker: Worker, tmp_path: Path, name: str) -> None:
    weights = written(tmp_path, name)
    spec = SPECS[name]
    wrong = spec.model_copy(update={"hyperparameters": spec.hyperparameters | {"nope": 3}})
    for changed, words in ((wrong, "nope"), (spec.model_copy(update={"head": "softmax"}), "softmax")):
        (tmp_path / "model.json").write_text(changed.to_json())
        with pytest.raises(BadInputError, match=words) as caught:
            worker.request("load", path=str(weights))
        assert "\n" not in caught.value.line()


@pytest.mark.parametrize("name", SPECS)
def test_a_specification_refuses_what_the_model_is_not(name: str) -> None:
    sizes = dict.fromkeys(model(name).SIZES, 5)
    assert build_for(name, sizes, preset="small").trainable_count < 8000
    wrong = {"patchcnn": {"filters": (4, 0)}, "fieldseg": {"width": 0}, "spectralnet": {"kernel": 4}}
    for arguments, words in (
        ({"preset": "small", "head": "log-softmax"}, f"{name} has no head 'log-softmax'"),
        ({"preset": "huge"}, f"{name} has no preset 'huge'"),
        ({"preset": "small", "hyperparameters": wrong[name]}, "must be positive|greater than 0|must be odd"),
    ):
        with pytest.raises(ModelError) as caught:
            build_for(name, sizes, **arguments)
        assert re.search(words, caught.value.line())
        assert "\n" not in caught.value.line()
