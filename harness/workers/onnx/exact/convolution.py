"""Convolutions as products of matrices, and the transposed ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.workers.engine import Array, BadInput
from harness.workers.onnx.exact.operator import Node
from harness.workers.onnx.exact.windows import Windows, windows

#: Bytes of the windows that are copied out at a time; a smaller convolution is one product.
WORKSPACE = 1 << 26


def conv(node: Node, x: Array, weights: Array, bias: Array | None = None) -> Array:
    """The convolution: windows copied out into the columns of a matrix, which the filters multiply from the left (BLAS).

    onnx.reference finds every window by an index of whole numbers, and copies all of them at once: 10 GB for 64 channels of two
    images of 1024 x 1024. It fills a dilated kernel with zeros, which make NaN of an infinity that no window holds.
    """
    groups = node["group"]
    filters, per_group = weights.shape[:2]
    if x.ndim < 3 or x.ndim != weights.ndim:
        raise BadInput(f"Conv of an input of {x.ndim} axes with filters of {weights.ndim}")
    if x.shape[1] != per_group * groups or filters % groups:
        raise BadInput(f"Conv of {x.shape[1]} channels with filters of shape {list(weights.shape)} in {groups} groups")
    over = windows(node, x.shape[2:], weights.shape[2:])
    room = [(0, 0), (0, 0), *zip(over.before, over.after, strict=True)]
    view = _window_view(np.pad(x, room) if any(map(any, room)) else np.ascontiguousarray(x), over)
    y = np.empty((x.shape[0], filters, *over.output), x.dtype)
    rows = weights.reshape(groups, filters // groups, -1)
    for samples, first in _tiles(view, over, x.itemsize):
        part = view[(*(slice(None),) * (1 + len(over.kernel)), samples, first)]
        product = rows @ part.reshape(groups, rows.shape[-1], -1)
        spread = product.reshape(filters, *part.shape[1 + len(over.kernel) :])
        y[samples, :, first] = np.moveaxis(spread, 0, 1)
    return y if bias is None else np.asarray(y + bias.reshape(1, -1, *(1,) * len(over.kernel)), x.dtype)


def _window_view(x: Array, over: Windows) -> Array:
    """Every window of a padded input, nothing copied: (channel, tap ..., sample, window ...)."""
    steps = x.strides[2:]
    taps = [step * dilation for step, dilation in zip(steps, over.dilations, strict=True)]
    moves = [step * stride for step, stride in zip(steps, over.strides, strict=True)]
    return np.lib.stride_tricks.as_strided(
        x,
        (x.shape[1], *over.kernel, x.shape[0], *over.output),
        (x.strides[1], *taps, x.strides[0], *moves),
        writeable=False,
    )


def _tiles(view: Array, over: Windows, itemsize: int) -> Iterator[tuple[slice, slice]]:
    """Samples, and places along the first spatial axis, whose windows fit into the workspace."""
    rank = len(over.kernel)
    samples, places = view.shape[1 + rank], over.output[0]
    line = itemsize * view.size // max(1, samples * places)
    most = max(1, WORKSPACE // max(1, line))
    if most >= places:
        together = max(1, most // max(1, places))
        for start in range(0, samples, together):
            yield slice(start, start + together), slice(None)
        return
    for sample in range(samples):
        for start in range(0, places, most):
            yield slice(sample, sample + 1), slice(start, start + most)


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
