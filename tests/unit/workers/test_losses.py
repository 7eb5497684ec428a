"""Losses of PyTorch and of Keras against those of arrays, for every head, with and without a mask."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from harness.tasks.losses import losses_of

torch = pytest.importorskip("torch", reason="its losses are tested: pip install torch")

from harness.workers.engine import BadInput  # noqa: E402
from harness.workers.pytorch.losses import mean_loss  # noqa: E402

RANDOM = np.random.default_rng(8)


def softmax(values: Any) -> Any:
    powers = np.exp(values)
    return powers / powers.sum(axis=1, keepdims=True)


HEADS = {
    "logits": lambda values: values,
    "log-softmax": lambda values: np.log(softmax(values)),
    "softmax": softmax,
    "sigmoid": lambda values: 1 / (1 + np.exp(-values)),
    "linear": lambda values: values,
}
MASK = RANDOM.random((4, 5, 6)) < 0.6
CASES = [
    *(
        ("cross-entropy", head, (4, 3, 5, 6), {"y": RANDOM.integers(0, 3, (4, 5, 6)), "mask": MASK})
        for head in ("logits", "log-softmax", "softmax")
    ),
    ("cross-entropy", "logits", (7, 3), {"y": RANDOM.integers(0, 3, 7)}),
    *(
        ("binary-cross-entropy", head, (9, 4), {"y": (RANDOM.random((9, 4)) < 0.5).astype(np.int64)})
        for head in ("logits", "sigmoid")
    ),
    ("mse", "linear", (9, 2), {"y": RANDOM.normal(size=(9, 2)).astype(np.float32)}),
    ("mse", "sigmoid", (4, 5, 6), {"y": RANDOM.random((4, 5, 6)).astype(np.float32), "mask": MASK}),
]


def output_of(head: str, shape: tuple[int, ...]) -> Any:
    return HEADS[head](np.random.default_rng(2).normal(size=shape)).astype(np.float32)


@pytest.mark.parametrize(("name", "head", "shape", "target"), CASES)
def test_pytorch_trains_with_the_loss_that_is_validated(
    name: str, head: str, shape: tuple[int, ...], target: dict[str, Any]
) -> None:
    output = output_of(head, shape)
    expected = losses_of(name, head, output, target)
    assert expected.shape == (target["mask"].sum() if "mask" in target else target["y"].size,)
    found = torch.from_numpy(output).requires_grad_()
    loss = mean_loss(name, head, found, target)
    assert loss.item() == pytest.approx(expected.mean(), rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, found)
    if "mask" in target:
        of_pixels = np.abs(gradient.numpy()).sum(axis=1) if len(shape) == 4 else np.abs(gradient.numpy())
        assert ((of_pixels > 0) == target["mask"]).all()


def test_a_target_without_a_pixel_that_counts_costs_nothing() -> None:
    target = {"y": np.zeros((4, 5, 6), np.int64), "mask": np.zeros((4, 5, 6), bool)}
    loss = mean_loss("cross-entropy", "logits", torch.from_numpy(output_of("logits", (4, 3, 5, 6))), target)
    assert loss.item() == 0


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(BadInput, match="loss 'hinge' cannot be trained with PyTorch"):
        mean_loss("hinge", "logits", torch.zeros(1, 2), {"y": np.zeros(1, np.int64)})


SCRIPT = """
import numpy as np
from tests.unit.workers.test_losses import CASES, losses_of, output_of
from harness.workers.keras.losses import loss_of, packed
from keras import ops
for name, head, shape, target in CASES:
    output = output_of(head, shape)
    loss = loss_of(name, head, masked="mask" in target)
    # Keras itself makes float32 of targets.
    given = ops.convert_to_tensor(packed(target).astype(np.float32))
    found = float(ops.convert_to_numpy(ops.mean(loss(given, ops.convert_to_tensor(output)))))
    np.testing.assert_allclose(found, losses_of(name, head, output, target).mean(), rtol=1e-5)
print(len(CASES))
"""


@pytest.mark.parametrize("backend", ["torch", pytest.param("tensorflow", marks=pytest.mark.slow)])
def test_keras_trains_with_the_loss_that_is_validated(backend: str) -> None:
    pytest.importorskip("keras", reason="its losses are tested: pip install keras")
    pytest.importorskip(backend, reason=f"Keras computes with it: pip install {backend}")
    variables = os.environ | {"KERAS_BACKEND": backend}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) == len(CASES)
