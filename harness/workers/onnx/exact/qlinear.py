"""Operators of ``com.microsoft`` on quantised values.

Each is what onnxruntime's quantiser means by it: an operator of the standard between DequantizeLinear and QuantizeLinear.
onnxruntime's own kernels multiply in single precision, and may differ by one step where a quotient is a tie.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import special

from harness.workers.engine import Array
from harness.workers.onnx.exact import pooling, quantisation, softmax
from harness.workers.onnx.exact.operator import Compute, Node
from harness.workers.onnx.exact.quantisation import over, product, saturated


def quantize_linear(node: Node, x: Array, scale: Array, zero: Array | None = None) -> Array:
    """QuantizeLinear of the standard: ``x / scale`` rounded to even, and the zero point added; uint8 without one."""
    zero = None if zero is None else over(zero, x.shape, node["axis"])
    return _quantised(x, over(scale, x.shape, node["axis"]), zero, np.uint8)


def _numbers(x: Array, scale: Array, zero: Array | None) -> Array:
    """Quantised values as numbers, in the dtype of the scale."""
    wide = x.astype(np.float64) if zero is None else x.astype(np.float64) - zero.astype(np.float64).reshape(())
    return np.asarray(wide.astype(scale.dtype) * scale.reshape(()))


def _quantised(x: Array, scale: Array, zero: Array | None, dtype: Any) -> Array:
    zero = np.zeros((), dtype) if zero is None else zero
    return saturated(np.rint(x / scale) + zero.astype(x.dtype), zero.dtype)


def _unary(compute: Callable[[Node, Array], Array]) -> Compute:
    def run(
        node: Node, x: Array, x_scale: Array, x_zero: Array | None, y_scale: Array, y_zero: Array | None = None
    ) -> Array:
        y = compute(node, _numbers(x, x_scale, x_zero))
        return _quantised(y, y_scale.reshape(()), _scalar(y_zero), x.dtype)

    run.__doc__ = f"{compute.__name__} of a quantised value."
    return run


def _binary(compute: Callable[[Array, Array], Array]) -> Compute:
    def run(
        _: Node,
        a: Array,
        a_scale: Array,
        a_zero: Array | None,
        b: Array,
        b_scale: Array,
        b_zero: Array | None,
        y_scale: Array,
        y_zero: Array | None = None,
    ) -> Array:
        y = compute(_numbers(a, a_scale, a_zero), _numbers(b, b_scale, b_zero))
        return _quantised(y, y_scale.reshape(()), _scalar(y_zero), a.dtype)

    return run


def _scalar(zero: Array | None) -> Array | None:
    return None if zero is None else zero.reshape(())


def sigmoid(_: Node, x: Array) -> Array:
    """``1 / (1 + exp(-x))``."""
    return np.asarray(special.expit(x), x.dtype)


def leaky_relu(node: Node, x: Array) -> Array:
    """``x``, or ``alpha x`` where it is negative."""
    return np.asarray(np.where(x < 0, node["alpha"] * x, x), x.dtype)


def _pool(compute: Callable[[Node, Array], Array]) -> Callable[[Node, Array], Array]:
    """A pool of images whose channels are the last axis where ``channels_last`` says so."""

    def pooled(node: Node, x: Array) -> Array:
        if not node["channels_last"]:
            return compute(node, x)
        return np.moveaxis(compute(node, np.moveaxis(x, -1, 1)), 1, -1)

    return pooled


def _mean(_: Node, x: Array) -> Array:
    return np.asarray(x.mean(tuple(range(2, x.ndim)), keepdims=True))


def qlinear_softmax(
    node: Node, x: Array, x_scale: Array, x_zero: Array | None, y_scale: Array, y_zero: Array | None = None
) -> Array:
    """Softmax as the opset of the attribute has it, times the whole part of 1 / ``y_scale``, as onnxruntime has it."""
    inner = Node(node["opset"], {"axis": node["axis"]}, node.outputs)
    y = softmax.softmax(inner, _numbers(x, x_scale, x_zero))
    return _quantised(y * np.floor(1 / y_scale.reshape(())), np.ones((), y.dtype), _scalar(y_zero), x.dtype)


def qlinear_concat(node: Node, y_scale: Array, y_zero: Array, *parts: Array) -> Array:
    """Tensors of scales of their own in one scale; ``parts`` hold a value, its scale and its zero point in turns."""
    values = [_numbers(*parts[at : at + 3]) for at in range(0, len(parts), 3)]
    return _quantised(np.concatenate(values, node["axis"]), y_scale.reshape(()), _scalar(y_zero), y_zero.dtype)


def qgemm(
    node: Node,
    a: Array,
    a_scale: Array,
    a_zero: Array,
    b: Array,
    b_scale: Array,
    b_zero: Array,
    c: Array | None = None,
    y_scale: Array | None = None,
    y_zero: Array | None = None,
) -> Array:
    """``alpha A' B' + C``, quantised where a scale of the result is given, else as numbers. C has the scale of the product."""
    left = a.T if node["transA"] else a
    right = b.T if node["transB"] else b
    sums = product(left, right, a_zero, b_zero) + (0 if c is None else c.astype(np.float64))
    y = sums.astype(a_scale.dtype) * (a_scale * b_scale) * a_scale.dtype.type(node["alpha"])
    return y if y_scale is None else _quantised(y, y_scale.reshape(()), _scalar(y_zero), a.dtype)


def matmul_integer_to_float(
    _: Node,
    a: Array,
    b: Array,
    a_scale: Array,
    b_scale: Array,
    a_zero: Array | None = None,
    b_zero: Array | None = None,
    bias: Array | None = None,
) -> Array:
    """``A B + bias`` of quantised factors, as numbers."""
    y = product(a, b, a_zero, b_zero).astype(a_scale.dtype) * (a_scale * b_scale)
    return np.asarray(y if bias is None else y + bias)


def dynamic_quantize_matmul(
    node: Node, a: Array, b: Array, b_scale: Array, b_zero: Array | None = None, bias: Array | None = None
) -> Array:
    """``A B + bias`` where A is quantised here, as DynamicQuantizeLinear does it."""
    quantised, scale, zero = quantisation.dynamic_quantize_linear(node, a)
    return matmul_integer_to_float(node, quantised, b, scale, b_scale, zero, b_zero, bias)


_WINDOWS = {"auto_pad": "NOTSET", "ceil_mode": 0, "count_include_pad": 0, "pads": None, "strides": None}

#: Operators by name, each with its attributes and their defaults.
OPERATORS: dict[str, tuple[Compute, Mapping[str, Any]]] = {
    "QuantizeLinear": (quantize_linear, {"axis": 1}),
    "DequantizeLinear": (quantisation.dequantize_linear, {"axis": 1}),
    "QLinearAdd": (_binary(np.add), {}),
    "QLinearMul": (_binary(np.multiply), {}),
    "QLinearSigmoid": (_unary(sigmoid), {}),
    "QLinearLeakyRelu": (_unary(leaky_relu), {"alpha": float(np.float32(0.01))}),
    "QLinearSoftmax": (qlinear_softmax, {"axis": -1}),
    "QLinearConcat": (qlinear_concat, {}),
    "QLinearAveragePool": (_unary(_pool(pooling.average_pool)), _WINDOWS | {"channels_last": 0}),
    "QLinearGlobalAveragePool": (_unary(_pool(_mean)), {"channels_last": 0}),
    "QGemm": (qgemm, {"alpha": 1.0, "transA": 0, "transB": 0}),
    "MatMulIntegerToFloat": (matmul_integer_to_float, {}),
    "DynamicQuantizeMatMul": (dynamic_quantize_matmul, {}),
}
