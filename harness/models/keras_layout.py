"""Canonical parameters in Keras' layout, and back: explicit rules, exact to the bit.

Keras' layers hold their variables in this order and layout, with channels last:

================================ ==============================================================================
convolution                      kernel (*kernel, in, out), bias (out)
dense                            kernel (in, out), bias (out)
dense, after a flattening        its inputs run over positions, then channels; canonically over channels, then
                                 positions
batch normalisation              gamma, beta, moving mean, moving variance (channel)
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


def to_keras(spec: ModelSpec, parameters: Mapping[str, Array]) -> dict[str, list[Array]]:
    """The variables of every layer, in Keras' order and layout, by name of the layer.

    ``parameters``: canonical, all of the specification. Raises ModelError on a kind of layer without a rule.
    """
    found = {}
    for layer in spec.layers:
        _check_kind(spec, layer)
        arrays = [parameters[parameter.name] for parameter in layer.parameters]
        if layer.kind == "convolution":
            arrays[0] = arrays[0].transpose(*range(2, arrays[0].ndim), 1, 0)
        elif layer.kind == "dense":
            arrays[0] = _positions_first(arrays[0], flattened_channels(spec, layer)).T
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
        if len(arrays) != len(layer.parameters):
            raise ModelError(
                f"layer '{layer.name}' holds {len(arrays)} variables in Keras, not {len(layer.parameters)}",
                where=spec.model,
            )
        if layer.kind == "convolution":
            arrays[0] = arrays[0].transpose(-1, -2, *range(arrays[0].ndim - 2))
        elif layer.kind == "dense":
            arrays[0] = _channels_first(arrays[0].T, flattened_channels(spec, layer))
        for parameter, array in zip(layer.parameters, arrays, strict=True):
            if array.shape != parameter.shape:
                raise ModelError(
                    f"'{parameter.name}' from Keras must have shape {parameter.shape}, not {array.shape}",
                    where=spec.model,
                )
            found[parameter.name] = np.ascontiguousarray(array)
    return found


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


def _channels_first(weight: Array, channels: int) -> Array:
    """Inputs (out, position x channel) to (out, channel x position)."""
    return weight.reshape(len(weight), -1, channels).transpose(0, 2, 1).reshape(weight.shape)


def _check_kind(spec: ModelSpec, layer: Layer) -> None:
    if layer.kind not in ("convolution", "dense", "batch-normalisation"):
        raise ModelError(f"layer '{layer.name}' is a {layer.kind}, which has no rule for Keras", where=spec.model)
