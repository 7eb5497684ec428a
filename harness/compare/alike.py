"""Whether two tensors hold the same values, in the same layout or in another one.

Exporters transpose, flatten and reshape; a tensor of one graph is found in another by its values, not by its name.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare.outputs import relative_scale

Array = NDArray[Any]

#: Places at which a layout is tried before all values are compared.
_TRIED_PLACES = 64
#: Tensors with more axes longer than 1 are compared in their own layout alone.
_MOST_AXES = 5


@dataclass(frozen=True)
class Signature:
    """What no layout changes: the number of values, their RMS, smallest and largest; NaN and infinities are left out."""

    size: int
    rms: float
    low: float
    high: float
    scale: float

    @classmethod
    def of(cls, array: Array) -> Signature:
        """The signature of a tensor of floating-point numbers."""
        finite = array[np.isfinite(array)].astype(np.float64)
        if not finite.size:
            return cls(int(array.size), 0.0, 0.0, 0.0, 1.0)
        rms = math.sqrt(float(np.mean(np.square(finite))))
        return cls(int(array.size), rms, float(finite.min()), float(finite.max()), relative_scale(finite))

    def may_be(self, other: Signature, limit: float) -> bool:
        """Whether two tensors of these signatures may hold the same values, up to ``limit`` of their spread."""
        if self.size != other.size:
            return False
        # An RMS error of the whole tensor may all lie in its largest value.
        allowed = limit * other.scale * math.sqrt(max(self.size, 1))
        return (
            abs(self.rms - other.rms) <= limit * max(other.scale, other.rms)
            and abs(self.low - other.low) <= allowed
            and abs(self.high - other.high) <= allowed
        )


@dataclass(frozen=True)
class Alike:
    """A tensor of the reference, by name, that a tensor holds the values of.

    ``order``: the tensor is the reference transposed so, axes of length 1 aside; the order itself is that of the
    reference's own axes where none is moved. ``gap``: what remains, RMS over the reference's spread.
    """

    name: str
    order: tuple[int, ...]
    gap: float

    @property
    def in_order(self) -> bool:
        """Whether no axis is moved."""
        return self.order == tuple(range(len(self.order)))


def gap_between(found: Array, reference: Array) -> float | None:
    """RMS of the difference over the reference's spread; None where shapes or the places of NaN and infinities differ."""
    if found.shape != reference.shape:
        return None
    finite = np.isfinite(reference)
    if not finite.all() or not np.isfinite(found).all():
        if (
            not np.array_equal(found[~finite], reference[~finite], equal_nan=True)
            or not np.isfinite(found[finite]).all()
        ):
            return None
        found, reference = found[finite], reference[finite]
    if not reference.size:
        return 0.0
    difference = np.subtract(found, reference, dtype=np.float64)
    return math.sqrt(float(np.mean(np.square(difference)))) / relative_scale(reference)


def layout_of(found: Array, reference: Array, limit: float) -> tuple[tuple[int, ...], float] | None:
    """The order of the reference's axes in which it holds the values of ``found``, and the gap; None where there is none.

    Axes of length 1 play no part, nor does how the values are cut into axes: a flattened tensor is alike.
    """
    if found.size != reference.size:
        return None
    long = [axis for axis, size in enumerate(reference.shape) if size != 1]
    squeezed = reference.reshape([reference.shape[axis] for axis in long])
    flat = np.ascontiguousarray(found).reshape(-1)
    orders: Iterable[tuple[int, ...]] = [tuple(range(len(long)))]
    if len(long) <= _MOST_AXES:
        orders = itertools.permutations(range(len(long)))
    scale = relative_scale(reference)
    places = np.unique(np.linspace(0, flat.size - 1, min(_TRIED_PLACES, flat.size)).astype(np.int64))
    bound = limit * scale * math.sqrt(max(flat.size, 1))
    for order in orders:
        turned = squeezed.transpose(order)
        tried = turned[np.unravel_index(places, turned.shape)] if turned.ndim else turned.reshape(1)
        with np.errstate(invalid="ignore"):
            if (np.abs(tried - flat[places]) > bound).any():
                continue
        gap = gap_between(flat, np.ascontiguousarray(turned).reshape(-1))
        if gap is not None and gap <= limit:
            return order, gap
    return None


class Known:
    """Tensors of a reference, to be found by their values. All are float64."""

    def __init__(self, values: Mapping[str, Array]) -> None:
        self._values = values
        self._signatures = {name: Signature.of(values[name]) for name in values}
        self._by_size: dict[int, list[str]] = {}
        for name, signature in self._signatures.items():
            self._by_size.setdefault(signature.size, []).append(name)

    def find(self, array: Array, limit: float) -> list[Alike]:
        """All tensors whose values an array holds, in the order of the reference."""
        signature = Signature.of(array)
        found = []
        for name in self._by_size.get(signature.size, ()):
            if signature.may_be(self._signatures[name], limit):
                layout = layout_of(array, self._values[name], limit)
                if layout is not None:
                    found.append(Alike(name, *layout))
        return found
