"""Recurrent layers, and what turns their series round."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.conformance.differential.recipe import Array, Drawn, Pick, Recipe, normal

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_FUNCTIONS = {"LSTM": 3, "GRU": 2, "RNN": 1}
#: Activations, with how many numbers they take: alphas, betas.
_ACTIVATIONS = [
    ("Relu", 0, 0),
    ("Tanh", 0, 0),
    ("Sigmoid", 0, 0),
    ("Affine", 1, 1),
    ("LeakyRelu", 1, 0),
    ("ThresholdedRelu", 1, 0),
    ("ScaledTanh", 1, 1),
    ("HardSigmoid", 1, 1),
    ("Elu", 1, 0),
    ("Softsign", 0, 0),
    ("Softplus", 0, 0),
]


def _layer(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    operator, hidden, samples = pick["operator"], pick["hidden"], pick["samples"]
    steps, features = pick["steps"], 2
    ways = 2 if pick["direction"] == "bidirectional" else 1
    gates = _GATES[operator]
    if pick["layout"] and opset < 14:
        return None
    x = normal(rng, (samples, steps, features) if pick["layout"] else (steps, samples, features))
    state = (samples, ways, hidden) if pick["layout"] else (ways, samples, hidden)
    lengths = rng.integers(1, steps + 1, samples).astype(np.int32) if pick["lengths"] else None
    inputs: list[Array | None] = [
        x,
        normal(rng, (ways, gates * hidden, features)),
        normal(rng, (ways, gates * hidden, hidden)),
        normal(rng, (ways, 2 * gates * hidden)) if pick["bias"] else None,
        lengths,
        normal(rng, state) if pick["initial"] else None,
    ]
    attributes: dict[str, Any] = {"hidden_size": hidden, "direction": pick["direction"]}
    if operator == "LSTM":
        inputs.append(normal(rng, state) if pick["initial"] else None)
        inputs.append(normal(rng, (ways, 3 * hidden)) if pick["peepholes"] else None)
        if pick["special"]:
            attributes["input_forget"] = 1
    if operator == "GRU" and pick["special"]:
        attributes["linear_before_reset"] = 1
    if pick["clip"]:
        attributes["clip"] = 0.6
    if pick["layout"]:
        attributes["layout"] = 1
    if pick["functions"]:
        chosen = [_ACTIVATIONS[int(k)] for k in rng.integers(len(_ACTIVATIONS), size=ways * _FUNCTIONS[operator])]
        attributes["activations"] = [name for name, _, _ in chosen]
        for name, column in (("activation_alpha", 1), ("activation_beta", 2)):
            values = [float(rng.uniform(0.1, 0.5)) for entry in chosen for _ in range(entry[column])]
            if values:
                attributes[name] = values
    return Drawn(inputs, attributes, 3 if operator == "LSTM" else 2)


def layer(operator: str) -> Recipe:
    """A recurrent layer in all its forms."""
    choices: dict[str, list[Any]] = {
        "steps": [1, 4],
        "samples": [1, 3],
        "hidden": [1, 3],
        "direction": ["forward", "reverse", "bidirectional"],
        "lengths": [False, True],
        "bias": [False, True],
        "initial": [False, True],
        "layout": [0, 1],
        "clip": [False, True],
        "functions": [False, True],
        "special": [False, True],
        "peepholes": [False, True],
        "operator": [operator],
    }
    return Recipe(operator, choices, _layer)


def _reverse_sequence(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    shape = (3, 4, *pick["more"])
    batch = pick["batch"]
    lengths = rng.integers(1, shape[1 - batch] + 1, shape[batch])
    return Drawn([normal(rng, shape), lengths], {"batch_axis": batch, "time_axis": 1 - batch})


RECIPES = [
    *(layer(name) for name in ("LSTM", "GRU", "RNN")),
    Recipe("ReverseSequence", {"batch": [0, 1], "more": [(), (1,), (2, 3)]}, _reverse_sequence),
]
