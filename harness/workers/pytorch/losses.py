"""Losses in PyTorch by their standard names: what a model is trained with."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import functional

from harness.workers.engine import Array, BadInput


def mean_loss(name: str, head: str, output: torch.Tensor, target: Mapping[str, Array]) -> torch.Tensor:
    """Mean loss of a batch over everything that counts: under ``mask`` where the target has one, else over all of ``y``.

    ``cross-entropy``: output (sample, class, *place), labels (sample, *place). ``binary-cross-entropy`` and ``mse``: of every
    value. Where nothing counts the loss is 0. Raises BadInput on another name.
    """
    truth = torch.from_numpy(target["y"])
    mask = torch.from_numpy(target["mask"]) if "mask" in target else None
    if name == "cross-entropy":
        return (
            _cross_entropy(output, truth, head) if mask is None else _counted(_label_losses(output, truth, head), mask)
        )
    if name == "mse":
        each = (output - truth) ** 2
    elif name == "binary-cross-entropy":
        each = _binary_cross_entropy(output, truth.to(output.dtype), head)
    else:
        raise BadInput(f"loss '{name}' cannot be trained with PyTorch")
    return each.mean() if mask is None else _counted(each, mask)


def _counted(each: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return torch.where(mask, each, 0.0).sum() / max(int(mask.sum()), 1)


def _cross_entropy(output: torch.Tensor, labels: torch.Tensor, head: str, reduction: str = "mean") -> torch.Tensor:
    if head == "logits":
        return functional.cross_entropy(output, labels, reduction=reduction)
    if head == "softmax":
        output = output.clamp_min(torch.finfo(output.dtype).tiny).log()
    return functional.nll_loss(output, labels, reduction=reduction)


def _label_losses(output: torch.Tensor, labels: torch.Tensor, head: str) -> torch.Tensor:
    """The loss of every label, (sample, *place)."""
    # As a long list of samples: over images PyTorch's own has no deterministic gradient on CUDA.
    listed = output.movedim(1, -1).reshape(-1, output.shape[1])
    return _cross_entropy(listed, labels.reshape(-1), head, "none").reshape(labels.shape)


def _binary_cross_entropy(output: torch.Tensor, truth: torch.Tensor, head: str) -> torch.Tensor:
    if head == "logits":
        return functional.binary_cross_entropy_with_logits(output, truth, reduction="none")
    return functional.binary_cross_entropy(output, truth, reduction="none")
