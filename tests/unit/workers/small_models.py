"""The models of several labels, of pixels and of spectra, small and by hand: NumPy in double precision, after their docstrings."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from harness.models import fieldseg, patchcnn, spectralnet
from harness.models.spec import ModelSpec

Values = NDArray[np.float64]

#: Rows, columns, bands and outputs all differ, and rows and columns are odd.
SPECS: dict[str, ModelSpec] = {
    "patchcnn": patchcnn.build(bands=3, rows=7, columns=5, labels=4, hyperparameters={"filters": (6, 8)}),
    "fieldseg": fieldseg.build(bands=3, rows=7, columns=5, classes=4, hyperparameters={"width": 6}),
    "spectralnet": spectralnet.build(
        bands=9, variables=2, hyperparameters={"filters": 3, "kernel": 5, "dense_width": 7}
    ),
}


def inputs_of(name: str, samples: int = 11) -> dict[str, np.ndarray]:
    """Inputs by name; of the masks one is empty and one full."""
    random = np.random.default_rng(7)
    x = random.standard_normal((samples, *[axis.size or 0 for axis in SPECS[name].inputs[0].axes[1:]]))
    found = {"x": x.astype(np.float32)}
    if name == "fieldseg":
        mask = random.random((samples, 7, 5)) < 0.4
        mask[1], mask[2] = False, True
        found |= {"doy": random.integers(1, 366, samples).astype(np.float32), "mask": mask}
    return found


def by_hand(name: str, inputs: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray]) -> dict[str, Values]:
    """Outputs by name in double precision."""
    held = {key: array.astype(np.float64) for key, array in weights.items()}
    x = inputs["x"].astype(np.float64)
    if name == "patchcnn":
        x = relu(normalised(convolved(x, held, "conv1"), held, "norm1"))
        rows, columns = x.shape[2] // 2, x.shape[3] // 2
        x = x[:, :, : 2 * rows, : 2 * columns].reshape(*x.shape[:2], rows, 2, columns, 2).max(axis=(3, 5))
        x = relu(normalised(convolved(x, held, "conv2"), held, "norm2")).mean(axis=(2, 3))
        return {"labels": 1 / (1 + np.exp(-dense(x, held, "classifier")))}
    if name == "spectralnet":
        x = convolved(x[:, None, None], held | {"conv1.weight": held["conv1.weight"][:, :, None]}, "conv1")[:, :, 0]
        x = relu(normalised(x, held, "norm1")).reshape(len(x), -1)
        x = relu(normalised(dense(x, held, "dense"), held, "dense_norm"))
        return {"value": dense(x, held, "output")}
    angle = inputs["doy"].astype(np.float64) * np.float64(np.float32(2 * np.pi / 365.25))
    season = dense(np.stack([np.sin(angle), np.cos(angle)], axis=1), held, "season")
    x = relu(normalised(convolved(x, held, "conv1"), held, "norm1") + season[:, :, None, None])
    x = relu(normalised(convolved(x, held, "conv2"), held, "norm2"))
    weight = inputs["mask"][:, None].astype(np.float64)
    pixels = np.maximum(weight.sum(axis=(2, 3)), 1)
    context = dense((x * weight).sum(axis=(2, 3)) / pixels, held, "context")
    scores = convolved(x + context[:, :, None, None], held, "classifier")
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    return {"scores": scores, "share": (chances * weight).sum(axis=(2, 3)) / pixels}


def relu(x: Values) -> Values:
    return np.maximum(x, 0)


def dense(x: Values, held: Mapping[str, Values], name: str) -> Values:
    return x @ held[f"{name}.weight"].T + held[f"{name}.bias"]


def normalised(x: Values, held: Mapping[str, Values], name: str) -> Values:
    shape = (1, -1) + (1,) * (x.ndim - 2)
    scale, shift, mean, variance = (
        held[f"{name}.{part}"].reshape(shape) for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + np.float64(np.float32(1e-5))) * scale + shift


def convolved(x: Values, held: Mapping[str, Values], name: str) -> Values:
    """With as many zeros around as keep rows and columns."""
    weight = held[f"{name}.weight"]
    height, width = weight.shape[2:]
    around = ((0, 0), (0, 0), (height // 2, height // 2), (width // 2, width // 2))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, around), (height, width), axis=(2, 3))
    return np.einsum("nirckl,oikl->norc", windows, weight) + held[f"{name}.bias"][:, None, None]
