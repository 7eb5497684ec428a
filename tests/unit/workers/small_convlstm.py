"""A small ConvLSTM, and what it computes, written with NumPy from the papers alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.models import convlstm
from harness.models.spec import ModelSpec

SIZES = {"bands": 2, "history": 3, "horizon": 3, "rows": 6, "columns": 5}
SMALL = {"filters": (3, 2, 3), "kernels": (3, 1, 5)}
X = np.random.default_rng(1).random((4, 2, 3, 6, 5)).astype(np.float32)


def small(preset: str = "thesis-pytorch", **changes: Any) -> ModelSpec:
    return convlstm.build(**SIZES, preset=preset, hyperparameters={**SMALL, **changes})


def convolved(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """A convolution with zeros around that keeps sizes, over the last two or three axes of (sample, channel, ...)."""
    shape = kernel.shape[2:]
    axes = tuple(range(2, 2 + len(shape)))
    padded = np.pad(x, ((0, 0), (0, 0), *((size // 2, size // 2) for size in shape)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, shape, axis=axes)
    letters = "abc"[: len(shape)]
    found = np.einsum(f"nixyz{letters},oi{letters}->noxyz" if len(shape) == 3 else "niyzab,oiab->noyz", windows, kernel)
    return found + bias.reshape(1, -1, *(1,) * len(shape))


ACTIVATIONS = {
    "linear": lambda x: x,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "hard-sigmoid": lambda x: np.clip(float(np.float32(0.2)) * x + 0.5, 0, 1),
}


def by_hand(x: np.ndarray, weights: dict[str, np.ndarray], spec: ModelSpec) -> np.ndarray:
    """The forecast in double precision, written with NumPy from the papers alone."""
    held = {name: array.astype(np.float64) for name, array in weights.items()}
    known = spec.hyperparameters
    slope = float(np.float32(known["slope"]))
    named = ACTIVATIONS | {"leaky-relu": lambda x: np.where(x < 0, slope * x, x)}
    activation, gate = named[known["cell_activation"]], named[known["recurrent_activation"]]
    x = x.astype(np.float64)
    count = len(known["filters"])
    for index in range(1, count + 1):
        filters = known["filters"][index - 1]
        hidden = cell = np.zeros((len(x), filters, *x.shape[3:]))
        states = []
        for step in range(x.shape[2]):
            joined = np.concatenate([x[:, :, step], hidden], axis=1)
            gates = convolved(joined, held[f"lstm{index}.weight"], held[f"lstm{index}.bias"])
            part = {
                name: gates[:, place * filters : (place + 1) * filters]
                for place, name in enumerate(known["gate_order"])
            }
            cell = gate(part["f"]) * cell + gate(part["i"]) * activation(part["g"])
            hidden = gate(part["o"]) * activation(cell)
            states.append(hidden)
        x = named[known["layer_activation"]](np.stack(states, axis=2))
        if index < count:
            mean, variance, scale, shift = (
                held[f"norm{index}.{name}"].reshape(1, -1, 1, 1, 1)
                for name in ("running_mean", "running_var", "weight", "bias")
            )
            x = (x - mean) / np.sqrt(variance + float(np.float32(known["epsilon"]))) * scale + shift
    return ACTIVATIONS["sigmoid"](convolved(x, held["output.weight"], held["output.bias"]))
