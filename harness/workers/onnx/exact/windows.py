"""Sizes and padding of sliding windows, shared by convolutions and pools."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.workers.engine import Array, BadInput
from harness.workers.onnx.exact.operator import Node


@dataclass(frozen=True)
class Windows:
    """The windows over the spatial axes of an input, one entry per axis.

    Attributes:
        kernel, strides, dilations: as in the file, with their defaults.
        before, after: the padding, that of ``auto_pad`` included.
        output: number of windows.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    output: tuple[int, ...]

    @property
    def pads(self) -> list[int]:
        """The padding as the attribute ``pads`` has it."""
        return [*self.before, *self.after]


def windows(node: Node, spatial: tuple[int, ...], kernel: tuple[int, ...]) -> Windows:
    """The windows of a node over an input of given sizes.

    ``SAME_UPPER`` and ``SAME_LOWER`` give ``ceil(size / stride)`` windows and put the odd place of the padding at the end, and at
    the beginning. onnx.reference takes the kernel of a dilated pool for as small as it is without, rounds the number down for
    a strided ``SAME_LOWER`` pool, puts its odd place at the end, and pads by negative numbers where strides exceed the kernel.
    """
    rank = len(spatial)
    strides = tuple(node["strides"] or (1,) * rank)
    dilations = tuple(node["dilations"] or (1,) * rank)
    pads = tuple(node["pads"] or (0,) * (2 * rank))
    before, after = pads[:rank], pads[rank:]
    extent = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]
    auto = node["auto_pad"] or "NOTSET"
    if auto.startswith("SAME"):
        output = tuple(-(-size // stride) for size, stride in zip(spatial, strides, strict=True))
        total = [
            max(0, (count - 1) * stride + reach - size)
            for count, stride, reach, size in zip(output, strides, extent, spatial, strict=True)
        ]
        smaller, larger = tuple(n // 2 for n in total), tuple(n - n // 2 for n in total)
        before, after = (smaller, larger) if auto == "SAME_UPPER" else (larger, smaller)
        return Windows(kernel, strides, dilations, before, after, output)
    if auto == "VALID":
        before = after = (0,) * rank
    output = tuple(
        _count(size, head, tail, reach, stride, bool(node["ceil_mode"]))
        for size, head, tail, reach, stride in zip(spatial, before, after, extent, strides, strict=True)
    )
    if min(output, default=1) < 1:
        raise BadInput(f"windows of {extent} places do not fit an input of {list(spatial)} places")
    return Windows(kernel, strides, dilations, before, after, output)


def _count(size: int, before: int, after: int, reach: int, stride: int, ceiling: bool) -> int:
    room = size + before + after - reach
    if not ceiling:
        return room // stride + 1
    count = -(-room // stride) + 1
    # A last window that would start beyond the input and the padding before it is left out.
    return count - ((count - 1) * stride >= size + before)


def taps(x: Array, over: Windows, fill: float) -> Array:
    """Every window's values along a last axis: (sample, channel, window ..., tap).

    ``fill`` stands for what lies in the padding, and beyond it where the number of windows is rounded up.
    """
    reach = [
        (count - 1) * stride + (size - 1) * dilation + 1
        for count, stride, size, dilation in zip(over.output, over.strides, over.kernel, over.dilations, strict=True)
    ]
    room = [
        (head, max(tail, length - size - head))
        for head, tail, length, size in zip(over.before, over.after, reach, x.shape[2:], strict=True)
    ]
    padded = np.pad(x, [(0, 0), (0, 0), *room], constant_values=fill)
    pieces = []
    for tap in np.ndindex(*over.kernel):
        starts = [place * dilation for place, dilation in zip(tap, over.dilations, strict=True)]
        pieces.append(
            padded[
                (
                    slice(None),
                    slice(None),
                    *(
                        slice(start, start + (count - 1) * stride + 1, stride)
                        for start, count, stride in zip(starts, over.output, over.strides, strict=True)
                    ),
                )
            ]
        )
    return np.stack(pieces, -1)
