from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from random_parameters import random_parameters  # noqa: E402

from harness.models import tempcnn  # noqa: E402
from harness.models.spec import ModelSpec  # noqa: E402
from harness.workers.pytorch.model import build, canonical_state, widened  # noqa: E402
from harness.workers.tensors import read_tensors, write_tensors  # noqa: E402

X = np.random.default_rng(1).standard_normal((9, 3, 8)).astype(np.float32)


def by_hand(x: np.ndarray, weights: dict[str, np.ndarray], convolutions: int) -> np.ndarray:
    """The logits of TempCNN in double precision, written with NumPy from the paper alone."""
    held = {name: array.astype(np.float64) for name, array in weights.items()}
    x = x.astype(np.float64)

    def normalised(values: np.ndarray, name: str) -> np.ndarray:
        over = (1, -1) + (1,) * (values.ndim - 2)
        mean, variance = held[f"{name}.running_mean"].reshape(over), held[f"{name}.running_var"].reshape(over)
        scaled = (values - mean) / np.sqrt(variance + float(np.float32(1e-5)))
        return scaled * held[f"{name}.weight"].reshape(over) + held[f"{name}.bias"].reshape(over)

    for index in range(1, convolutions + 1):
        kernel = held[f"conv{index}.weight"]
        reach = kernel.shape[-1] // 2
        padded = np.pad(x, ((0, 0), (0, 0), (reach, reach)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[-1], axis=2)
        x = np.einsum("nctk,ock->not", windows, kernel) + held[f"conv{index}.bias"][None, :, None]
        x = np.maximum(normalised(x, f"norm{index}"), 0)
    x = x.reshape(len(x), -1) @ held["dense.weight"].T + held["dense.bias"]
    x = np.maximum(normalised(x, "dense_norm"), 0)
    return x @ held["classifier.weight"].T + held["classifier.bias"]


def predicted(asked: Any, folder: Path, precision: str, batch_size: int | None = 4) -> np.ndarray:
    asked("load", path=folder / "weights.safetensors", precision=precision)
    write_tensors(folder / "x", {"x": X})
    asked("predict", inputs=folder / "x", outputs=folder / "y", batch_size=batch_size)
    (array,) = read_tensors(folder / "y").values()
    return array


def test_the_model_computes_what_the_paper_says(source: Path, small_spec: ModelSpec, ask: Callable[[str], Any]) -> None:
    expected = by_hand(X, random_parameters(small_spec), 2)
    asked = ask("python/pytorch")
    double = predicted(asked, source, "float64")
    assert double.dtype == np.float64
    assert np.max(np.abs(double - expected)) < 1e-12
    single = predicted(asked, source, "float32")
    assert single.dtype == np.float32
    assert 0 < np.max(np.abs(single - expected)) < 1e-5


@pytest.mark.parametrize("preset", list(tempcnn.PRESETS))
def test_every_preset_has_the_canonical_parameters(preset: str) -> None:
    spec = tempcnn.build(bands=13, dates=45, classes=9, preset=preset)
    module = build(spec)
    assert [(n, tuple(v.shape)) for n, v in canonical_state(module).items()] == [
        (p.name, p.shape) for p in spec.parameters
    ]
    assert sum(parameter.numel() for parameter in module.parameters()) == spec.trainable_count
    if preset == "breizhcrops":
        assert spec.trainable_count == 3_197_449


@pytest.mark.parametrize("head", ["logits", "log-softmax", "softmax"])
def test_heads(source: Path, small_spec: ModelSpec, ask: Callable[[str], Any], head: str) -> None:
    spec = tempcnn.build(
        bands=3,
        dates=8,
        classes=4,
        head=head,  # type: ignore[arg-type]
        preset=None,
        hyperparameters={
            key: value for key, value in small_spec.hyperparameters.items() if key not in ("bands", "dates", "classes")
        },
    )
    (source / "model.json").write_text(spec.to_json())
    logits = by_hand(X, random_parameters(small_spec), 2)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = {"logits": logits, "softmax": shares, "log-softmax": np.log(shares)}[head]
    assert np.max(np.abs(predicted(ask("python/pytorch"), source, "float64") - expected)) < 1e-12


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_parameters_come_back_bit_for_bit(source: Path, ask: Callable[[str], Any], precision: str) -> None:
    asked = ask("python/pytorch")
    asked("load", path=source / "weights.safetensors", precision=precision)
    asked("parameters", outputs=source / "held")
    assert (source / "held").read_bytes() == (source / "weights.safetensors").read_bytes()


def test_metadata_beside_the_weights_is_exposed(source: Path, ask: Callable[[str], Any]) -> None:
    loaded = ask("python/pytorch")("load", path=source / "weights.safetensors")
    assert loaded["metadata"] == json.loads((source / "metadata.json").read_text())
    assert loaded["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["sample", 3, 8]}]
    assert loaded["outputs"] == [{"name": "logits", "dtype": "float32", "shape": ["sample", 4]}]


def test_layers_can_be_looked_into(source: Path, small_spec: ModelSpec, ask: Callable[[str], Any]) -> None:
    asked = ask("python/pytorch")
    y = predicted(asked, source, "float64")
    asked("activations", inputs=source / "x", names=["conv1", "classifier"], outputs=source / "a")
    found = read_tensors(source / "a")
    assert found["conv1"].shape == (9, 6, 8)
    assert np.max(np.abs(found["classifier"] - y)) < 1e-12
    assert "'conv9'" in asked.refused(
        "bad-input", "activations", inputs=source / "x", names=["conv9"], outputs=source / "a"
    )


def _without(arrays: dict[str, Any]) -> None:
    del arrays["norm1.running_var"]


def _renamed(arrays: dict[str, Any]) -> None:
    arrays["conv1.kernel"] = arrays.pop("conv1.weight")


def _reshaped(arrays: dict[str, Any]) -> None:
    arrays["dense.weight"] = arrays["dense.weight"].T


def _double(arrays: dict[str, Any]) -> None:
    arrays["dense.bias"] = arrays["dense.bias"].astype(np.float64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without, "lacks 'norm1.running_var'"),
        (_renamed, "lacks 'conv1.weight' and has 'conv1.kernel', which tempcnn does not have"),
        (_reshaped, "'dense.weight' must have shape (7, 40), not (40, 7)"),
        (_double, "'dense.bias' must be float32, not float64"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    source: Path, ask: Callable[[str], Any], change: Callable[[dict[str, Any]], None], message: str
) -> None:
    arrays = read_tensors(source / "weights.safetensors")
    change(arrays)
    write_tensors(source / "weights.safetensors", arrays)
    assert message in ask("python/pytorch").refused("bad-input", "load", path=source / "weights.safetensors")


def test_files_beside_the_weights_are_checked(source: Path, ask: Callable[[str], Any]) -> None:
    asked, path = ask("python/pytorch"), source / "weights.safetensors"
    text = (source / "model.json").read_text()
    for content, kind, message in (
        ("{", "bad-input", "not a model specification"),
        ('{"model": "tempcnn"}', "bad-input", "not a model specification"),
        (text.replace('"tempcnn"', '"resnet"'), "unsupported", "model 'resnet' is not supported"),
        (text.replace('"tempcnn"', '"../tempcnn"'), "unsupported", "model '../tempcnn' is not supported"),
        (text.replace('"dense_width"', '"width"'), "bad-input", "cannot be built"),
    ):
        (source / "model.json").write_text(content)
        assert message in asked.refused(kind, "load", path=path)
    (source / "model.json").unlink()
    assert "model.json" in asked.refused("bad-input", "load", path=path)


def test_a_bad_precision_is_refused(source: Path, ask: Callable[[str], Any]) -> None:
    message = ask("python/pytorch").refused(
        "bad-input", "load", path=source / "weights.safetensors", precision="float16"
    )
    assert "float32 or float64" in message


def test_an_oracle_has_the_attributes_that_a_file_can_store(small_spec: ModelSpec) -> None:
    module = torch.nn.Sequential(build(small_spec), torch.nn.LeakyReLU(0.3))
    wide = widened(module)
    assert wide[1].negative_slope == float(np.float32(0.3))
    assert wide[0].norm1.eps == float(np.float32(1e-5))
    assert {value.dtype for value in canonical_state(wide).values()} == {torch.float64}
    assert module[1].negative_slope == 0.3
    assert module[0].norm1.eps == 1e-5


def test_a_state_dict_fits_without_the_harness(source: Path, small_spec: ModelSpec) -> None:
    """What a PyTorch user does with the weights file and ``native/pytorch/tempcnn.py``."""
    module = build(small_spec)
    tensors = {name: torch.from_numpy(array) for name, array in read_tensors(source / "weights.safetensors").items()}
    done = module.load_state_dict(tensors, strict=False)
    assert not done.unexpected_keys
    assert all(name.endswith("num_batches_tracked") for name in done.missing_keys)
