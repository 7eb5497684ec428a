"""Quantised operators: whole numbers exactly, the products with scales in the dtype of the scale.

onnx.reference has DequantizeLinear from opset 19 on alone and computes it and DynamicQuantizeLinear in float32, has QLinearConv and
ConvInteger with parameters per channel for images alone, and rounds the result of QLinearConv and QLinearMatMul after the zero
point is added, where the standard rounds before (ties to even fall otherwise with an odd zero point).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx.reference.ops.op_conv import _conv_implementation

from harness.workers.engine import Array
from harness.workers.onnx.exact.operator import Node


def dequantize_linear(node: Node, x: Array, scale: Array, zero: Array | None = None) -> Array:
    """``(x - zero) scale``, the parameters for all, by places of ``axis``, or by blocks of it."""
    axis, block = node["axis"], node["block_size"] or 0
    wide = x.astype(np.float64)
    if zero is not None:
        wide = wide - over(zero.astype(np.float64), x.shape, axis, block)
    # A difference of whole numbers is exact in double, and in float32 for all but 32-bit ones.
    return wide.astype(scale.dtype) * over(scale, x.shape, axis, block)


def dynamic_quantize_linear(_: Node, x: Array) -> tuple[Array, Array, Array]:
    """``x`` in 0 to 255 with its own scale and zero point, between which 0 lies."""
    low, high = np.minimum(x.min(initial=0), 0), np.maximum(x.max(initial=0), 0)
    scale = np.asarray((high - low) / x.dtype.type(255) if high > low else 1 / x.dtype.type(255), x.dtype)
    zero = np.asarray(np.clip(np.rint(-low / scale), 0, 255))
    return saturated(np.rint(x / scale) + zero, np.dtype(np.uint8)), scale, zero.astype(np.uint8)


def conv_integer(node: Node, x: Array, w: Array, x_zero: Array | None = None, w_zero: Array | None = None) -> Array:
    """The convolution of whole numbers less their zero points, that of ``w`` for all or by filter."""
    return _convolved(node, x, w, x_zero, w_zero).astype(np.int32)


def qlinear_conv(
    node: Node,
    x: Array,
    x_scale: Array,
    x_zero: Array,
    w: Array,
    w_scale: Array,
    w_zero: Array,
    y_scale: Array,
    y_zero: Array,
    bias: Array | None = None,
) -> Array:
    """A convolution of quantised values, quantised again; parameters of ``w`` for all or by filter. ``bias`` is quantised, too."""
    y = _convolved(node, x, w, x_zero, w_zero)
    if bias is not None:
        y = y + bias.astype(np.float64).reshape(1, -1, *(1,) * (x.ndim - 2))
    factor = x_scale * over(w_scale, y.shape, 1) / y_scale
    return saturated(np.rint(y.astype(factor.dtype) * factor) + y_zero.astype(factor.dtype), y_zero.dtype)


def qlinear_matmul(
    _: Node,
    a: Array,
    a_scale: Array,
    a_zero: Array,
    b: Array,
    b_scale: Array,
    b_zero: Array,
    y_scale: Array,
    y_zero: Array,
) -> Array:
    """A product of quantised matrices, quantised again; parameters of ``a`` for all or by row, of ``b`` for all or by column."""
    a_scale, a_zero = (_as_rows(value) for value in (a_scale, a_zero))
    factor = a_scale * b_scale / y_scale
    y = product(a, b, a_zero, b_zero)
    return saturated(np.rint(y.astype(factor.dtype) * factor) + y_zero.astype(factor.dtype), y_zero.dtype)


def product(a: Array, b: Array, a_zero: Array | None, b_zero: Array | None) -> Array:
    """The product of matrices of whole numbers less their zero points, in double, which holds it exactly."""
    left = a.astype(np.float64) if a_zero is None else a.astype(np.float64) - a_zero
    right = b.astype(np.float64) if b_zero is None else b.astype(np.float64) - b_zero
    return np.asarray(left @ right)


def _convolved(node: Node, x: Array, w: Array, x_zero: Array | None, w_zero: Array | None) -> Array:
    """In double, which holds every sum of products of these whole numbers."""
    wide, filters = x.astype(np.float64), w.astype(np.float64)
    if x_zero is not None:
        wide = wide - x_zero.astype(np.float64).reshape(())
    if w_zero is not None:
        filters = filters - over(w_zero.astype(np.float64), w.shape, 0)
    names = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    return np.asarray(_conv_implementation(wide, filters, None, *(node[name] for name in names)))


def over(values: Array, shape: tuple[int, ...], axis: int, block: int = 0) -> Array:
    """Parameters of a tensor of a shape so that they broadcast over it: one for all, by places of an axis, or by blocks of it."""
    if values.size == 1:
        return values.reshape(())
    if block:
        return np.take(np.repeat(values, block, axis), range(shape[axis]), axis)
    return values.reshape([-1 if place == axis % len(shape) else 1 for place in range(len(shape))])


def _as_rows(values: Array) -> Array:
    return values[:, None] if values.ndim == 1 and values.size > 1 else values


def saturated(values: Array, dtype: np.dtype[Any]) -> Array:
    """Values in a type of whole numbers; what lies beyond its limits becomes the limit."""
    limits = np.iinfo(dtype)
    return np.clip(values, limits.min, limits.max).astype(dtype)
