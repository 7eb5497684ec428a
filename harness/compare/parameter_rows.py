"""What is said of one parameter: its differences in numbers and words, its row and its finding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare.records import ParameterRow
from harness.compare.ulp import bits, max_ulp

Array = NDArray[Any]


def same_values(source: Array, value: Array | None) -> bool:
    """Equal dtypes and bits, and shapes that differ by axes of size 1 at most."""
    if value is None or value.dtype != source.dtype or value.size != source.size:
        return False
    if squeezed(value.shape) != squeezed(source.shape):
        return False
    return bool(np.array_equal(bits(value).ravel(), bits(source).ravel()))


def squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without its axes of size 1."""
    return tuple(size for size in shape if size != 1)


def distance(value: Array, source: Array) -> tuple[int | None, float | None]:
    """Largest ULP distance and largest absolute difference; None where there is none or it is not finite."""
    if value.dtype.kind != "f":
        return None, None
    with np.errstate(invalid="ignore"):
        difference = np.abs(value.astype(np.float64) - source.astype(np.float64))
    largest = float(difference.max(initial=0.0))
    return max_ulp(value, source), largest if np.isfinite(largest) else None


def what_changed(source: Array, value: Array, differs: NDArray[np.bool_]) -> str:
    """In words: how many values, where the first is, and whether they look rounded."""
    count = int(np.count_nonzero(differs))
    text = f"{count} of {source.size} values differ" + (f", {place(differs)}" if count == 1 else "")
    bad = int(np.count_nonzero(~np.isfinite(value)))
    if bad:
        return f"{text}, {bad} are not finite"
    if value.dtype == np.float32:
        raw = bits(value[differs])
        if not np.any(raw & 0xFFFF) and (max_ulp(value[differs], source[differs]) or 0) <= 0xFFFF:
            text += ", rounded to bfloat16"
        elif not np.any(raw & 0x1FFF) and (max_ulp(value[differs], source[differs]) or 0) <= 0x1FFF:
            text += ", rounded to float16"
    return text


def place(mask: NDArray[np.bool_]) -> str:
    """Where the first True of a mask is: "at index [3, 5]"."""
    first = np.argwhere(mask)[0]
    return f"at index [{', '.join(str(int(index)) for index in first)}]"


def extra_row(name: str, value: Array, used: bool) -> ParameterRow:
    """The row of a tensor that the target holds beyond the canonical parameters."""
    return ParameterRow(
        name=name,
        layer="",
        relation="extra",
        source_shape=None,
        target_name=name,
        target_shape=tuple(value.shape),
        elements=int(value.size),
        differing=0,
        max_ulp=None,
        max_abs=None,
        note="" if used else "no node of the graph uses it",
    )


def sentence(row: ParameterRow) -> str:
    """The finding that a row calls for."""
    what = {
        "unequal": "differs from the source",
        "permuted": "holds the source's values in another order",
        "missing": "is missing",
        "extra": "is held beyond the canonical parameters",
    }[row.relation]
    renamed = f" (held as '{row.target_name}')" if row.target_name not in (None, row.name) else ""
    return f"parameter {row.name}{renamed} {what}" + (f": {row.note}" if row.note else "")


def shape_text(shape: Sequence[int]) -> str:
    """A shape as "128 x 13 x 7"."""
    return " x ".join(str(size) for size in shape) or "()"
