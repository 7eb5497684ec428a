"""Weights alone in other languages: the models written by hand for R torch and Flux, as runtimes of the route `safetensors`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from random_parameters import random_parameters
from small_convlstm import X, by_hand, small

from harness.errors import BadInputError, HarnessError, UnsupportedError
from harness.models import tempcnn
from harness.models.spec import ModelSpec
from harness.runtimes.julia import HOST_VARIABLE
from harness.runtimes.process import Worker
from harness.runtimes.registry import RUNTIMES, availability
from harness.workers.tensors import read_tensors, write_tensors

#: Julia compiles a model anew in every process; one quick test of it stands at the end.
WRITTEN = ("r/torch", pytest.param("julia/flux", marks=pytest.mark.slow))

CASES: dict[str, ModelSpec] = {
    "tempcnn": tempcnn.build(
        **{"bands": 3, "dates": 9, "classes": 4, "preset": None, "head": "log-softmax"},
        hyperparameters={
            "filters": [4, 5],
            "kernels": [3, 5],
            "dropouts": [0.5, 0.5],
            "dense_width": 7,
            "dense_dropout": 0.5,
        },
    ),
    "thesis-keras": small("thesis-keras", gate_order="ifgo", recurrent_activation="hard-sigmoid"),
    "demetrakopoulos": small("demetrakopoulos", slope=0.3, epsilon=0.1),
}
INPUTS = {
    "tempcnn": np.random.default_rng(2).standard_normal((11, 3, 9)).astype(np.float32),
    "thesis-keras": X,
    "demetrakopoulos": X,
}


def written(folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    spec = CASES[name]
    write_tensors(folder / "weights.safetensors", random_parameters(spec))
    (folder / "model.json").write_text(spec.to_json())
    (folder / "metadata.json").write_text(json.dumps({"harness.model": spec.model}))
    write_tensors(folder / "x.safetensors", {"x": INPUTS[name]})
    return folder / "weights.safetensors"


@pytest.fixture(params=WRITTEN)
def worker(request: pytest.FixtureRequest, workers: Callable[[str], Worker]) -> Worker:
    return workers(request.param)


@pytest.fixture
def pytorch(workers: Callable[[str], Worker]) -> Worker:
    return workers("python/pytorch")


def answers(worker: Worker, weights: Path, precision: str = "float32", batch_size: int | None = 3) -> np.ndarray:
    worker.request("load", path=str(weights), precision=precision)
    given, out = weights.with_name("x.safetensors"), weights.with_name("y.safetensors")
    worker.request("predict", inputs=str(given), outputs=str(out), batch_size=batch_size)
    (found,) = read_tensors(out).values()
    return found


@pytest.mark.parametrize("name", CASES)
def test_it_holds_the_weights_bit_for_bit_and_answers_as_pytorch_does(
    worker: Worker, pytorch: Worker, tmp_path: Path, name: str
) -> None:
    weights = written(tmp_path, name)
    loaded, expected = (asked.request("load", path=str(weights)) for asked in (worker, pytorch))
    assert {key: loaded[key] for key in ("inputs", "outputs", "metadata")} == {
        key: expected[key] for key in ("inputs", "outputs", "metadata")
    }
    worker.request("parameters", outputs=str(tmp_path / "held.safetensors"))
    held, stored = read_tensors(tmp_path / "held.safetensors"), random_parameters(CASES[name])
    assert held.keys() == stored.keys()
    assert all(held[key].dtype == array.dtype for key, array in stored.items())
    assert all(held[key].tobytes() == array.tobytes() for key, array in stored.items())
    for precision, limit in (("float32", 1e-5), ("float64", 1e-12)):
        found, wanted = (answers(asked, weights, precision) for asked in (worker, pytorch))
        assert found.dtype == wanted.dtype == np.dtype(precision)
        assert found.shape == wanted.shape
        assert 0 < np.abs(wanted).max() < 100
        assert np.abs(found - wanted).max() < limit
        assert np.abs(found - answers(worker, weights, precision, batch_size=None)).max() < limit
    if name != "tempcnn":
        assert np.abs(found - by_hand(X, stored, CASES[name])).max() < 1e-12


def test_it_tells_what_its_layers_put_out(worker: Worker, pytorch: Worker, tmp_path: Path) -> None:
    for name, layers in (("tempcnn", ["conv2", "norm1", "dense", "classifier"]), ("thesis-keras", ["lstm2", "norm1"])):
        weights = written(tmp_path / name, name)
        found = []
        for asked in (worker, pytorch):
            asked.request("load", path=str(weights))
            out = tmp_path / "layers.safetensors"
            asked.request("activations", inputs=str(weights.with_name("x.safetensors")), names=layers, outputs=str(out))
            found.append(read_tensors(out))
        assert set(found[0]) == set(found[1]) == set(layers)
        assert all(np.abs(found[0][layer] - found[1][layer]).max() < 1e-5 for layer in layers)
        with pytest.raises(BadInputError, match="the model has no layer 'nobody'"):
            worker.request(
                "activations",
                inputs=str(weights.with_name("x.safetensors")),
                names=["nobody"],
                outputs=str(tmp_path / "none.safetensors"),
            )
        # What told is gone again.
        assert np.abs(answers(worker, weights) - answers(pytorch, weights)).max() < 1e-5


def test_its_own_call_is_timed(worker: Worker, tmp_path: Path) -> None:
    weights = written(tmp_path, "tempcnn")
    worker.request("load", path=str(weights))
    timed = worker.request("time", inputs=str(tmp_path / "x.safetensors"), batch_sizes=[1, 4], seconds=0.05, repeats=3)
    assert [batch["batch_size"] for batch in timed["batches"]] == [1, 4]
    assert all(min(batch["seconds"]) > 0 for batch in timed["batches"])


def refused(worker: Worker, kind: type[HarnessError], weights: Path) -> str:
    with pytest.raises(kind) as caught:
        worker.request("load", path=str(weights))
    assert "\n" not in caught.value.line()
    return caught.value.line()


def test_what_is_no_model_is_told_in_one_line(worker: Worker, tmp_path: Path) -> None:
    weights = written(tmp_path, "tempcnn")
    good, specification = random_parameters(CASES["tempcnn"]), tmp_path / "model.json"

    def with_weights(changed: dict[str, np.ndarray]) -> str:
        write_tensors(weights, changed)
        return refused(worker, BadInputError, weights)

    assert "lacks 'conv1.bias'" in with_weights({name: value for name, value in good.items() if name != "conv1.bias"})
    assert "has 'extra', which tempcnn does not have" in with_weights(good | {"extra": good["conv1.bias"]})
    said = with_weights(good | {"conv1.bias": np.zeros(3, np.float32)})
    assert "'conv1.bias' must have shape (4" in said
    assert "not (3" in said
    assert "'conv1.bias' must be float32, not float64" in with_weights(good | {"conv1.bias": np.zeros(4)})
    weights.write_bytes(b"nothing of the kind")
    assert str(weights) in refused(worker, BadInputError, weights)
    write_tensors(weights, good)
    text = specification.read_text()
    for wrong in ("{", "[]", '{"model": "tempcnn"}'):
        specification.write_text(wrong)
        assert "not a model specification" in refused(worker, BadInputError, weights)
    for model in ("nobody", "../rtorch/tempcnn", "TempCNN", "weights"):
        specification.write_text(json.dumps(json.loads(text) | {"model": model}))
        assert f"model '{model}' is not supported by {worker.runtime.name}" in refused(
            worker, UnsupportedError, weights
        )
    specification.unlink()
    assert str(specification) in refused(worker, BadInputError, weights)
    # It goes on.
    specification.write_text(text)
    assert answers(worker, weights).shape == (11, 4)


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [("nope", 3, "nope"), ("gate_order", "iiog", "gate_order"), ("cell_activation", "relu", "relu")],
)
def test_settings_that_a_model_does_not_take_are_bad_input(
    worker: Worker, tmp_path: Path, setting: str, value: object, words: str
) -> None:
    weights = written(tmp_path, "thesis-keras")
    specification = json.loads(CASES["thesis-keras"].to_json())
    specification["hyperparameters"][setting] = value
    (tmp_path / "model.json").write_text(json.dumps(specification))
    assert words in refused(worker, BadInputError, weights)


def test_inputs_of_another_shape_are_bad_input(worker: Worker, tmp_path: Path) -> None:
    weights = written(tmp_path, "tempcnn")
    for wrong in (np.zeros((2, 3, 8), np.float32), np.zeros((2, 3, 9)), np.zeros((2, 3), np.float32)):
        write_tensors(tmp_path / "x.safetensors", {"x": wrong})
        with pytest.raises(BadInputError, match="'x'"):
            answers(worker, weights)
    write_tensors(tmp_path / "x.safetensors", {"z": np.zeros((2, 3, 9), np.float32)})
    with pytest.raises(BadInputError, match="'z'"):
        answers(worker, weights)


# Julia compiles all of it anew for another host.
@pytest.mark.slow
def test_flux_in_a_plain_julia_holds_what_a_file_has_and_answers_as_pytorch_does(
    pytorch: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (here := availability(RUNTIMES["julia/flux"])).installed:
        pytest.skip(f"julia/flux: {here.reason}; install it with: {here.install}")
    monkeypatch.setenv(HOST_VARIABLE, "julia")
    weights = written(tmp_path, "tempcnn")
    bits = random_parameters(CASES["tempcnn"])
    # Bits that arithmetic would not keep: a NaN that says something, the zero below zero, a number too small to be normal.
    bits["conv1.weight"].reshape(-1).view(np.uint32)[:3] = (0x7FC12345, 0x80000000, 0x00000001)
    bits["dense.weight"].reshape(-1).view(np.uint32)[:3] = (0xFFC00042, 0x80000000, 0x007FFFFF)
    with Worker.start(RUNTIMES["julia/flux"], tmp_path / "log") as worker:
        assert worker.request("describe")["host"] == "julia"
        assert np.abs(answers(worker, weights) - answers(pytorch, weights)).max() < 1e-5
        write_tensors(weights, bits)
        for precision in ("float32", "float64"):
            worker.request("load", path=str(weights), precision=precision)
            worker.request("parameters", outputs=str(tmp_path / "held.safetensors"))
            held = read_tensors(tmp_path / "held.safetensors")
            assert held.keys() == bits.keys()
            assert all(held[key].tobytes() == array.tobytes() for key, array in bits.items())
