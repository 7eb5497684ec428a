"""TempCNN in Keras, on any of its backends.

Pelletier, Webb, Petitjean (2019): Temporal Convolutional Neural Network for the Classification of Satellite Image Time
Series. Remote Sensing 11(5), 523. https://doi.org/10.3390/rs11050523

Needs nothing but Keras 3. Layers are named as the canonical parameters of the harness begin.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers


def tempcnn(
    *,
    bands: int,
    dates: int,
    classes: int,
    filters: Sequence[int] = (64, 64, 64),
    kernels: Sequence[int] = (5, 5, 5),
    dropouts: Sequence[float] = (0.5, 0.5, 0.5),
    dense_width: int = 256,
    dense_dropout: float = 0.5,
    head: str = "logits",
) -> keras.Model:
    """Convolutions over time, then a dense layer, then the classes.

    Input ``x`` (sample, band, time); output (sample, class). Every convolution keeps the length of the series and is
    followed by batch normalisation, ReLU and dropout; so is the dense layer. ``head`` is what the output holds:
    ``logits``, ``log-softmax`` or ``softmax``, over the classes.
    """
    if head not in ("logits", "log-softmax", "softmax"):
        raise ValueError(f"head must be logits, log-softmax or softmax, not '{head}'")
    given = keras.Input((bands, dates), name="x")
    # Keras' convolutions take (sample, time, band).
    x = layers.Permute((2, 1), name="time_first")(given)
    for index, (width, kernel, dropout) in enumerate(zip(filters, kernels, dropouts, strict=True), start=1):
        x = layers.Conv1D(width, kernel, padding="same", name=f"conv{index}")(x)
        x = layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=f"norm{index}")(x)
        x = layers.Dropout(dropout, name=f"dropout{index}")(layers.ReLU(name=f"relu{index}")(x))
    # Time-major: all channels of the first date, then all of the second.
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(dense_width, name="dense")(x)
    x = layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name="dense_norm")(x)
    x = layers.Dropout(dense_dropout, name="dense_dropout")(layers.ReLU(name="dense_relu")(x))
    x = layers.Dense(classes, name="classifier")(x)
    if head != "logits":
        x = layers.Activation(head.replace("-", "_"), name=head.replace("-", "_"))(x)
    return keras.Model(given, x, name="tempcnn")


#: What the harness builds from a model specification, with its hyper-parameters and head as keywords.
MODEL = tempcnn
