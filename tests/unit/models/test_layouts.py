"""Weights of other makers: every rule there and back, and what no rule knows is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.errors import ModelError
from harness.models.layouts import KerasLayer, check_canonical, check_finite, from_keras, from_state_dict, spec_of
from harness.models.spec import ModelSpec, TensorSpec
from harness.models.tempcnn import build
from tests.unit.workers.keras_files import layer, tempcnn_layers

Array = NDArray[Any]


@st.composite
def specs(draw: st.DrawFn) -> ModelSpec:
    convolutions = draw(st.integers(1, 3))
    return build(
        bands=draw(st.integers(1, 4)),
        dates=draw(st.integers(1, 5)),
        classes=draw(st.integers(2, 4)),
        head=draw(st.sampled_from(["logits", "softmax", "log-softmax"])),
        preset=None,
        hyperparameters={
            "filters": draw(st.lists(st.integers(1, 4), min_size=convolutions, max_size=convolutions)),
            "kernels": draw(st.lists(st.sampled_from([1, 3, 5]), min_size=convolutions, max_size=convolutions)),
            "dropouts": [0.0] * convolutions,
            "dense_width": draw(st.integers(1, 5)),
            "dense_dropout": 0.0,
        },
    )


def parameters_of(spec: ModelSpec, seed: int = 0) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    return {
        parameter.name: (random.normal(size=parameter.shape) ** (2 if parameter.role == "variance" else 1)).astype(
            np.float32
        )
        for parameter in spec.parameters
    }


def equal(first: dict[str, Array], second: dict[str, Array]) -> bool:
    return first.keys() == second.keys() and all(
        first[name].shape == second[name].shape and first[name].tobytes() == second[name].tobytes() for name in first
    )


def breizhcrops(name: str) -> str:
    """The name that the class TempCNN of the package breizhcrops gives a canonical parameter."""
    owner, _, part = name.partition(".")
    if owner.startswith("conv"):
        return f"conv_bn_relu{owner[4:]}.block.0.{part}"
    if owner.startswith("norm"):
        return f"conv_bn_relu{owner[4:]}.block.1.{part}"
    return {"dense": "dense.block.0", "dense_norm": "dense.block.1", "classifier": "logsoftmax.0"}[owner] + f".{part}"


SPEC = build(
    bands=3,
    dates=4,
    classes=5,
    preset=None,
    hyperparameters={
        "filters": [2, 6],
        "kernels": [3, 5],
        "dropouts": [0.0, 0.0],
        "dense_width": 7,
        "dense_dropout": 0.0,
    },
)


@given(specs(), st.sampled_from(["", "module.", "model.", "_orig_mod.module."]), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_state_dict_under_any_known_names_is_the_canonical_one(
    spec: ModelSpec, wrapper: str, foreign: bool, counted: bool
) -> None:
    canonical = parameters_of(spec)
    named = {wrapper + (breizhcrops(name) if foreign else name): array for name, array in canonical.items()}
    if counted:
        named[wrapper + ("conv_bn_relu1.block.1" if foreign else "norm1") + ".num_batches_tracked"] = np.array(7)
    found = from_state_dict("tempcnn", named)
    assert equal(found.parameters, canonical)
    assert found.head == ("log-softmax" if foreign else None)


@given(specs())
@settings(max_examples=60, deadline=None)
def test_sizes_are_read_off_the_weights(spec: ModelSpec) -> None:
    found = spec_of("tempcnn", parameters_of(spec), spec.head)
    assert found.model_copy(update={"preset": spec.preset}) == spec
    check_canonical(found, parameters_of(spec))


@given(specs(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_keras_layers_become_the_canonical_parameters_bit_for_bit(spec: ModelSpec, permuted: bool) -> None:
    canonical = parameters_of(spec)
    activation = {"logits": "linear", "softmax": "softmax", "log-softmax": "log_softmax"}[spec.head]
    found = from_keras("tempcnn", tempcnn_layers(canonical, activation, permuted))
    assert equal(found.parameters, canonical)
    assert found.head == spec.head


def as_keras_computes(layers: list[KerasLayer], series: Array) -> Array:
    """Outputs (sample, class) of Keras layers on series (sample, time, band) by their definitions, in float64."""
    x = series.astype(np.float64)
    for one in layers:
        if one.kind == "Conv1D":
            kernel, bias = (array.astype(np.float64) for array in one.arrays)
            reach = kernel.shape[0] // 2
            padded = np.pad(x, ((0, 0), (reach, reach), (0, 0)))
            x = bias + sum(padded[:, shift : shift + x.shape[1]] @ kernel[shift] for shift in range(len(kernel)))
        elif one.kind == "BatchNormalization":
            gamma, beta, mean, variance = (array.astype(np.float64) for array in one.arrays)
            x = gamma * (x - mean) / np.sqrt(variance + np.float64(np.float32(1e-5))) + beta
        elif one.kind in ("Activation", "ReLU"):
            x = np.maximum(x, 0)
        elif one.kind == "Permute":
            x = x.transpose(0, 2, 1)
        elif one.kind == "Flatten":
            x = x.reshape(len(x), -1)
        elif one.kind == "Dense":
            x = x @ one.arrays[0].astype(np.float64) + one.arrays[1]
    return x


@pytest.mark.parametrize("permuted", [False, True])
def test_the_canonical_parameters_compute_what_the_keras_layers_do(permuted: bool) -> None:
    torch = pytest.importorskip("torch")
    from harness.workers.pytorch.model import build as module_of
    from harness.workers.pytorch.model import fill, widened

    layers = tempcnn_layers(parameters_of(SPEC), permuted=permuted)
    module = module_of(SPEC).eval()
    fill(module, SPEC, from_keras("tempcnn", layers).parameters, "here")
    series = np.random.default_rng(1).normal(size=(9, 4, 3))
    with torch.inference_mode():
        answers = widened(module)(torch.from_numpy(series.transpose(0, 2, 1).copy())).numpy()
    # Axes of different lengths, so that no exchange goes unseen.
    np.testing.assert_allclose(answers, as_keras_computes(layers, series), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda p: p.pop("dense.weight"), "lacks 'dense.weight'"),
        (lambda p: p.pop("conv1.weight"), "lacks 'conv1.weight'"),
        (lambda p: p.update({"conv1.weight": p["conv1.weight"][:, :, 0]}), "'conv1.weight' must have 3 axes"),
        (lambda p: p.update({"dense.weight": p["dense.weight"][:, 1:]}), "no multiple of the 6 channels"),
        (lambda p: p.update({"conv1.weight": p["conv1.weight"][:, :, :2]}), "kernels must be odd"),
    ],
)
def test_weights_that_no_specification_fits(change: Any, expected: str) -> None:
    parameters = parameters_of(SPEC)
    change(parameters)
    with pytest.raises(ModelError) as caught:
        spec_of("tempcnn", parameters, "logits")
    assert expected in caught.value.what


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda p: p.pop("norm2.running_var"), "lacks 'norm2.running_var'"),
        (lambda p: p.update({"conv9.bias": p["conv1.bias"]}), "has 'conv9.bias', which tempcnn does not have"),
        (lambda p: p.update({"dense.bias": p["dense.bias"][1:]}), "'dense.bias' must have shape (7,), not (6,)"),
        (lambda p: p.update({"dense.bias": p["dense.bias"].astype(np.float64)}), "must be float32, not float64"),
    ],
)
def test_parameters_that_do_not_fit_the_specification(change: Any, expected: str) -> None:
    parameters = parameters_of(SPEC)
    change(parameters)
    with pytest.raises(ModelError) as caught:
        check_canonical(SPEC, parameters)
    assert expected in caught.value.what


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_told_with_its_place(value: float) -> None:
    parameters = parameters_of(SPEC)
    parameters["conv2.weight"][3, 1, 4] = value
    with pytest.raises(ModelError) as caught:
        check_finite(parameters)
    assert caught.value.what == "'conv2.weight' is not finite at [3, 1, 4] (1 of 60 values)"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["conv1.weight", "attention.weight"], "holds 'attention.weight', which is no parameter of tempcnn"),
        (
            ["conv_bn_relu1.block.0.weight", "head.0.weight"],
            "'head.0.weight', which is no parameter of tempcnn (Breizh",
        ),
        (["module.conv1.weight", "conv2.weight"], "holds 'module.conv1.weight'"),
        (["conv1.weight.extra"], "'conv1.weight.extra'"),
        ([], "holds no parameters"),
    ],
)
def test_names_that_no_rule_knows(names: list[str], expected: str) -> None:
    with pytest.raises(ModelError) as caught:
        from_state_dict("tempcnn", {name: np.zeros(1, np.float32) for name in names})
    assert expected in caught.value.what


def test_there_must_be_such_a_model() -> None:
    with pytest.raises(ModelError) as caught:
        from_state_dict("tempcn", {})
    assert "there is no model 'tempcn'" in caught.value.what


def replaced(layers: list[KerasLayer], name: str, new: KerasLayer | None) -> list[KerasLayer]:
    return [other for old in layers for other in ([new] if old.name == name else [old]) if other is not None]


def changed(name: str, **settings: Any) -> Any:
    return lambda layers: [
        KerasLayer(one.kind, one.name, {**one.settings, **settings}, one.arrays) if one.name == name else one
        for one in layers
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (changed("c2", padding="valid"), "layer 'c2' has padding valid, TempCNN same"),
        (changed("c2", padding="causal"), "layer 'c2' has padding causal"),
        (changed("c1", strides=[2]), "layer 'c1' has strides [2]"),
        (changed("c1", dilation_rate=[2]), "layer 'c1' has dilation_rate [2]"),
        (changed("c1", data_format="channels_first"), "data_format channels_first"),
        (changed("c1", activation="relu"), "has layer 'c1' (relu) where TempCNN has BatchNormalization"),
        (changed("n1", epsilon=1e-3), "layer 'n1' has epsilon 0.001"),
        (changed("n1", axis=1), "layer 'n1' normalises over axis 1"),
        (changed("n1", center=False), "layer 'n1' has center False"),
        (changed("a1", activation="elu"), "has layer 'a1' (elu) where TempCNN has relu"),
        (changed("r", negative_slope=0.3), "layer 'r' is no plain ReLU"),
        (changed("wide", use_bias=False), "layer 'wide' has use_bias False"),
        (changed("wide", dtype="mixed_float16"), "layer 'wide' computes in mixed_float16"),
        (changed("classes", activation="sigmoid"), "has layer 'classes' (sigmoid) where TempCNN ends"),
        (changed("classes", activation={"class_name": "Mine"}), "layer 'classes' has an activation of its own"),
        (lambda layers: replaced(layers, "n2", None), "where TempCNN has BatchNormalization"),
        (lambda layers: replaced(layers, "f", layer("GlobalAveragePooling1D", "g")), "layer 'g' (GlobalAverage"),
        (lambda layers: [*layers, layer("Dense", "more")], "has layer 'more' (Dense) where TempCNN ends"),
        (lambda layers: layers[1:2], "has nothing where TempCNN has BatchNormalization"),
        (lambda layers: [layer("LSTM", "l")], "begins with layer 'l' (LSTM), TempCNN with a convolution"),
    ],
)
def test_keras_layers_that_are_another_function_are_refused_by_name(change: Any, expected: str) -> None:
    with pytest.raises(ModelError) as caught:
        from_keras("tempcnn", change(tempcnn_layers(parameters_of(SPEC))))
    assert expected in caught.value.what


@given(st.permutations(range(1, 4)), st.lists(st.integers(2, 9), min_size=3, max_size=3, unique=True))
def test_the_order_of_axes_is_found_where_sizes_tell_them_apart(rest: list[int], sizes: list[int]) -> None:
    tensor = TensorSpec.model_validate(
        {"name": "x", "axes": [{"name": "sample"}, *({"name": f"a{size}", "size": size} for size in sizes)]}
    )
    order = (0, *rest)
    shape = [7, *(sizes[axis - 1] for axis in rest)]
    assert tensor.order_in(shape) == order
    assert tensor.arranged(order).order_in(shape) == (0, 1, 2, 3)
    assert tensor.order_in([*shape[:-1], 77]) is None
    assert tensor.order_in(shape[1:]) is None
