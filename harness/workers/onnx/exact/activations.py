"""Functions of one value at a time.

onnx.reference computes Erf with ``np.vectorize(erf, otypes=["f"])``, which is single precision, and Gelu and HardSwish
through functions of the standard whose constants are float32: their errors in float64 are 3e-8 and 4e-8.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from harness.workers.engine import Array
from harness.workers.onnx.exact.operator import Node


def erf(_: Node, x: Array) -> Array:
    """The error function."""
    return np.asarray(special.erf(x), x.dtype)


def gelu(node: Node, x: Array) -> Array:
    """``x Phi(x)``, or its approximation by a hyperbolic tangent (Hendrycks and Gimpel, 2016)."""
    if node["approximate"] == "tanh":
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return np.asarray(0.5 * x * (1 + np.tanh(inner)), x.dtype)
    # erfc keeps the digits where Phi is small; 1 + erf would lose them.
    return np.asarray(0.5 * x * special.erfc(-x / math.sqrt(2)), x.dtype)


def hard_swish(_: Node, x: Array) -> Array:
    """``x max(0, min(1, x / 6 + 1 / 2))``: onnx.reference takes 1 / 6 as float32."""
    return np.asarray(x * np.clip(x / 6 + 0.5, 0, 1), x.dtype)


def softsign(_: Node, x: Array) -> Array:
    """``x / (1 + |x|)``: onnx.reference breaks on a tensor without axes."""
    return np.asarray(x / (1 + np.abs(x)), x.dtype)
