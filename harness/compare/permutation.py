"""The same values in another order: which order it is, in words."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare.ulp import bits

Array = NDArray[Any]
Same = Callable[[Array, Array], bool]


def same_bits(first: Array, second: Array) -> bool:
    """Equal shapes and equal bits."""
    return first.shape == second.shape and bool(np.array_equal(bits(first), bits(second)))


def describe_permutation(
    source: Array, target: Array, *, channels: Sequence[int] = (), same: Same = same_bits
) -> str | None:
    """How ``target`` holds the values of ``source`` in another order; None where its values are others.

    Both in the canonical layout, axis 0 the outputs. ``channels``: for the kernel of a dense layer that follows a
    flattening, the numbers of channels that may have been flattened. ``same`` decides whether two arrays are the same;
    with another one than bits (a tolerance), only the named orders are tried, since values cannot be sorted together.
    """
    if source.size != target.size or source.size < 2:
        return None
    exact = same is same_bits
    if exact and not np.array_equal(np.sort(bits(source), axis=None), np.sort(bits(target), axis=None)):
        return None
    for text, candidate in _orders(source, channels):
        if candidate.shape == target.shape and same(np.ascontiguousarray(candidate), target):
            return text
    if source.shape == target.shape:
        for axis, word in enumerate(_axis_words(source.ndim)[:2]):
            exchanged = _exchanged(np.moveaxis(source, axis, 0), np.moveaxis(target, axis, 0), word, same)
            if exchanged:
                return exchanged
    return "the same values in another order" if exact else None


def _orders(source: Array, channels: Sequence[int]) -> Iterator[tuple[str, Array]]:
    kernel = range(2, source.ndim)
    axes = [(axis,) for axis in reversed(kernel)] + ([tuple(kernel)] if len(kernel) > 1 else [])
    for flipped in axes:
        place = "along its last axis" if flipped == (source.ndim - 1,) else f"along axes {_listed(flipped)}"
        yield f"kernel reversed {place}", np.flip(source, flipped)
    if source.ndim == 2:
        yield "transposed", source.T
        yield "read in column-major order", source.ravel(order="F").reshape(source.shape)
        for count in channels:
            if count > 1 and source.shape[1] % count == 0 and source.shape[1] > count:
                rows = source.shape[0]
                yield (
                    "flatten order time-major instead of channel-major",
                    source.reshape(rows, count, -1).transpose(0, 2, 1).reshape(source.shape),
                )
                yield (
                    "flatten order read as time-major although it is channel-major",
                    source.reshape(rows, -1, count).transpose(0, 2, 1).reshape(source.shape),
                )
    elif source.ndim > 2:
        for axes_order in itertools.permutations(range(source.ndim)):
            if axes_order != tuple(range(source.ndim)):
                yield f"axes in the order {_listed(axes_order)}", source.transpose(axes_order)
        yield "read in column-major order", source.ravel(order="F").reshape(source.shape)
    elif source.ndim == 1:
        yield "reversed", source[::-1]


def _exchanged(source: Array, target: Array, word: str, same: Same) -> str | None:
    """Slices of axis 0 in another order: "rows exchanged 2<->5", or how many moved."""
    moved = [index for index in range(len(source)) if not same(source[index], target[index])]
    if len(moved) < 2:
        return None
    if len(moved) == 2:
        first, second = moved
        if same(source[first], target[second]) and same(source[second], target[first]):
            return f"{word} exchanged {first}<->{second}"
        return None
    if same is not same_bits:
        return None
    rows = [sorted(np.ascontiguousarray(array[index]).tobytes() for index in moved) for array in (source, target)]
    return f"{len(moved)} {word} in another order" if rows[0] == rows[1] else None


def _axis_words(rank: int) -> tuple[str, ...]:
    return ("elements",) if rank == 1 else ("rows", "columns") if rank == 2 else ("output channels", "input channels")


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers)
