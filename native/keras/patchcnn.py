"""PatchCNN in Keras, on any of its backends: the labels of an image patch, any number of them.

A design of this project, under its licence (MIT). Needs nothing but Keras 3. Layers are named as the canonical parameters of the
harness begin.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers


def patchcnn(
    *,
    bands: int,
    rows: int,
    columns: int,
    labels: int,
    filters: Sequence[int] = (16, 32),
    head: str = "sigmoid",
) -> keras.Model:
    """Two convolutions with a 2 x 2 maximum between them, the mean over all positions, then the labels.

    Input ``x`` (sample, band, row, column); output (sample, label), 0 to 1. A last odd row or column is left out of the maximum.
    """
    if head != "sigmoid":
        raise ValueError(f"head must be sigmoid, not '{head}'")
    first, second = filters
    given = keras.Input((bands, rows, columns), name="x")
    # Keras' convolutions take (sample, row, column, band).
    x = layers.Permute((2, 3, 1), name="bands_last")(given)
    x = layers.Conv2D(first, 3, padding="same", name="conv1")(x)
    x = layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name="norm1")(x)
    x = layers.MaxPooling2D(2, name="pool1")(layers.ReLU(name="relu1")(x))
    x = layers.Conv2D(second, 3, padding="same", name="conv2")(x)
    x = layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name="norm2")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(layers.ReLU(name="relu2")(x))
    x = layers.Dense(labels, name="classifier")(x)
    return keras.Model(given, layers.Activation("sigmoid", name="sigmoid")(x), name="patchcnn")


#: What the harness builds from a model specification, with its hyper-parameters, the size of its patches and its head as
#: keywords.
MODEL = patchcnn
