"""Tensors that a runtime holds beyond those of the file, and that are copies of them: told by their bits, not by names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Copies(NamedTuple):
    """Names of the copies, how often the most copied tensor is held in all, and the scalars of all copies."""

    names: frozenset[str]
    times: int
    scalars: int


def copies(tensors: Mapping[str, Array], beyond: Iterable[str]) -> Copies:
    """Which of the tensors ``beyond`` the file's are equal, bit for bit, to one of the others."""
    names = set(beyond)
    times: Counter[tuple[Any, ...]] = Counter()
    for name, value in tensors.items():
        if name not in names:
            times[bits_of(value)] = 1
    found: set[str] = set()
    scalars = 0
    for name in sorted(names):
        key = bits_of(tensors[name])
        if key in times:
            times[key] += 1
            found.add(name)
            scalars += int(tensors[name].size)
    return Copies(frozenset(found), max(times.values(), default=1), scalars)


def bits_of(value: Array) -> tuple[Any, ...]:
    """What two tensors share that are equal bit for bit, and no others: shape, dtype and bytes."""
    return value.shape, value.dtype.str, np.ascontiguousarray(value).tobytes()
