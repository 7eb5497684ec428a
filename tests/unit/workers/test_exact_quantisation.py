"""Operators on quantised values against loops over whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.workers.exact_cases import LIMIT, WRONG, Array, Case, distances


def convolved_by_hand(x: Any, w: Any, x_zero: int, w_zero: list[int]) -> Array:
    y = np.zeros((1, 2, 5), np.int64)
    for out, at, channel, tap in np.ndindex(2, 5, 2, 2):
        y[0, out, at] += (int(x[0, channel, at + tap]) - x_zero) * (int(w[out, channel, tap]) - w_zero[out])
    return y


def quantised(values: Array, zero: int, dtype: Any) -> Array:
    limits = np.iinfo(dtype)
    return np.array([min(max(round(value) + zero, limits.min), limits.max) for value in values.ravel()], dtype).reshape(
        values.shape
    )


# Whole numbers by loops over them; a tie at 2.5 steps with an odd zero point, and parameters by filter of a one-dimensional input.
Q8 = np.array([[[0, 10, 255, 3, 128, 7], [1, 2, 3, 4, 5, 6]]], np.uint8)
FILTERS = np.array([[[1, -2], [3, 4]], [[-5, 6], [7, -8]]], np.int8)

CASES = [
    Case(
        "DequantizeLinear",
        13,
        [Q8, np.array([0.1, 0.3]), np.array([3, 200], np.uint8)],
        lambda x, s, z: (x.double() - z.double()[:, None]) * s[:, None],
        {"axis": 1},
    ),
    # More digits than single precision holds.
    *(
        Case("DequantizeLinear", opset, [np.array([2**24 + 1], np.int32), np.array(0.1)], lambda x, s: x.double() * s)
        for opset in (19, 21)
    ),
    Case(
        "QLinearConv",
        13,
        [
            Q8,
            np.array(0.5),
            np.array(3, np.uint8),
            FILTERS,
            np.array([0.25, 0.5]),
            np.array([0, 1], np.int8),
            np.array(0.25),
            np.array(7, np.uint8),
            np.array([5, -6], np.int32),
        ],
        lambda x, _, __, w, *rest: quantised(
            (convolved_by_hand(x, w, 3, [0, 1]) + np.array([[5], [-6]])) * np.array([[0.5], [1.0]]), 7, np.uint8
        ),
    ),
    Case(
        "ConvInteger",
        10,
        [Q8, FILTERS.astype(np.uint8), np.array(3, np.uint8), np.array([0, 1], np.uint8)],
        lambda x, w, *_: convolved_by_hand(x, w, 3, [0, 1]).astype(np.int32),
    ),
    Case(
        "QLinearMatMul",
        10,
        [
            np.array([[5]], np.uint8),
            np.array(0.5),
            np.array(0, np.uint8),
            np.array([[1]], np.uint8),
            np.array(1.0),
            np.array(0, np.uint8),
            np.array(1.0),
            np.array(1, np.uint8),
        ],
        lambda *_: np.array([[3]], np.uint8),
    ),
    Case(
        "DynamicQuantizeLinear",
        11,
        [np.array([-1.0, 0.11, 2.0])],
        lambda _: (np.array([0, 94, 255], np.uint8), np.array(3 / 255), np.array(85, np.uint8)),
        outputs=3,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_operator_of_ours_is_exact_where_that_of_onnx_is_not(case: Case) -> None:
    ours, theirs = distances(case)
    assert ours <= LIMIT
    assert theirs > WRONG
