"""Spectra, windows, determinants, and the rotation of positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.conformance.differential.recipe import Drawn, Pick, Recipe, normal


def _dft(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn | None:
    if pick["inverse"] and pick["onesided"]:
        return None
    parts = 2 if pick["complex"] else 1
    if parts == 2 and pick["onesided"]:
        return None
    x = normal(rng, (2, pick["length"], 3, parts))
    attributes: dict[str, Any] = {"inverse": pick["inverse"], "onesided": pick["onesided"]}
    size = np.array(pick["taken"]) if pick["taken"] else None
    if opset < 20:
        return Drawn([x, size], {**attributes, "axis": pick["axis"]})
    return Drawn([x, size, np.array(pick["axis"])], attributes)


def _window(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    return Drawn([np.array(pick["size"])], {} if pick["periodic"] is None else {"periodic": pick["periodic"]})


def _det(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    return Drawn([normal(rng, (*pick["lead"], pick["size"], pick["size"]))])


def _rotary(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    heads, size, steps = 2, 8, 4
    rotated = pick["part"] or size
    x = normal(rng, (2, heads, steps, size) if pick["axes"] == 4 else (2, steps, heads * size))
    angles = normal(rng, (6, rotated // 2))
    positions = rng.integers(0, 6, (2, steps))
    attributes: dict[str, Any] = {"interleaved": pick["interleaved"], "rotary_embedding_dim": pick["part"]}
    if pick["axes"] == 3:
        attributes["num_heads"] = heads
    return Drawn([x, np.cos(angles), np.sin(angles), positions], attributes)


RECIPES = [
    Recipe(
        "DFT",
        {
            "length": [4, 5],
            "complex": [False, True],
            "inverse": [0, 1],
            "onesided": [0, 1],
            "axis": [1, 2],
            "taken": [None, 3, 7],
        },
        _dft,
    ),
    *(
        Recipe(f"{name}Window", {"size": [3, 5, 8], "periodic": [None, 0, 1]}, _window)
        for name in ("Hann", "Hamming", "Blackman")
    ),
    Recipe("Det", {"lead": [(), (2,), (2, 3)], "size": [1, 2, 4]}, _det),
    Recipe("RotaryEmbedding", {"axes": [3, 4], "interleaved": [0, 1], "part": [0, 4]}, _rotary),
]
