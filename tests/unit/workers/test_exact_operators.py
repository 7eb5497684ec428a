"""Functions of one value, of a whole tensor and of places in one, against formulas of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.unit.workers.exact_cases import LIMIT, WRONG, X1, X2, Case, distances, drawn, torch

F = torch.nn.functional


def flattened(compute: Callable[[Any], Any], axis: int) -> Callable[[Any], Any]:
    return lambda x: compute(x.reshape(int(np.prod(x.shape[:axis])), -1)).reshape(x.shape)


CASES = [
    Case("Erf", 13, [X1], torch.erf),
    Case("Gelu", 20, [X1], F.gelu),
    Case("Gelu", 20, [X1], lambda x: F.gelu(x, approximate="tanh"), {"approximate": "tanh"}),
    Case("Softsign", 22, [np.array(-0.7)], F.softsign),
    Case(
        "GatherElements",
        13,
        [X1, np.array([[[-1, 0]] * 4] * 3)],
        lambda x, _: torch.stack([x[..., -1], x[..., 0]], -1),
        {"axis": -1},
    ),
    Case(
        "Unique",
        11,
        [np.array([[2.0, 1.0], [3.0, 1.0]])],
        lambda _: (np.array([2.0, 1.0, 3.0]), np.array([0, 1, 2]), np.array([0, 1, 2, 1]), np.array([1, 2, 1])),
        {"sorted": 0},
        outputs=4,
    ),
    Case(
        "NegativeLogLikelihoodLoss",
        13,
        [X1, np.where(drawn(3, 11, seed=9) < 0, -1, 2)],
        lambda x, y: F.nll_loss(x, y, ignore_index=-1),
        {"ignore_index": -1},
    ),
    Case("Pad", 13, [X1, np.array([0, 1, -2, -1, 0, 3])], lambda x, _: F.pad(x, (-2, 3, 1, 0, 0, -1))),
    Case("Flatten", 13, [drawn(0, 3, 2)], lambda x: x.reshape(0, 6)),
    Case("HardSwish", 14, [4 * X1], F.hardswish),
    Case("Softmax", 11, [X2], flattened(lambda x: x.softmax(-1), 1)),
    Case("Softmax", 12, [X2], flattened(lambda x: x.softmax(-1), 2), {"axis": 2}),
    Case("LogSoftmax", 9, [X2], flattened(lambda x: x.log_softmax(-1), 1)),
    Case("LogSoftmax", 13, [400 * X2], lambda x: x.log_softmax(-1)),
    Case("Hardmax", 11, [X2], flattened(lambda x: F.one_hot(x.argmax(-1), x.shape[-1]).double(), 1)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_operator_of_ours_is_exact_where_that_of_onnx_is_not(case: Case) -> None:
    ours, theirs = distances(case)
    assert ours <= LIMIT
    assert theirs > WRONG
