"""What one tensor is of another where it is not the same: some of its places exchanged, reversed, scaled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare.alike import gap_between

Array = NDArray[Any]

#: Most places along an axis that are told apart by their values.
_LONGEST_AXIS = 4096


@dataclass(frozen=True)
class Reordered:
    """Along ``axis`` the places of the other tensor in another order: place i holds what is ``places[i]`` there."""

    axis: int
    places: tuple[int, ...]

    @property
    def moved(self) -> list[int]:
        """Places that hold something else."""
        return [place for place, origin in enumerate(self.places) if place != origin]

    @property
    def reversed(self) -> bool:
        """Whether the axis runs backwards."""
        return len(self.places) > 2 and self.places == tuple(range(len(self.places)))[::-1]


def reordered(found: Array, reference: Array, limit: float) -> Reordered | None:
    """The axis along which ``found`` is ``reference`` in another order; None where it is not."""
    if found.shape != reference.shape:
        return None
    for axis, size in enumerate(found.shape):
        if not 2 <= size <= _LONGEST_AXIS:
            continue
        first = np.moveaxis(found, axis, 0).reshape(size, -1)
        second = np.moveaxis(reference, axis, 0).reshape(size, -1)
        places = _matching_rows(first, second)
        if places is None or places == tuple(range(size)):
            continue
        gap = gap_between(first, second[list(places)])
        if gap is not None and gap <= limit:
            return Reordered(axis, places)
    return None


def _matching_rows(first: Array, second: Array) -> tuple[int, ...] | None:
    """For each row of ``first`` the row of ``second`` that is nearest, each once; None where rows are taken twice."""
    # A projection on fixed numbers tells rows apart, and nearly equal rows remain near.
    weights = np.random.Generator(np.random.Philox(key=0)).standard_normal(first.shape[1])
    with np.errstate(all="ignore"):
        one, other = (np.nan_to_num(rows) @ weights for rows in (first, second))
    order = np.argsort(other, kind="stable")
    places = np.empty(len(one), np.int64)
    places[np.argsort(one, kind="stable")] = order
    return tuple(int(place) for place in places)


def scaled(found: Array, reference: Array, limit: float) -> tuple[float, float] | None:
    """Factor and offset by which ``found`` is ``factor * reference + offset``; None where it is not of that form."""
    if found.shape != reference.shape or found.size < 3:
        return None
    first, second = (array.astype(np.float64).reshape(-1) for array in (reference, found))
    if not (np.isfinite(first).all() and np.isfinite(second).all()) or not first.std():
        return None
    centred = first - first.mean()
    factor = float(centred @ (second - second.mean()) / (centred @ centred))
    offset = float(second.mean() - factor * first.mean())
    gap = gap_between(factor * first + offset, second)
    if gap is None or gap > limit or not factor:
        return None
    if abs(offset) <= limit * max(abs(factor) * float(np.abs(first).max()), math.ulp(1.0)):
        offset = 0.0
    return factor, offset
