"""How cases of an operator are drawn: from every pair of choices, and from a seed."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TypeProto

Array = NDArray[Any]
Pick = Mapping[str, Any]

#: Fewest cases of an operator in an opset.
AT_LEAST = 20


@dataclass(frozen=True)
class Drawn:
    """One node.

    Attributes:
        inputs: data is float64 (declared as float32 in the file, as a model for an oracle is) and arrives as an input of the graph;
            what is of another dtype (axes, shapes, indices, float32 scales) is stored in the file; None is an input left out.
        attributes: of the node; None is one left out.
        outputs: how many are asked for.
        fed: positions of inputs that are fed although they are no float64.
        types: of the outputs, where onnx infers none.
    """

    inputs: Sequence[Array | None]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: int = 1
    fed: frozenset[int] = frozenset()
    types: Sequence[TypeProto] = ()


#: Makes a node from one choice of each kind; None where they do not go together, or not in that opset.
Build = Callable[[Pick, np.random.Generator, int], Drawn | None]


@dataclass(frozen=True)
class Recipe:
    """How the cases of one operator are drawn.

    Attributes:
        choices: values by name, attributes and shapes alike; every pair of values of two names meets in some case.
        build: makes the node.
    """

    operator: str
    choices: Mapping[str, Sequence[Any]]
    build: Build


@dataclass(frozen=True)
class Case:
    """A node with its name, which tells how to draw it again."""

    operator: str
    opset: int
    number: int
    picked: Mapping[str, Any]
    drawn: Drawn

    @property
    def name(self) -> str:
        """Operator, opset, number and choices."""
        told = " ".join(f"{key}={value}" for key, value in self.picked.items())
        return f"{self.operator}-{self.opset}-{self.number} {told}"


def cases(recipe: Recipe, opset: int, at_least: int = AT_LEAST) -> list[Case]:
    """The cases of an operator in an opset: every pair of choices that go together, and random ones beyond."""
    rng = np.random.default_rng([zlib.crc32(recipe.operator.encode()), opset])
    found: list[Case] = []
    for tried, picked in enumerate(_picks(recipe.choices, rng)):
        # Where few choices go together in an opset they are drawn again with other numbers.
        if tried > 20 * at_least and (found or tried > 200 * at_least):
            break
        drawn = recipe.build(picked, rng, opset)
        if drawn is not None:
            found.append(Case(recipe.operator, opset, len(found), picked, drawn))
        if len(found) >= at_least and tried >= _pair_count(recipe.choices):
            break
    return found


def _pair_count(choices: Mapping[str, Sequence[Any]]) -> int:
    """A number of rows that covers all pairs, see :func:`_picks`."""
    sizes = sorted((len(values) for values in choices.values()), reverse=True)
    return 2 * sizes[0] * sizes[1] if len(sizes) > 1 else sizes[0]


def _picks(choices: Mapping[str, Sequence[Any]], rng: np.random.Generator) -> Iterator[Pick]:
    """Rows without an end; among the first ones stands every pair of values."""
    names = list(choices)
    missing = {
        ((one, i), (other, j))
        for one, other in itertools.combinations(names, 2)
        for i in range(len(choices[one]))
        for j in range(len(choices[other]))
    }
    while True:
        tries = [{name: int(rng.integers(len(choices[name]))) for name in names} for _ in range(12)]
        if missing:
            # One pair for certain, and the row of several that brings the most others with it.
            first = min(missing)
            for row in tries:
                row.update(dict(first))
        row = max(tries, key=lambda row: sum(pair in missing for pair in itertools.combinations(row.items(), 2)))
        missing -= set(itertools.combinations(row.items(), 2))
        yield {name: choices[name][at] for name, at in row.items()}


def normal(rng: np.random.Generator, shape: Sequence[int]) -> Array:
    """Values around 0."""
    return rng.standard_normal(tuple(shape))


def spread(rng: np.random.Generator, shape: Sequence[int]) -> Array:
    """Values of all sizes, noughts and halves among them."""
    values = rng.standard_normal(tuple(shape)) * 10.0 ** rng.integers(-4, 3, tuple(shape))
    return np.asarray(np.where(rng.random(values.shape) < 0.15, rng.integers(-4, 5, values.shape) / 2, values))


def between(low: float, high: float) -> Callable[[np.random.Generator, Sequence[int]], Array]:
    """Values between two bounds."""
    return lambda rng, shape: rng.uniform(low, high, tuple(shape))
