"""Operators of one value at a time, of pairs of values, and choices between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.conformance.differential.recipe import Array, Drawn, Pick, Recipe, between, normal, spread

SHAPES = [(), (1,), (0,), (7,), (2, 3), (3, 0, 2), (1, 4, 1), (2, 3, 4, 5)]
#: Pairs of shapes that broadcast.
PAIRS = [
    ((), ()),
    ((3, 4), (3, 4)),
    ((3, 4), ()),
    ((1,), (2, 3)),
    ((2, 1, 4), (3, 1)),
    ((5,), (2, 3, 5)),
    ((0, 3), (1, 3)),
    ((2, 0), (1,)),
    ((1, 1), (1,)),
    ((2, 3, 4, 5), (1, 3, 1, 1)),
]

Draw = Callable[[np.random.Generator, Sequence[int]], Array]


def unary(operator: str, draw: Draw = spread, **attributes: list[Any]) -> Recipe:
    """One input; attributes by name with their values, None to leave one out."""

    def build(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
        chosen = {name: pick[name] for name in attributes if pick[name] is not None}
        return Drawn([draw(rng, pick["shape"])], chosen)

    return Recipe(operator, {"shape": SHAPES, **attributes}, build)


def binary(operator: str, left: Draw = normal, right: Draw = normal) -> Recipe:
    """Two inputs that broadcast, in both orders."""

    def build(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
        one, other = pick["shapes"][:: -1 if pick["turned"] else 1]
        return Drawn([left(rng, one), right(rng, other)])

    return Recipe(operator, {"shapes": PAIRS, "turned": [False, True]}, build)


def halves(rng: np.random.Generator, shape: Sequence[int]) -> Array:
    """Few values, so that many are equal."""
    return np.asarray(rng.integers(-3, 4, tuple(shape)) / 2)


def apart(rng: np.random.Generator, shape: Sequence[int]) -> Array:
    """Values away from 0, of both signs."""
    return np.asarray(rng.uniform(0.3, 3, tuple(shape)) * rng.choice([-1, 1], tuple(shape)))


def booleans(operator: str) -> Recipe:
    """Two booleans that broadcast."""

    def build(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
        return Drawn([rng.random(shape) < 0.5 for shape in pick["shapes"]], fed=frozenset({0, 1}))

    return Recipe(operator, {"shapes": PAIRS}, build)


def variadic(operator: str) -> Recipe:
    """One to three inputs that broadcast."""

    def build(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn:
        shapes = [(2, 3, 4), (3, 1), (4,)][: pick["count"]] if pick["broadcast"] else [pick["shape"]] * pick["count"]
        return Drawn([normal(rng, shape) for shape in shapes])

    return Recipe(operator, {"count": [1, 2, 3], "broadcast": [False, True], "shape": SHAPES}, build)


def _equal(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn:
    one, other = (halves(rng, shape) for shape in pick["shapes"])
    # Before opset 11 it takes whole numbers only.
    return (
        Drawn([one, other])
        if opset >= 11
        else Drawn([(2 * one).astype(int), (2 * other).astype(int)], fed=frozenset({0, 1}))
    )


def _not(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    return Drawn([rng.random(pick["shape"]) < 0.5], fed=frozenset({0}))


def _special(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    values = normal(rng, pick["shape"])
    chosen = rng.integers(0, 4, values.shape)
    values = np.select([chosen == 0, chosen == 1, chosen == 2], [np.nan, np.inf, -np.inf], values)
    return Drawn([values], {k: pick[k] for k in ("detect_negative", "detect_positive") if pick.get(k) is not None})


def _where(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    one, other = pick["shapes"]
    return Drawn([rng.random(pick["condition"]) < 0.5, normal(rng, one), normal(rng, other)], fed=frozenset({0}))


def _clip(pick: Pick, rng: np.random.Generator, opset: int) -> Drawn:
    low, high = pick["low"], pick["high"]
    x = normal(rng, pick["shape"])
    if opset < 11:
        return Drawn([x], {name: value for name, value in (("min", low), ("max", high)) if value is not None})
    bounds = [None if value is None else np.array(value) for value in (low, high)]
    return Drawn([x, *bounds])


def _prelu(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    return Drawn([normal(rng, pick["shapes"][0]), normal(rng, pick["shapes"][1])])


def _mod(pick: Pick, rng: np.random.Generator, _: int) -> Drawn:
    one, other = pick["shapes"]
    return Drawn([spread(rng, one), apart(rng, other)], {"fmod": 1})


_PLAIN = "Abs Neg Relu Sigmoid Tanh Softsign Softplus Mish Erf Floor Ceil Round Sign Sin Cos Tan Atan Asinh HardSwish Identity"

RECIPES = [
    *(unary(name) for name in _PLAIN.split()),
    unary("Exp", between(-20, 20)),
    unary("Sinh", between(-8, 8)),
    unary("Cosh", between(-8, 8)),
    *(unary(name, between(1e-6, 50)) for name in ("Log", "Sqrt")),
    *(unary(name, between(-0.99, 0.99)) for name in ("Asin", "Acos", "Atanh")),
    unary("Acosh", between(1.01, 9)),
    unary("Reciprocal", apart),
    unary("LeakyRelu", alpha=[None, 0.3, 0.0]),
    unary("Elu", alpha=[None, 0.3, 2.0]),
    unary("Selu", alpha=[None, 0.3], gamma=[None, 2.0]),
    unary("Celu", alpha=[None, 0.3, 2.0]),
    unary("Gelu", approximate=[None, "none", "tanh"]),
    unary("HardSigmoid", alpha=[None, 0.3, 0.0], beta=[None, 0.1, 0.0]),
    unary("ThresholdedRelu", alpha=[None, 0.3, 0.0]),
    unary("Swish", alpha=[None, 0.3]),
    unary("Shrink", bias=[None, 0.3], lambd=[None, 0.1, 0.0]),
    *(binary(name) for name in ("Add", "Sub", "Mul")),
    binary("Div", right=apart),
    binary("Pow", left=between(0.1, 4), right=between(-3, 3)),
    Recipe("Mod", {"shapes": PAIRS}, _mod),
    *(binary(name, halves, halves) for name in ("Greater", "Less", "GreaterOrEqual", "LessOrEqual")),
    Recipe("Equal", {"shapes": PAIRS}, _equal),
    *(booleans(name) for name in ("And", "Or", "Xor")),
    Recipe("Not", {"shape": SHAPES}, _not),
    *(variadic(name) for name in ("Min", "Max", "Sum", "Mean")),
    Recipe("IsNaN", {"shape": SHAPES}, _special),
    Recipe("IsInf", {"shape": SHAPES, "detect_negative": [None, 0, 1], "detect_positive": [None, 0, 1]}, _special),
    Recipe("Where", {"shapes": [p for p in PAIRS if 0 not in (*p[0], *p[1])], "condition": [(), (1,)]}, _where),
    Recipe("Clip", {"shape": SHAPES, "low": [None, -0.5], "high": [None, 0.25]}, _clip),
    Recipe(
        "PRelu", {"shapes": [(one, other) for one, other in PAIRS if np.broadcast_shapes(one, other) == one]}, _prelu
    ),
]
