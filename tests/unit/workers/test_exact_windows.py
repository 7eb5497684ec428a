"""Convolutions and pools against formulas of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.unit.workers.exact_cases import LIMIT, WRONG, X1, X2, Case, distances, drawn, torch

F = torch.nn.functional


def padded_same(x: Any, compute: Callable[[Any], Any], before: int, after: int, fill: float = 0.0) -> Any:
    return compute(F.pad(x, (before, after), value=fill))


CASES = [
    Case("GlobalMaxPool", 22, [X1], lambda x: x.amax(2, keepdim=True)),
    # The only window leaves the place in the middle out.
    Case(
        "Conv",
        11,
        [np.array([[[1.0, np.inf, 2.0]]]), drawn(2, 1, 2)],
        lambda x, w: F.conv1d(x, w, dilation=2),
        {"dilations": [2]},
    ),
    Case(
        "ConvTranspose",
        11,
        [X1, drawn(4, 3, 4)],
        lambda x, w: F.conv_transpose1d(x, w, groups=2, stride=2, padding=1),
        {"group": 2, "strides": [2], "pads": [1, 1]},
    ),
    Case(
        "AveragePool",
        19,
        [X1],
        lambda x: padded_same(x, lambda p: p.unfold(2, 5, 1)[..., ::4].mean(-1), 0, 0),
        {"kernel_shape": [2], "dilations": [4], "auto_pad": "VALID"},
    ),
    Case(
        "MaxPool", 11, [X1], lambda x: F.max_pool1d(x, 3, 1, 1), {"kernel_shape": [3], "pads": [1, 1], "strides": [1]}
    ),
    Case(
        "MaxPool",
        12,
        [X1],
        lambda x: padded_same(x, lambda p: F.max_pool1d(p, 2, 2), 1, 0, -np.inf),
        {"kernel_shape": [2], "strides": [2], "auto_pad": "SAME_LOWER"},
    ),
    Case(
        "LpPool",
        18,
        [X1],
        lambda x: padded_same(x, lambda p: F.lp_pool1d(p.abs(), 3, 3, 2), 0, 2),
        {"kernel_shape": [3], "p": 3, "strides": [2], "ceil_mode": 1, "pads": [0, 1]},
    ),
    Case("GlobalLpPool", 2, [X2], lambda x: (x.abs() ** 3).sum((2, 3), keepdim=True) ** (1 / 3), {"p": 3}),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_operator_of_ours_is_exact_where_that_of_onnx_is_not(case: Case) -> None:
    ours, theirs = distances(case)
    assert ours <= LIMIT
    assert theirs > WRONG
