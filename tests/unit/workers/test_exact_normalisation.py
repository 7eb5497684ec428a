"""Normalisations against formulas of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.unit.workers.exact_cases import (
    LIMIT,
    WRONG,
    X1,
    X2,
    Array,
    Case,
    distances,
    drawn,
    f32,
    torch,
)

F = torch.nn.functional


def neighbours(size: int) -> Callable[[Any], Any]:
    def compute(x: Any) -> Any:
        y = torch.empty_like(x)
        for channel in range(x.shape[1]):
            low, high = max(0, channel - (size - 1) // 2), min(x.shape[1], channel + size // 2 + 1)
            total = (x[:, low:high] ** 2).sum(1)
            y[:, channel] = x[:, channel] / (1 + f32(1e-4) / size * total) ** f32(0.75)
        return y

    return compute


def batch_statistics(x: Any, scale: Any, shift: Any, mean: Any, variance: Any) -> Any:
    """PyTorch's running variance is that of a sample, ONNX's that of the batch."""
    axes = [k for k in range(x.ndim) if k != 1]
    y = F.batch_norm(x, None, None, scale, shift, training=True, eps=f32(1e-5))
    now = (x.mean(axes), x.var(axes, unbiased=False))
    running = [old * 0.75 + new * 0.25 for old, new in zip((mean, variance), now, strict=True)]
    return y, *running, *now


def positive(*shape: int) -> Array:
    return np.abs(drawn(*shape, seed=5)) + 0.5


SCALE, SHIFT, MEAN, VARIANCE = drawn(4, seed=1), drawn(4, seed=2), drawn(4, seed=3), positive(4)

CASES = [
    *(
        Case(
            "BatchNormalization",
            opset,
            [X2, SCALE, SHIFT, MEAN, VARIANCE],
            lambda x, s, b, m, v: F.batch_norm(x, m, v, s, b, eps=f32(1e-5)),
        )
        for opset in (9, 11, 13)
    ),
    Case(
        "GroupNormalization",
        21,
        [X2, SCALE, SHIFT],
        lambda x, s, b: F.group_norm(x, 2, s, b, f32(1e-5)),
        {"num_groups": 2},
    ),
    Case(
        "LayerNormalization",
        17,
        [X1, drawn(11, seed=7), drawn(11, seed=8)],
        lambda x, s, b: F.layer_norm(x, (11,), s, b, f32(1e-5)),
        {"stash_type": 11},
    ),
    Case("LpNormalization", 22, [X1], lambda x: F.normalize(x, p=1, dim=1), {"p": 1, "axis": 1}),
    Case(
        "RMSNormalization",
        23,
        [X1, drawn(11, seed=7)],
        lambda x, s: F.rms_norm(x, (11,), s, f32(1e-5)),
        {"stash_type": 11},
    ),
    Case(
        "MeanVarianceNormalization",
        13,
        [X2],
        lambda x: (x - x.mean((0, 2, 3), keepdim=True)) / (x.std((0, 2, 3), keepdim=True, unbiased=False) + 1e-9),
    ),
    Case(
        "BatchNormalization",
        9,
        [X2, SCALE, SHIFT, MEAN, VARIANCE],
        batch_statistics,
        {"momentum": 0.75},
        outputs=5,
    ),
    Case("LRN", 13, [X2], neighbours(3), {"size": 3}),
    Case("LRN", 1, [drawn(2, 7, 3, 3)], neighbours(4), {"size": 4}),
    Case("LRN", 13, [drawn(6, 2, 3, 3)], neighbours(3), {"size": 3}),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_operator_of_ours_is_exact_where_that_of_onnx_is_not(case: Case) -> None:
    ours, theirs = distances(case)
    assert ours <= LIMIT
    assert theirs > WRONG
