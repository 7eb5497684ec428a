"""Canonical parameters in Keras' layout, and back: explicit rules, exact to the bit.

Keras' layers hold their variables in this order and layout, with channels last:

================================ ==============================================================================
convolution                      kernel (*kernel, in, out), bias (out)
dense                            kernel (in, out), bias (out)
dense, after a flattening        its inputs run over positions, then channels; canonically over channels, then
                                 positions
batch normalisation              gamma, beta, moving mean, moving variance (channel)
convolutional LSTM               kernel (*kernel, in, 4 out), recurrent kernel (*kernel, out, 4 out), bias (4 out);
                                 gates in the order i, f, c, o, whose c is g, and canonically in that of the
                                 hyper-parameter ``gate_order``, with one weight for input and hidden state
================================ ==============================================================================

Layers have the names of the specification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import ModelError
from harness.models.spec import Layer, ModelSpec

Array = NDArray[Any]

#: How Keras' recurrent layers order their gates: input, forget, candidate, output.
KERAS_GATES = "ifgo"


def to_keras(spec: ModelSpec, parameters: Mapping[str, Array]) -> dict[str, list[Array]]:
    """The variables of every layer, in Keras' order and layout, by name of the layer.

    ``parameters``: canonical, all of the specification. Raises ModelError on a kind of layer without a rule.
    """
    found = {}
    for layer in spec.layers:
        _check_kind(spec, layer)
        arrays = [parameters[parameter.name] for parameter in layer.parameters]
        if layer.kind == "convolution":
            arrays[0] = keras_kernel(arrays[0])
        elif layer.kind == "dense":
            arrays[0] = keras_kernel(_positions_first(arrays[0], flattened_channels(spec, layer)))
        elif layer.kind == "convolutional-lstm":
            order = spec.hyperparameters["gate_order"]
            weight, bias = (reordered_gates(array, order, KERAS_GATES) for array in arrays)
            inputs = weight.shape[1] - weight.shape[0] // 4
            arrays = [keras_kernel(weight[:, :inputs]), keras_kernel(weight[:, inputs:]), bias]
        found[layer.name] = [np.ascontiguousarray(array) for array in arrays]
    return found


def from_keras(spec: ModelSpec, variables: Mapping[str, Sequence[Array]]) -> dict[str, Array]:
    """Canonical parameters by name: the inverse of :func:`to_keras`.

    Raises ModelError where a layer is missing, or holds another number of variables or other shapes than it must.
    """
    found: dict[str, Array] = {}
    for layer in spec.layers:
        _check_kind(spec, layer)
        arrays = list(variables.get(layer.name, ()))
        count = 3 if layer.kind == "convolutional-lstm" else len(layer.parameters)
        if len(arrays) != count:
            raise ModelError(
                f"layer '{layer.name}' holds {len(arrays)} variables in Keras, not {count}", where=spec.model
            )
        if layer.kind == "convolution":
            arrays[0] = canonical_kernel(arrays[0])
        elif layer.kind == "dense":
            arrays[0] = channels_first(canonical_kernel(arrays[0]), flattened_channels(spec, layer))
        elif layer.kind == "convolutional-lstm":
            arrays = _joined(spec, layer, arrays)
        for parameter, array in zip(layer.parameters, arrays, strict=True):
            if array.shape != parameter.shape:
                raise ModelError(
                    f"'{parameter.name}' from Keras must have shape {parameter.shape}, not {array.shape}",
                    where=spec.model,
                )
            found[parameter.name] = np.ascontiguousarray(array)
    return found


def keras_kernel(weight: Array) -> Array:
    """(out, in, *kernel) to (*kernel, in, out)."""
    return weight.transpose(*range(2, weight.ndim), 1, 0)


def canonical_kernel(kernel: Array) -> Array:
    """(*kernel, in, out) to (out, in, *kernel): the inverse of :func:`keras_kernel`."""
    return kernel.transpose(-1, -2, *range(kernel.ndim - 2))


def reordered_gates(array: Array, order: str, wanted: str) -> Array:
    """Four blocks of equal length along the first axis, one per gate, in another order of the gates."""
    blocks = dict(zip(order, np.split(array, 4), strict=True))
    return np.concatenate([blocks[gate] for gate in wanted])


def channels_first(weight: Array, channels: int) -> Array:
    """Inputs (out, position x channel) to (out, channel x position)."""
    return weight.reshape(len(weight), -1, channels).transpose(0, 2, 1).reshape(weight.shape)


def flattened_channels(spec: ModelSpec, layer: Layer) -> int:
    """How many channels were flattened into the inputs of a dense layer; 1 where none were.

    They were where the layer before has fewer outputs than this one has inputs. Raises ModelError where the one is no
    multiple of the other.
    """
    before = [one for one in spec.layers[: spec.layers.index(layer)] if one.kind in ("convolution", "dense")]
    if not before:
        return 1
    inputs, outputs = layer.parameters[0].shape[1], before[-1].parameters[0].shape[0]
    if inputs % outputs:
        raise ModelError(
            f"layer '{layer.name}' has {inputs} inputs, no multiple of the {outputs} before", where=spec.model
        )
    return outputs if inputs > outputs else 1


def _positions_first(weight: Array, channels: int) -> Array:
    """Inputs (out, channel x position) to (out, position x channel)."""
    return weight.reshape(len(weight), channels, -1).transpose(0, 2, 1).reshape(weight.shape)


def _joined(spec: ModelSpec, layer: Layer, arrays: Sequence[Array]) -> list[Array]:
    """Weight and bias of a convolutional LSTM from Keras' three variables. Raises ModelError where they do not fit."""
    outputs, inputs, *kernel = layer.parameters[0].shape
    shapes = [(*kernel, inputs - outputs // 4, outputs), (*kernel, outputs // 4, outputs), (outputs,)]
    for part, array, shape in zip(("kernel", "recurrent kernel", "bias"), arrays, shapes, strict=True):
        if array.shape != shape:
            raise ModelError(
                f"the {part} of '{layer.name}' from Keras must have shape {shape}, not {array.shape}", where=spec.model
            )
    weight = np.concatenate([canonical_kernel(array) for array in arrays[:2]], axis=1)
    order = spec.hyperparameters["gate_order"]
    return [reordered_gates(array, KERAS_GATES, order) for array in (weight, arrays[2])]


def _check_kind(spec: ModelSpec, layer: Layer) -> None:
    if layer.kind not in ("convolution", "dense", "batch-normalisation", "convolutional-lstm"):
        raise ModelError(f"layer '{layer.name}' is a {layer.kind}, which has no rule for Keras", where=spec.model)
