"""ConvLSTM in Keras, on any of its backends.

Shi, Chen, Wang, Yeung, Wong, Woo (2015): Convolutional LSTM Network: A Machine Learning Approach for Precipitation
Nowcasting. Advances in Neural Information Processing Systems 28. https://arxiv.org/abs/1506.04214

Needs nothing but Keras 3. Layers are named as the canonical parameters of the harness begin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

#: The package under which Keras saves what is defined here; to load such a file, import this module first.
PACKAGE = "eo-interop"


@keras.saving.register_keras_serializable(PACKAGE)
class HardSigmoid(layers.Layer):
    """clip(slope x + 0.5, 0, 1), with a slope of 0.2 as in Keras 1 and 2; that of Keras 3 rises by 1/6."""

    def __init__(self, slope: float = 0.2, **settings: Any) -> None:
        super().__init__(**settings)
        self.slope = slope

    def call(self, x: Any) -> Any:
        """How far a gate is open, 0 to 1."""
        return ops.clip(ops.add(ops.multiply(x, self.slope), 0.5), 0.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        """See Layer."""
        return {**super().get_config(), "slope": self.slope}


@keras.saving.register_keras_serializable(PACKAGE)
class GateBias(keras.initializers.Initializer):
    """Zeros, but for the forget gate, the second of Keras' four; of itself Keras can begin it with 0 or 1."""

    def __init__(self, forget: float) -> None:
        self.forget = forget

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        """The bias of the gates i, f, c, o of one layer."""
        filters = shape[0] // 4
        gates = [ops.full((filters,), value, dtype) for value in (0.0, self.forget, 0.0, 0.0)]
        return ops.concatenate(gates)

    def get_config(self) -> dict[str, Any]:
        """See Initializer."""
        return {"forget": self.forget}


def activation(name: str, slope: float) -> str | layers.Layer:
    """What a layer takes as its activation: ``linear``, ``tanh`` or ``leaky-relu`` with a slope."""
    return layers.LeakyReLU(negative_slope=slope) if name == "leaky-relu" else name


def convlstm(
    *,
    bands: int,
    rows: int,
    columns: int,
    filters: Sequence[int] = (64, 64, 64, 64),
    kernels: Sequence[int] = (7, 5, 3, 1),
    cell_activation: str = "linear",
    recurrent_activation: str = "sigmoid",
    layer_activation: str = "leaky-relu",
    slope: float = 0.01,
    gate_order: str = "ifog",
    forget_bias: float = 1.0,
    epsilon: float = 1e-3,
    momentum: float = 0.01,
    output_kernel: Sequence[int] = (3, 3, 3),
    head: str = "sigmoid",
) -> keras.Model:
    """Stacked convolutional LSTMs, then a 3-D convolution to one band.

    Input ``x`` (sample, band, time, row, column), output (sample, 1, time, row, column): what follows, as many frames as were
    seen. Every layer is followed by an activation, every layer but the last by batch normalisation too. ``momentum`` is the
    weight of the new value, Keras' own the rest to 1. ``gate_order`` is that of canonical parameters; Keras' layers always
    hold i, f, c, o, whose c is g.
    """
    for name, value, known in (
        ("cell_activation", cell_activation, ("linear", "tanh", "leaky-relu")),
        ("layer_activation", layer_activation, ("linear", "tanh", "leaky-relu")),
        ("recurrent_activation", recurrent_activation, ("sigmoid", "hard-sigmoid")),
        ("head", head, ("sigmoid",)),
    ):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, not '{value}'")
    if sorted(gate_order) != sorted("ifog"):
        raise ValueError(f"gate_order must hold i, f, o and g once each, not '{gate_order}'")
    given = keras.Input((bands, None, rows, columns), name="x")
    # Keras' layers take (sample, time, row, column, band).
    x = layers.Permute((2, 3, 4, 1), name="bands_last")(given)
    for index, (width, kernel) in enumerate(zip(filters, kernels, strict=True), start=1):
        x = layers.ConvLSTM2D(
            width,
            kernel,
            padding="same",
            activation=activation(cell_activation, slope),
            recurrent_activation=HardSigmoid() if recurrent_activation == "hard-sigmoid" else recurrent_activation,
            bias_initializer="zeros" if forget_bias in (0.0, 1.0) else GateBias(forget_bias),
            unit_forget_bias=forget_bias == 1.0,
            return_sequences=True,
            name=f"lstm{index}",
        )(x)
        if layer_activation == "leaky-relu":
            x = layers.LeakyReLU(negative_slope=slope, name=f"activation{index}")(x)
        elif layer_activation != "linear":
            x = layers.Activation(layer_activation, name=f"activation{index}")(x)
        if index < len(filters):
            x = layers.BatchNormalization(epsilon=epsilon, momentum=1.0 - momentum, name=f"norm{index}")(x)
    x = layers.Conv3D(1, tuple(output_kernel), padding="same", activation="sigmoid", name="output")(x)
    x = layers.Permute((4, 1, 2, 3), name="band_first")(x)
    return keras.Model(given, x, name="convlstm")


#: What the harness builds from a model specification, with its hyper-parameters, the size of its frames and its head as
#: keywords.
MODEL = convlstm
