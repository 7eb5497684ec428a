"""LSTM, GRU and RNN.

onnx.reference ignores ``sequence_lens``, ``clip`` and ``input_forget``, and all ``activations`` but those of RNN, of which it knows
two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from harness.workers.engine import Array, Unsupported
from harness.workers.onnx.exact.operator import Node

#: One step: the state after a value of the series, from that value and the state before.
Step = Callable[[Array, tuple[Array, ...]], tuple[Array, ...]]

#: alpha and beta of the activations that have some, as the standard gives them.
_DEFAULTS = {
    "affine": (1.0, 0.0),
    "leakyrelu": (0.01, 0.0),
    "thresholdedrelu": (1.0, 0.0),
    "scaledtanh": (1.0, 1.0),
    "hardsigmoid": (0.2, 0.5),
    "elu": (1.0, 0.0),
}
#: How many of alpha and beta an activation takes from the attributes.
_TAKES = {"affine": 2, "leakyrelu": 1, "thresholdedrelu": 1, "scaledtanh": 2, "hardsigmoid": 2, "elu": 1}


@dataclass(frozen=True)
class _Direction:
    """What belongs to one direction: weights, and the activations in their order."""

    weights: Array
    recurrent: Array
    bias: Array
    functions: list[Callable[[Array], Array]]


def lstm(
    node: Node,
    x: Array,
    weights: Array,
    recurrent: Array,
    bias: Array | None = None,
    lengths: Array | None = None,
    hidden: Array | None = None,
    cell: Array | None = None,
    peepholes: Array | None = None,
) -> tuple[Array, ...]:
    """Long short-term memory (Hochreiter and Schmidhuber, 1997; peepholes: Gers and Schmidhuber, 2000).

    ``x`` is (step, sample, feature), or (sample, step, feature) with ``layout`` 1; gates lie in the order i, o, f, c.
    """
    size = recurrent.shape[-1]

    def step_of(way: _Direction, direction: int) -> Step:
        f, g, h = way.functions
        gates_bias = way.bias[: 4 * size] + way.bias[4 * size :]
        peep = np.zeros(3 * size, x.dtype) if peepholes is None else peepholes[direction]
        p_i, p_o, p_f = np.split(peep, 3)

        def step(value: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
            before, memory = state
            gates = value @ way.weights.T + before @ way.recurrent.T + gates_bias
            i, o, forget, c = np.split(gates, 4, -1)
            entered = f(_clipped(node, i + p_i * memory))
            kept = 1 - entered if node["input_forget"] else f(_clipped(node, forget + p_f * memory))
            memory = kept * memory + entered * g(_clipped(node, c))
            left = f(_clipped(node, o + p_o * memory))
            return left * h(memory), memory

        return step

    return _run(node, x, (weights, recurrent, bias), lengths, (hidden, cell), ["Sigmoid", "Tanh", "Tanh"], step_of)


def gru(
    node: Node,
    x: Array,
    weights: Array,
    recurrent: Array,
    bias: Array | None = None,
    lengths: Array | None = None,
    hidden: Array | None = None,
) -> tuple[Array, ...]:
    """Gated recurrent unit (Cho et al., 2014); gates lie in the order z, r, h. ``linear_before_reset`` is cuDNN's form."""
    size = recurrent.shape[-1]

    def step_of(way: _Direction, _: int) -> Step:
        f, g = way.functions
        input_bias, state_bias = np.split(way.bias, 2)
        gates_r, hidden_r = way.recurrent[: 2 * size], way.recurrent[2 * size :]

        def step(value: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
            (before,) = state
            entering = value @ way.weights.T + input_bias
            gates = f(_clipped(node, entering[:, : 2 * size] + before @ gates_r.T + state_bias[: 2 * size]))
            z, r = np.split(gates, 2, -1)
            if node["linear_before_reset"]:
                inner = r * (before @ hidden_r.T + state_bias[2 * size :])
            else:
                inner = (r * before) @ hidden_r.T + state_bias[2 * size :]
            proposed = g(_clipped(node, entering[:, 2 * size :] + inner))
            return ((1 - z) * proposed + z * before,)

        return step

    return _run(node, x, (weights, recurrent, bias), lengths, (hidden,), ["Sigmoid", "Tanh"], step_of)


def rnn(
    node: Node,
    x: Array,
    weights: Array,
    recurrent: Array,
    bias: Array | None = None,
    lengths: Array | None = None,
    hidden: Array | None = None,
) -> tuple[Array, ...]:
    """A plain recurrent layer (Elman, 1990)."""

    def step_of(way: _Direction, _: int) -> Step:
        (f,) = way.functions
        both = np.add(*np.split(way.bias, 2))

        def step(value: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
            return (f(_clipped(node, value @ way.weights.T + state[0] @ way.recurrent.T + both)),)

        return step

    return _run(node, x, (weights, recurrent, bias), lengths, (hidden,), ["Tanh"], step_of)


def _run(
    node: Node,
    x: Array,
    parameters: tuple[Array, Array, Array | None],
    lengths: Array | None,
    initial: tuple[Array | None, ...],
    usual: list[str],
    step_of: Callable[[_Direction, int], Step],
) -> tuple[Array, ...]:
    """All directions over all steps. Returns the states of all steps, and the last ones."""
    weights, recurrent, bias = parameters
    if node["layout"]:
        x = x.swapaxes(0, 1)
        initial = tuple(None if value is None else value.swapaxes(0, 1) for value in initial)
    steps, samples = x.shape[:2]
    count, size = weights.shape[0], recurrent.shape[-1]
    if bias is None:
        bias = np.zeros((count, 2 * weights.shape[1]), x.dtype)
    functions = _functions(node, usual * count)
    ends = np.full(samples, steps) if lengths is None else np.asarray(lengths, np.int64)
    y = np.zeros((steps, count, samples, size), x.dtype)
    last = [np.zeros((count, samples, size), x.dtype) for _ in initial]
    for direction in range(count):
        own = functions[direction * len(usual) : (direction + 1) * len(usual)]
        step = step_of(_Direction(weights[direction], recurrent[direction], bias[direction], own), direction)
        state = tuple(np.zeros((samples, size), x.dtype) if value is None else value[direction] for value in initial)
        backwards = node["direction"] == "reverse" or direction == 1
        for at in reversed(range(steps)) if backwards else range(steps):
            # A series that is over keeps its state, and its outputs are 0; backwards it has not begun.
            running = (at < ends)[:, None]
            state = tuple(
                np.where(running, new, old).astype(x.dtype) for new, old in zip(step(x[at], state), state, strict=True)
            )
            y[at, direction] = np.where(running, state[0], 0)
        for kept, value in zip(last, state, strict=True):
            kept[direction] = value
    if node["layout"]:
        return (y.transpose(2, 0, 1, 3), *(value.swapaxes(0, 1) for value in last))
    return (y, *last)


def _clipped(node: Node, values: Array) -> Array:
    """``clip`` bounds what goes into an activation."""
    clip = node["clip"]
    return values if clip is None else np.clip(values, -clip, clip)


def _functions(node: Node, usual: list[str]) -> list[Callable[[Array], Array]]:
    """The activations; alphas and betas are handed out in order to those that take some."""
    alphas, betas = list(node["activation_alpha"] or []), list(node["activation_beta"] or [])
    found = []
    for name in node["activations"] or usual:
        key = name.lower()
        alpha, beta = _DEFAULTS.get(key, (0.0, 0.0))
        if _TAKES.get(key, 0) >= 1 and alphas:
            alpha = alphas.pop(0)
        if _TAKES.get(key, 0) >= 2 and betas:
            beta = betas.pop(0)
        found.append(_activation(key, alpha, beta))
    return found


def _activation(name: str, alpha: float, beta: float) -> Callable[[Array], Array]:
    known: dict[str, Callable[[Array], Any]] = {
        "sigmoid": special.expit,
        "tanh": np.tanh,
        "relu": lambda x: np.maximum(x, 0),
        "affine": lambda x: alpha * x + beta,
        "leakyrelu": lambda x: np.where(x < 0, alpha * x, x),
        "thresholdedrelu": lambda x: np.where(x >= alpha, x, 0),
        "scaledtanh": lambda x: alpha * np.tanh(beta * x),
        "hardsigmoid": lambda x: np.clip(alpha * x + beta, 0, 1),
        "elu": lambda x: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x),
        "softsign": lambda x: x / (1 + np.abs(x)),
        "softplus": lambda x: np.logaddexp(0, x),
    }
    if name not in known:
        raise Unsupported(f"activation '{name}' of a recurrent layer is not known")
    return known[name]
