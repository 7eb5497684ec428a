"""Random networks in Keras, one function per family, channels last as Keras has them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tests.networks.drawn import SAMPLES, Choices, Family, Network


def gelu(x: Any) -> Any:
    """The one of tanh: of the exact one tf2onnx makes an operator that ONNX does not have."""
    return keras.activations.gelu(x, approximate=True)


ACTIVATIONS: tuple[Any, ...] = (
    gelu,
    *(
        "relu",
        "relu6",
        "silu",
        "selu",
        "elu",
        "leaky_relu",
        "hard_silu",
        "hard_sigmoid",
        "softplus",
        "softsign",
    ),
    *("tanh", "sigmoid", "mish"),
)


def normalisation(c: Choices) -> layers.Layer:
    return c.of(
        layers.BatchNormalization,
        layers.LayerNormalization,
        lambda: layers.GroupNormalization(2),
        layers.UnitNormalization,
        lambda: layers.Activation("linear"),
    )()


def head(c: Choices, x: Any) -> Any:
    return layers.Dense(c.number(2, 8), activation=c.of(None, None, "softmax", "sigmoid"))(x)


def block(c: Choices, x: Any, channels: int) -> Any:
    kind = c.of(layers.Conv2D, layers.Conv2D, layers.SeparableConv2D)
    found = kind(channels, c.of(1, 3, 5), padding="same")(x)
    found = layers.Activation(c.of(*ACTIVATIONS))(normalisation(c)(found))
    if c.often(0.3):
        found = layers.DepthwiseConv2D(3, padding="same")(found)
    return layers.Add()((x, found)) if c.often(0.4) else found


def image(c: Choices) -> Network:
    """A classifier of images (sample, row, column, band)."""
    rows, columns, bands, channels = c.number(8, 14), c.number(8, 14), c.number(1, 5), 2 * c.number(2, 5)
    given = keras.Input((rows, columns, bands), name="x")
    x = layers.Conv2D(channels, 3, strides=c.of(1, 2), padding=c.of("same", "valid"))(given)
    for _ in range(c.number(1, 2)):
        x = block(c, x, channels)
    x = c.of(layers.MaxPooling2D, layers.AveragePooling2D)(2, padding=c.of("same", "valid"))(x)
    x = c.of(layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D, layers.Flatten)()(x)
    return Network(keras.Model(given, head(c, x)), {"x": c.values(SAMPLES, rows, columns, bands)})


def decoder(c: Choices) -> Network:
    """A class for every pixel (sample, row, column, class)."""
    rows, columns, bands, channels = 2 * c.number(4, 7), 2 * c.number(4, 7), c.number(1, 4), 2 * c.number(2, 4)
    given = keras.Input((rows, columns, bands), name="x")
    x = block(c, layers.Conv2D(channels, 3, padding="same")(given), channels)
    down = block(c, layers.MaxPooling2D(2)(x), channels)
    up = c.of(
        lambda: layers.UpSampling2D(2, interpolation="nearest"),
        lambda: layers.UpSampling2D(2, interpolation="bilinear"),
        lambda: layers.Conv2DTranspose(channels, 3, strides=2, padding="same"),
    )()(down)
    x = layers.Conv2D(c.number(2, 5), 1)(layers.Concatenate()((x, up)))
    return Network(keras.Model(given, x), {"x": c.values(SAMPLES, rows, columns, bands)})


def recurrent(c: Choices) -> Network:
    """A classifier of series (sample, time, band)."""
    steps, bands, hidden = c.number(3, 12), c.number(1, 6), c.number(3, 10)
    given = keras.Input((steps, bands), name="x")
    kind = c.of(layers.LSTM, layers.LSTM, layers.GRU, layers.SimpleRNN)
    options: dict[str, Any] = {"activation": c.of("tanh", "tanh", "relu")}
    if kind is layers.GRU:
        options["reset_after"] = c.often()
    x = given
    if c.often(0.3):
        x = layers.Conv1D(hidden, 3, padding=c.of("same", "causal"))(x)
    x = c.of(layers.Bidirectional, lambda layer: layer)(kind(hidden, **options))(x)
    return Network(keras.Model(given, head(c, x)), {"x": c.values(SAMPLES, steps, bands)})


def attention(c: Choices) -> Network:
    """A classifier of series (sample, time, band) by attention."""
    steps, bands, width = c.number(3, 10), c.number(1, 6), 4 * c.number(1, 3)
    given = keras.Input((steps, bands), name="x")
    x = layers.Dense(width)(given)
    found = layers.MultiHeadAttention(c.of(1, 2, 4), c.number(2, 4))(x, x)
    x = layers.LayerNormalization()(layers.Add()((x, found)))
    found = layers.Dense(width)(layers.Dense(2 * width, activation=c.of(*ACTIVATIONS))(x))
    x = layers.GlobalAveragePooling1D()(normalisation_of_series(c)(layers.Add()((x, found))))
    return Network(keras.Model(given, head(c, x)), {"x": c.values(SAMPLES, steps, bands)})


def normalisation_of_series(c: Choices) -> layers.Layer:
    return c.of(layers.LayerNormalization, layers.BatchNormalization)()


def several_inputs(c: Choices) -> Network:
    """A number and classes from an image and the day of its year."""
    rows, columns, bands, channels = c.number(5, 9), c.number(5, 9), c.number(1, 4), 2 * c.number(2, 4)
    given, day = keras.Input((rows, columns, bands), name="x"), keras.Input((1,), name="day")
    season = layers.Dense(channels)(layers.Concatenate()((ops.sin(day), ops.cos(day))))
    x = block(c, layers.Conv2D(channels, 3, padding="same")(given), channels)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Multiply()((x, season)) if c.often() else layers.Add()((x, season))
    model = keras.Model([given, day], [head(c, x), layers.Dense(1)(x)])
    inputs = {"x": c.values(SAMPLES, rows, columns, bands), "day": c.values(SAMPLES, 1)}
    return Network(model, inputs, ("scores", "value"))


FAMILIES: dict[str, Family] = {
    "image": image,
    "decoder": decoder,
    "recurrent": recurrent,
    "attention": attention,
    "several-inputs": several_inputs,
}


def settled(network: Network, c: Choices, *, trained: bool) -> keras.Model:
    """The model, trained a few steps towards random targets, or with random statistics."""
    model = network.module
    given = [network.inputs[name] for name in network.inputs]
    given = given if len(given) > 1 else given[0]
    if trained:
        found = model.predict_on_batch(given)
        found = found if isinstance(found, list | tuple) else [found]
        wanted = [c.random.standard_normal(np.shape(value)).astype(np.float32) for value in found]
        model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse")
        for _ in range(3):
            model.train_on_batch(given, wanted if len(wanted) > 1 else wanted[0])
        return model
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            # Statistics of a trained network are neither 0 nor 1.
            scale, shift, mean, variance = (np.shape(array) for array in layer.get_weights())
            layer.set_weights(
                [
                    c.random.uniform(0.5, 1.5, scale),
                    c.random.normal(0, 0.3, shift),
                    c.random.normal(0, 0.3, mean),
                    c.random.uniform(0.4, 2.0, variance),
                ]
            )
    return model
