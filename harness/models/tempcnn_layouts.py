"""TempCNN's weights as others name and lay them out: PyTorch's state dicts, and Keras' layers.

Arrays of Keras are turned by the rules of `harness.models.keras_layout`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.errors import ModelError
from harness.models.keras_layout import canonical_kernel, channels_first
from harness.models.layouts import Array, Canonical, KerasLayer, StateDictLayout
from harness.models.spec import Head

_KINDS = r"(weight|bias|running_mean|running_var)"

STATE_DICTS: tuple[StateDictLayout, ...] = (
    StateDictLayout(
        "canonical",
        ((rf"(conv\d+|norm\d+|dense|dense_norm|classifier)\.{_KINDS}", r"\1.\2"),),
    ),
    # The class TempCNN of the package breizhcrops, which ends in a log-softmax and takes (sample, time, band).
    StateDictLayout(
        "BreizhCrops'",
        (
            (rf"conv_bn_relu(\d+)\.block\.0\.{_KINDS}", r"conv\1.\2"),
            (rf"conv_bn_relu(\d+)\.block\.1\.{_KINDS}", r"norm\1.\2"),
            (rf"dense\.block\.0\.{_KINDS}", r"dense.\1"),
            (rf"dense\.block\.1\.{_KINDS}", r"dense_norm.\1"),
            (rf"logsoftmax\.0\.{_KINDS}", r"classifier.\1"),
        ),
        head="log-softmax",
    ),
)


def sizes_of(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """What ``tempcnn.build`` needs beside head and preset, from the shapes of canonical parameters.

    Raises ModelError where a weight is missing or the shapes contradict each other.
    """
    convolutions = 0
    while f"conv{convolutions + 1}.weight" in shapes:
        convolutions += 1
    kernels = [_shape(shapes, f"conv{index}.weight", 3) for index in range(1, max(convolutions, 1) + 1)]
    dense, classifier = _shape(shapes, "dense.weight", 2), _shape(shapes, "classifier.weight", 2)
    dates, rest = divmod(dense[1], kernels[-1][0])
    if rest or not dates:
        raise ModelError(
            f"'dense.weight' has {dense[1]} inputs, which is no multiple of the {kernels[-1][0]} channels before it"
        )
    return {
        "bands": kernels[0][1],
        "dates": dates,
        "classes": classifier[0],
        "hyperparameters": {
            "filters": [kernel[0] for kernel in kernels],
            "kernels": [kernel[2] for kernel in kernels],
            "dropouts": [0.0] * len(kernels),
            "dense_width": dense[0],
            "dense_dropout": 0.0,
        },
    }


def _shape(shapes: Mapping[str, tuple[int, ...]], name: str, axes: int) -> tuple[int, ...]:
    if name not in shapes:
        raise ModelError(f"lacks '{name}'")
    shape = shapes[name]
    if len(shape) != axes or min(shape) < 1:
        raise ModelError(f"'{name}' must have {axes} axes of at least 1, not shape {shape}")
    return shape


#: Layers without variables that change nothing when a model is used.
_SILENT = frozenset({"Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise", "InputLayer"})

#: What must be set as here, by class of layer, for a layer to compute what TempCNN does.
_REQUIRED: dict[str, dict[str, Any]] = {
    "Conv1D": {
        "padding": "same",
        "strides": [1],
        "dilation_rate": [1],
        "groups": 1,
        "data_format": "channels_last",
        "use_bias": True,
    },
    "BatchNormalization": {"center": True, "scale": True},
    "Dense": {"use_bias": True},
}

_EPSILON = 1e-5

#: Keras' last activation and the head that it makes.
_HEADS: dict[str, Head] = {"linear": "logits", "softmax": "softmax", "log_softmax": "log-softmax"}


def from_keras(layers: Sequence[KerasLayer]) -> Canonical:
    """Canonical parameters of a chain of Keras layers that computes TempCNN.

    Raises ModelError, with the layer's name, on a layer that TempCNN does not have, in another order, or set otherwise: the
    same weights would be another function.
    """
    steps = _steps([layer for layer in layers if layer.kind not in _SILENT])
    parameters: dict[str, Array] = {}
    blocks = _Blocks(steps)
    convolutions = 0
    channels = 0
    while blocks.next_is("Conv1D"):
        convolutions += 1
        layer = blocks.take("Conv1D")
        kernel, bias = _arrays(layer, 2)
        channels = int(kernel.shape[-1])
        parameters[f"conv{convolutions}.weight"] = _turned(layer, kernel, 3)
        parameters[f"conv{convolutions}.bias"] = bias
        parameters |= _normalisation(blocks.take("BatchNormalization"), f"norm{convolutions}", 2)
        blocks.take("relu")
    if not convolutions:
        raise ModelError(f"begins with {blocks.here()}, TempCNN with a convolution")
    transposed = blocks.next_is("Permute")
    if transposed:
        blocks.take("Permute")
    blocks.take("Flatten")
    layer = blocks.take("Dense")
    kernel, bias = _arrays(layer, 2)
    weight = _turned(layer, kernel, 2)
    if weight.shape[1] % channels:
        raise ModelError(f"layer '{layer.name}' has {weight.shape[1]} inputs, no multiple of {channels} channels")
    if not transposed:
        weight = channels_first(weight, channels)
    parameters |= {"dense.weight": weight, "dense.bias": bias}
    parameters |= _normalisation(blocks.take("BatchNormalization"), "dense_norm", 1)
    blocks.take("relu")
    layer = blocks.take("Dense")
    kernel, bias = _arrays(layer, 2)
    parameters |= {"classifier.weight": _turned(layer, kernel, 2), "classifier.bias": bias}
    head: Head = "logits"
    for activation, made in _HEADS.items():
        if blocks.next_is(activation):
            blocks.take(activation)
            head = made
    blocks.end()
    contiguous = {name: np.ascontiguousarray(array) for name, array in parameters.items()}
    return Canonical(contiguous, "Keras' layers", head)


class _Blocks:
    """The layers and activations of a chain, taken one after the other by kind."""

    def __init__(self, steps: Sequence[tuple[str, KerasLayer]]) -> None:
        self.steps = list(steps)

    def next_is(self, kind: str) -> bool:
        return bool(self.steps) and self.steps[0][0] == kind

    def here(self) -> str:
        return f"layer '{self.steps[0][1].name}' ({self.steps[0][0]})" if self.steps else "nothing"

    def take(self, kind: str) -> KerasLayer:
        if not self.next_is(kind):
            raise ModelError(f"has {self.here()} where TempCNN has {kind}")
        return self.steps.pop(0)[1]

    def end(self) -> None:
        if self.steps:
            raise ModelError(f"has {self.here()} where TempCNN ends")


def _steps(layers: Sequence[KerasLayer]) -> list[tuple[str, KerasLayer]]:
    """Layers by class, each followed by the activation that it carries; activations that do nothing are left out."""
    steps: list[tuple[str, KerasLayer]] = []
    for layer in layers:
        _check_settings(layer)
        if layer.kind == "Softmax":
            if layer.settings.get("axis", -1) not in (-1, 1):
                raise ModelError(
                    f"layer '{layer.name}' has axis {layer.settings['axis']}, TempCNN's classes are the last"
                )
            steps.append(("softmax", layer))
        elif layer.kind == "ReLU":
            unusual = {key: layer.settings.get(key) for key in ("max_value", "negative_slope", "threshold")}
            if any(unusual.values()):
                raise ModelError(f"layer '{layer.name}' is no plain ReLU: {unusual}")
            steps.append(("relu", layer))
        elif layer.kind == "Permute":
            if list(layer.settings.get("dims", [])) != [2, 1]:
                raise ModelError(f"layer '{layer.name}' has dims {layer.settings.get('dims')}, not [2, 1]")
            steps.append(("Permute", layer))
        elif layer.kind != "Activation":
            steps.append((layer.kind, layer))
        activation = layer.settings.get("activation", "linear")
        if not isinstance(activation, str):
            raise ModelError(f"layer '{layer.name}' has an activation of its own, which TempCNN does not have")
        if activation != "linear":
            steps.append((activation, layer))
    # A first exchange of time and band only says how the input comes.
    return steps[1:] if steps and steps[0][0] == "Permute" else steps


def _check_settings(layer: KerasLayer) -> None:
    for key, wanted in _REQUIRED.get(layer.kind, {}).items():
        found = layer.settings.get(key)
        if found != wanted:
            raise ModelError(f"layer '{layer.name}' has {key} {found}, TempCNN {wanted}")
    policy = layer.settings.get("dtype", "float32")
    policy = policy.get("config", {}) if isinstance(policy, dict) else policy
    policy = policy.get("name") if isinstance(policy, dict) else policy
    if layer.arrays and policy != "float32":
        raise ModelError(f"layer '{layer.name}' computes in {policy}, the reference model in float32")


def _arrays(layer: KerasLayer, count: int) -> tuple[Array, ...]:
    if len(layer.arrays) != count:
        raise ModelError(f"layer '{layer.name}' holds {len(layer.arrays)} variables, not {count}")
    return layer.arrays


def _turned(layer: KerasLayer, kernel: Array, axes: int) -> Array:
    """A kernel of so many axes in canonical layout."""
    if kernel.ndim != axes or 0 in kernel.shape:
        raise ModelError(f"layer '{layer.name}' holds a kernel of shape {kernel.shape}, not of {axes} axes")
    return canonical_kernel(kernel)


def _normalisation(layer: KerasLayer, name: str, last: int) -> dict[str, Array]:
    """Batch normalisation over the axis ``last``, that of the channels."""
    axis = layer.settings.get("axis")
    if axis not in (-1, last, [-1], [last]):
        raise ModelError(f"layer '{layer.name}' normalises over axis {axis}, TempCNN over the channels ({last})")
    epsilon = layer.settings.get("epsilon")
    if not isinstance(epsilon, int | float) or np.float32(epsilon) != np.float32(_EPSILON):
        raise ModelError(
            f"layer '{layer.name}' has epsilon {epsilon}, the reference model {_EPSILON:g}: with the same weights they are "
            "two functions"
        )
    arrays = _arrays(layer, 4)
    return {
        f"{name}.{part}": array
        for part, array in zip(("weight", "bias", "running_mean", "running_var"), arrays, strict=True)
    }
