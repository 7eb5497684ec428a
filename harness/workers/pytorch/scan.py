"""Recurrent layers of PyTorch whose loop over time an exporter can keep as a loop.

``torch.export`` follows a loop of Python step by step, so that a file holds one copy of the layer for every step and fits
one length of time alone. PyTorch's ``scan`` is one operator of the exported program, which becomes ONNX Scan.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator

import torch
from torch import Tensor
from torch._higher_order_ops.scan import scan


def _forward(layer: torch.nn.Module, x: Tensor) -> Tensor:
    """What the layer's own loop computes: hidden states of all steps, time on axis 2."""
    hidden, cell = layer.start(x)

    def step(state: tuple[Tensor, Tensor], frame: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        new = layer.step(frame, *state)
        # The tensors that scan returns must not share memory.
        return new, new[0].clone()

    _, states = scan(step, (hidden, cell.clone()), x.movedim(2, 0))
    found: Tensor = states.movedim(0, 2)
    return found


@contextlib.contextmanager
def time_as_scan(module: torch.nn.Module) -> Iterator[int]:
    """Within the block, layers with ``start`` and ``step`` loop over time by PyTorch's ``scan``; yields their number."""
    layers = [layer for layer in module.modules() if hasattr(layer, "start") and hasattr(layer, "step")]
    for layer in layers:
        layer.forward = types.MethodType(_forward, layer)
    try:
        yield len(layers)
    finally:
        for layer in layers:
            del layer.forward
