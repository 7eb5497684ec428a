"""The transposed convolution."""

from __future__ import annotations

import numpy as np

from harness.workers.engine import Array
from harness.workers.onnx.exact.operator import Node


def conv_transpose(node: Node, x: Array, weights: Array, bias: Array | None = None) -> Array:
    """The transposed convolution: every value of ``x`` adds its kernel, scaled, to the output at its stride.

    onnx.reference mixes up output channels of several per group, and ignores ``output_shape`` where ``pads`` are given as well
    as the padding that VALID and SAME leave to be found.
    """
    spatial, kernel = x.shape[2:], weights.shape[2:]
    rank = len(spatial)
    strides = node["strides"] or [1] * rank
    dilations = node["dilations"] or [1] * rank
    extra = node["output_padding"] or [0] * rank
    full = [
        stride * (size - 1) + more + (length - 1) * dilation + 1
        for stride, size, more, length, dilation in zip(strides, spatial, extra, kernel, dilations, strict=True)
    ]
    before, sizes = _placed(node, spatial, strides, full)
    groups = node["group"]
    per_group = weights.shape[1]
    canvas = np.zeros((x.shape[0], per_group * groups, *full), x.dtype)
    for group in range(groups):
        channels = x.shape[1] // groups
        part = x[:, group * channels : (group + 1) * channels]
        kernels = weights[group * channels : (group + 1) * channels]
        target = canvas[:, group * per_group : (group + 1) * per_group]
        for tap in np.ndindex(*kernel):
            added = np.moveaxis(np.tensordot(part, kernels[(slice(None), slice(None), *tap)], ([1], [0])), -1, 1)
            places = tuple(
                slice(at * dilation, at * dilation + stride * (size - 1) + 1, stride)
                for at, dilation, stride, size in zip(tap, dilations, strides, spatial, strict=True)
            )
            target[(slice(None), slice(None), *places)] += added
    y = _cut(canvas, before, sizes)
    return y if bias is None else np.asarray(y + bias.reshape(1, -1, *(1,) * rank), x.dtype)


def _placed(node: Node, spatial: tuple[int, ...], strides: list[int], full: list[int]) -> tuple[list[int], list[int]]:
    """What is cut off before, and the sizes that remain; both per spatial axis."""
    rank = len(spatial)
    auto = node["auto_pad"] or "NOTSET"
    wanted = node["output_shape"]
    if not wanted and auto.startswith("SAME"):
        wanted = [size * stride for size, stride in zip(spatial, strides, strict=True)]
    if wanted:
        sizes = list(wanted[-rank:])
        # An output larger than what the kernels reach ends in zeros.
        total = [max(0, length - size) for length, size in zip(full, sizes, strict=True)]
        # As the standard states it: the larger half first, except for SAME_UPPER.
        before = [n // 2 if auto == "SAME_UPPER" else n - n // 2 for n in total]
        return before, sizes
    pads = (node["pads"] if auto == "NOTSET" else None) or [0] * (2 * rank)
    sizes = [length - head - tail for length, head, tail in zip(full, pads[:rank], pads[rank:], strict=True)]
    return list(pads[:rank]), sizes


def _cut(canvas: Array, before: list[int], sizes: list[int]) -> Array:
    """Cut, or fill with zeros where the output asked for is larger than what the kernels reach."""
    room = [
        (0, max(0, start + size - length)) for start, size, length in zip(before, sizes, canvas.shape[2:], strict=True)
    ]
    kept = [slice(start, start + size) for start, size in zip(before, sizes, strict=True)]
    return np.pad(canvas, [(0, 0), (0, 0), *room])[(slice(None), slice(None), *kept)]
