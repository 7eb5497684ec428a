"""SpectralNet in Keras, on any of its backends: physical variables from a reflectance spectrum.

A design of this project, under its licence (MIT). Needs nothing but Keras 3. Layers are named as the canonical parameters of the
harness begin.
"""

from __future__ import annotations

import keras
from keras import layers


def spectralnet(
    *,
    bands: int,
    variables: int,
    filters: int = 6,
    kernel: int = 5,
    dense_width: int = 24,
    head: str = "linear",
) -> keras.Model:
    """A convolution along the spectrum, a dense layer, then the variables.

    Input ``x`` (sample, band); output (sample, variable). Convolution and dense layer are followed by batch normalisation and
    ReLU.
    """
    if head != "linear":
        raise ValueError(f"head must be linear, not '{head}'")
    given = keras.Input((bands,), name="x")
    x = layers.Reshape((bands, 1), name="one_channel")(given)
    x = layers.Conv1D(filters, kernel, padding="same", name="conv1")(x)
    x = layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name="norm1")(x)
    # Band-major: all channels of the first band, then all of the second.
    x = layers.Flatten(name="flatten")(layers.ReLU(name="relu1")(x))
    x = layers.Dense(dense_width, name="dense")(x)
    x = layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name="dense_norm")(x)
    x = layers.Dense(variables, name="output")(layers.ReLU(name="dense_relu")(x))
    return keras.Model(given, x, name="spectralnet")


#: What the harness builds from a model specification, with its hyper-parameters and head as keywords.
MODEL = spectralnet
