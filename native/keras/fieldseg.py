"""FieldSeg in Keras, on any of its backends: a class for every pixel of a field, from an image, the day of its year and a mask.

A design of this project, under its licence (MIT). Needs nothing but Keras 3. Layers are named as the canonical parameters of the
harness begin.
"""

from __future__ import annotations

import keras
from keras import layers, ops

#: Radians per day, 2 pi / 365.25 rounded to float32: in double precision it must be the same number.
RADIANS_PER_DAY = 0.01720242388546467


def fieldseg(
    *, bands: int, rows: int, columns: int, classes: int, width: int = 16, head: str = "logits"
) -> keras.Model:
    """Two convolutions at full resolution, told the day of the year and what lies in the field, then the classes.

    Inputs ``x`` (sample, band, row, column), ``doy`` (sample,), the day of the year, and ``mask`` bool (sample, row, column),
    True on the pixels of the field. Outputs: logits (sample, class, row, column), and the mean of the classes' probabilities over
    the pixels of the field (sample, class), 0 where it has none.
    """
    if head != "logits":
        raise ValueError(f"head must be logits, not '{head}'")
    given = keras.Input((bands, rows, columns), name="x")
    doy = keras.Input((), name="doy")
    mask = keras.Input((rows, columns), dtype="bool", name="mask")
    angle = ops.multiply(doy, RADIANS_PER_DAY)
    season = layers.Dense(width, name="season")(ops.stack((ops.sin(angle), ops.cos(angle)), axis=1))
    # Keras' convolutions take (sample, row, column, band).
    x = layers.Permute((2, 3, 1), name="bands_last")(given)
    x = layers.Conv2D(width, 3, padding="same", name="conv1")(x)
    x = layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name="norm1")(x)
    x = layers.ReLU(name="relu1")(ops.add(x, season[:, None, None]))
    x = layers.Conv2D(width, 3, padding="same", name="conv2")(x)
    x = layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name="norm2")(x)
    x = layers.ReLU(name="relu2")(x)
    weight = ops.expand_dims(ops.cast(mask, x.dtype), axis=-1)
    # A field without a pixel has means of 0.
    pixels = ops.maximum(ops.sum(weight, axis=(1, 2)), 1.0)
    context = ops.divide(ops.sum(ops.multiply(x, weight), axis=(1, 2)), pixels)
    context = layers.Dense(width, name="context")(context)
    x = layers.Conv2D(classes, 1, name="classifier")(ops.add(x, context[:, None, None]))
    share = ops.divide(ops.sum(ops.multiply(ops.softmax(x, axis=-1), weight), axis=(1, 2)), pixels)
    scores = layers.Permute((3, 1, 2), name="class_first")(x)
    return keras.Model([given, doy, mask], [scores, share], name="fieldseg")


#: What the harness builds from a model specification, with its hyper-parameters, the size of its images and its head as
#: keywords.
MODEL = fieldseg
