"""Which of several implementations of one graph in float64 agree, and what a majority of them says.

They compute the same function in double precision, so that only the order of summation may differ: what lies farther apart than
:data:`harness.compare.gates.ORACLE_AGREEMENT` is a fault of one of them, and of no runtime that is compared with them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare import gates
from harness.compare.outputs import relative_scale

Array = NDArray[Any]
#: Tensors by name.
Tensors = Mapping[str, Array]


def distance(one: Array, other: Array) -> float:
    """The largest difference of two tensors, relative to the spread of ``other`` (`relative_scale`).

    Whole numbers, truth values and texts are equal (0) or not (infinite); so are shapes, and the places and kinds of values that
    are not finite.
    """
    if one.shape != other.shape:
        return np.inf
    if one.dtype.kind != "f" or other.dtype.kind != "f":
        return 0.0 if np.array_equal(one, other) else np.inf
    finite = np.isfinite(other)
    if not np.array_equal(one[~finite], other[~finite], equal_nan=True) or not np.isfinite(one[finite]).all():
        return np.inf
    apart = np.abs(np.subtract(one[finite], other[finite], dtype=np.float64))
    return float(apart.max(initial=0.0)) / relative_scale(other)


def largest_distance(one: Tensors, other: Tensors) -> float:
    """The largest over all tensors; infinite where the names differ."""
    if one.keys() != other.keys():
        return np.inf
    return max((distance(one[name], other[name]) for name in one), default=0.0)


def agreeing(answers: Mapping[str, Tensors]) -> list[list[str]]:
    """The names in groups that agree with their first member, the largest group first, each in the order of ``answers``."""
    groups: list[list[str]] = []
    for name, answer in answers.items():
        for group in groups:
            if largest_distance(answer, answers[group[0]]) <= gates.ORACLE_AGREEMENT:
                group.append(name)
                break
        else:
            groups.append([name])
    return sorted(groups, key=len, reverse=True)


def majority(groups: Sequence[Collection[str]], without: Collection[str] = ()) -> list[str]:
    """The members of the one group that has more than any other, and two at least; empty where none has.

    ``without``: those whose vote does not count, because the question is whether they are right themselves.
    """
    counted = sorted(([name for name in group if name not in without] for group in groups), key=len, reverse=True)
    if not counted or len(counted[0]) < 2 or (len(counted) > 1 and len(counted[1]) == len(counted[0])):
        return []
    return counted[0]
