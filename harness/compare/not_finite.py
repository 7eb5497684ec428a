"""NaN and infinities that a model means: where they stand, and that they stand in the same places everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def finite_in_both(one: Array, other: Array) -> NDArray[np.bool_]:
    """Where both of two arrays of one shape hold a finite number."""
    return np.asarray(np.isfinite(one) & np.isfinite(other))


def parted(one: Array, other: Array) -> NDArray[np.bool_]:
    """Where one of two arrays of one shape is NaN and the other is not, or infinite and the other not infinite with its sign."""
    nan = np.isnan(one) != np.isnan(other)
    infinite = np.where(np.isinf(one), np.sign(one), 0) != np.where(np.isinf(other), np.sign(other), 0)
    return np.asarray(nan | infinite)


def describe_parted(one: Array, other: Array, who: str, whom: str) -> str:
    """What :func:`parted` finds as a clause; empty where NaN and infinities stand in the same places.

    ``who``, ``whom``: what the two arrays, axis 0 the sample, are called.
    """
    places = parted(one, other)
    count = int(places.sum())
    if not count:
        return ""
    first = f", the first in sample {int(np.argwhere(places)[0][0])}" if places.ndim else ""
    nan, lacking = (int(np.count_nonzero(np.isnan(a) & ~np.isnan(b))) for a, b in ((one, other), (other, one)))
    told = [f"{nan} NaN in the {who} alone"] if nan else []
    told += [f"{lacking} NaN in the {whom} alone"] if lacking else []
    told += (
        [f"{count - nan - lacking} infinite with another sign or on one side alone"] if count > nan + lacking else []
    )
    return f"{count} of {places.size} output values are NaN or infinite in other places{first}: {', '.join(told)}"


def describe_input(array: Array) -> str:
    """How many values of an array are NaN and infinite, in words; empty where all are finite."""
    if array.dtype.kind != "f":
        return ""
    nan, infinite = int(np.count_nonzero(np.isnan(array))), int(np.count_nonzero(np.isinf(array)))
    told = [f"{nan:,} of {array.size:,} values are NaN"] if nan else []
    told += (
        [f"{infinite:,} {'of ' + format(array.size, ',') + ' values ' if not nan else ''}are infinite"]
        if infinite
        else []
    )
    return " and ".join(told)


#: Operators of which the standard does not say what they make of NaN.
_LEFT_OPEN = frozenset(
    {"ArgMax", "ArgMin", "Clip", "GlobalMaxPool", "LeakyRelu", "Max", "MaxPool", "MaxRoiPool", "Min", "PRelu"}
    | {"ReduceMax", "ReduceMin", "Relu", "ThresholdedRelu", "TopK"}
)


def nodata_sentence(operator: str, node: str, tensor: str, given: int, found: Array, wanted: Array) -> str:
    """What a runtime's node makes of NaN otherwise than the oracle's, on the same inputs, ``given`` of whose values are NaN.

    ``found`` and ``wanted``: the tensor by the runtime and by the oracle, of one shape. Empty where they do not differ by that.
    """
    if found.shape != wanted.shape:
        return ""
    floats = found.dtype.kind == wanted.dtype.kind == "f"
    differing = int((parted(found, wanted) if floats else np.asarray(found != wanted)).sum())
    if not given or not differing:
        return ""
    name = f"{operator} '{node}'" if node else operator
    counts = ""
    if floats:
        mine, theirs = (int(np.count_nonzero(np.isnan(array))) for array in (found, wanted))
        counts = f": {mine} NaN instead of {theirs}"
    means = ", and the standard does not say which is right" if operator in _LEFT_OPEN else ""
    return (
        f"{name} treats NaN otherwise than the oracle: of the same inputs with {given} NaN it makes {differing} other values in "
        f"tensor '{tensor}'{counts}{means}"
    )
