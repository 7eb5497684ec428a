"""Operators of ``com.microsoft`` that onnxruntime's optimiser writes in place of several of the standard.

Formulas are those of onnxruntime's ``ContribOperators.md`` and, where that says nothing, of its kernels for CPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import special

from harness.workers.engine import Array, Unsupported
from harness.workers.onnx.exact import activations, convolution, normalisation
from harness.workers.onnx.exact.operator import Compute, Node

_WINDOWS: dict[str, Any] = {
    "auto_pad": "NOTSET",
    "dilations": None,
    "group": 1,
    "kernel_shape": None,
    "pads": None,
    "strides": None,
}
#: Activations of one value, with the numbers that they take and the defaults of these, in order.
_ACTIVATIONS: dict[str, tuple[Callable[..., Array], dict[str, float | None]]] = {
    "Relu": (lambda x: np.maximum(x, 0), {}),
    "Sigmoid": (special.expit, {}),
    "Tanh": (np.tanh, {}),
    "Softplus": (lambda x: np.logaddexp(x, 0), {}),
    "Softsign": (lambda x: x / (1 + np.abs(x)), {}),
    "LeakyRelu": (lambda x, alpha: np.where(x < 0, alpha * x, x), {"alpha": 0.01}),
    "Elu": (lambda x, alpha: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x), {"alpha": 1.0}),
    "Selu": (
        lambda x, alpha, gamma: gamma * np.where(x <= 0, alpha * np.expm1(np.minimum(x, 0)), x),
        {"alpha": 1.6732631921768188, "gamma": 1.0507010221481323},
    ),
    "ThresholdedRelu": (lambda x, alpha: np.where(x > alpha, x, 0), {"alpha": 1.0}),
    "HardSigmoid": (lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1), {"alpha": 0.2, "beta": 0.5}),
    "Clip": (lambda x, low, high: np.clip(x, low, high), {"min": None, "max": None}),
}


def _activated(x: Array, activation: str | None, given: Mapping[str, float | None] | Sequence[float]) -> Array:
    """``given``: numbers of the activation, by name or in its order; what is None or absent has its default."""
    if not activation:
        return x
    if activation not in _ACTIVATIONS:
        raise Unsupported(f"the activation {activation} is not supported by python/onnx-reference")
    function, defaults = _ACTIVATIONS[activation]
    known = given if isinstance(given, Mapping) else dict(zip(defaults, given, strict=False))
    # Defaults are float32, as all floats of a file.
    numbers = [known[name] if known.get(name) is not None else default for name, default in defaults.items()]
    if None in numbers:
        raise Unsupported(f"the activation {activation} without its limits")
    return np.asarray(function(x, *(float(np.float32(number)) for number in numbers)), x.dtype)


def fused_conv(node: Node, x: Array, w: Array, bias: Array | None = None, added: Array | None = None) -> Array:
    """``activation(Conv(x, w, bias) + added)``."""
    y = convolution.conv(node, x, w, bias)
    return _activated(y if added is None else y + added, node["activation"], node["activation_params"] or ())


def fused_gemm(node: Node, a: Array, b: Array, c: Array | None = None) -> Array:
    """``activation(alpha A' B' + beta C)``."""
    y = node["alpha"] * ((a.T if node["transA"] else a) @ (b.T if node["transB"] else b))
    if c is not None:
        y = y + node["beta"] * c
    numbers = {name: node[f"activation_{name}"] for name in ("alpha", "beta", "gamma")}
    return _activated(np.asarray(y, a.dtype), node["activation"], numbers)


def fused_matmul(node: Node, a: Array, b: Array) -> Array:
    """``alpha A' B'``: ``transA`` exchanges the last two axes, ``transBatchA`` moves the first axis before the last."""
    return np.asarray(node["alpha"] * (_turned(node, a, "A") @ _turned(node, b, "B")), a.dtype)


def _turned(node: Node, x: Array, side: str) -> Array:
    if x.ndim < 2:
        return x
    if node[f"transBatch{side}"]:
        x = np.moveaxis(x, 0, -2)
    return x.swapaxes(-1, -2) if node[f"trans{side}"] else x


def gelu(node: Node, x: Array, bias: Array | None = None) -> Array:
    """``z Phi(z)`` of ``z = x + bias``."""
    return activations.gelu(Node(node.opset, {"approximate": "none"}, node.outputs), x if bias is None else x + bias)


def fast_gelu(node: Node, x: Array, bias: Array | None = None) -> Array:
    """The same by its approximation with a hyperbolic tangent."""
    return activations.gelu(Node(node.opset, {"approximate": "tanh"}, node.outputs), x if bias is None else x + bias)


def quick_gelu(node: Node, x: Array) -> Array:
    """``x sigmoid(alpha x)``."""
    return np.asarray(x * special.expit(np.asarray(node["alpha"] * x)), x.dtype)


def skip_layer_normalization(
    node: Node, x: Array, skip: Array, scale: Array, shift: Array | None = None, bias: Array | None = None
) -> tuple[Array, Array, Array, Array]:
    """The layer normalisation of ``x + skip + bias``; mean, 1 / deviation and the sum beside it."""
    total = x + skip if bias is None else x + skip + bias
    inner = Node(17, {"axis": -1, "epsilon": node["epsilon"]}, node.outputs)
    return (*normalisation.layer_normalization(inner, total, scale, shift), total)


def skip_rms_normalization(
    node: Node, x: Array, skip: Array, scale: Array, bias: Array | None = None
) -> tuple[Array, None, None, Array]:
    """``x + skip + bias`` over the root of its mean square; the sum is the fourth output."""
    total = x + skip if bias is None else x + skip + bias
    if node.asked(1) or node.asked(2):
        raise Unsupported("SkipSimplifiedLayerNormalization with the output of mean or deviation")
    inner = Node(23, {"axis": -1, "epsilon": node["epsilon"]}, node.outputs)
    return normalisation.rms_normalization(inner, total, scale), None, None, total


_SKIP = {"epsilon": float(np.float32(1e-12))}

#: Operators by name, each with its attributes and their defaults.
OPERATORS: dict[str, tuple[Compute, Mapping[str, Any]]] = {
    "FusedConv": (fused_conv, _WINDOWS | {"activation": None, "activation_params": None}),
    "FusedGemm": (fused_gemm, {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}),
    "FusedMatMul": (
        fused_matmul,
        {"alpha": 1.0, "transA": 0, "transB": 0, "transBatchA": 0, "transBatchB": 0},
    ),
    "Gelu": (gelu, {}),
    "BiasGelu": (gelu, {}),
    "FastGelu": (fast_gelu, {}),
    "QuickGelu": (quick_gelu, {"alpha": float(np.float32(1.702))}),
    "SkipLayerNormalization": (skip_layer_normalization, _SKIP),
    "SkipSimplifiedLayerNormalization": (skip_rms_normalization, _SKIP),
}
