"""Recurrent layers against those of PyTorch, or written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.workers.exact_cases import LIMIT, WRONG, Case, distances, drawn, f32, torch


def packed_lstm(x: Any, w: Any, r: Any, b: Any, lengths: Any) -> Any:
    """PyTorch's LSTM over series of their own lengths, the empty one left out; its gates lie in the order i, f, g, o."""
    order = [0, 2, 3, 1]
    net = torch.nn.LSTM(2, 3, bidirectional=True, dtype=torch.float64)
    with torch.no_grad():
        for place, suffix in enumerate(("", "_reverse")):
            for name, values in (("weight_ih_l0", w[place]), ("weight_hh_l0", r[place])):
                getattr(net, name + suffix).copy_(values.reshape(4, 3, -1)[order].reshape(12, -1))
            for name, values in (("bias_ih_l0", b[place][:12]), ("bias_hh_l0", b[place][12:])):
                getattr(net, name + suffix).copy_(values.reshape(4, 3)[order].reshape(12))
        kept = lengths > 0
        packed = torch.nn.utils.rnn.pack_padded_sequence(x[:, kept], lengths[kept], enforce_sorted=False)
        states, (hidden, cell) = net(packed)
        states, _ = torch.nn.utils.rnn.pad_packed_sequence(states, total_length=5)
    y = torch.zeros(5, 2, 4, 3, dtype=torch.float64)
    y[:, :, kept] = states.reshape(5, -1, 2, 3).transpose(1, 2)
    last = [torch.zeros(2, 4, 3, dtype=torch.float64) for _ in range(2)]
    last[0][:, kept], last[1][:, kept] = hidden, cell
    return y, *last


def relu_lstm(x: Any, w: Any, r: Any) -> Any:
    """f = sigmoid, g = h = relu, inputs of all three bounded by 0.4, input and forget gate coupled."""
    hidden = cell = torch.zeros(4, 3, dtype=torch.float64)
    states = []
    for value in x:
        i, o, _, c = ((value @ w[0].T) + (hidden @ r[0].T)).clamp(-f32(0.4), f32(0.4)).split(3, -1)
        i = torch.sigmoid(i)
        cell = (1 - i) * cell + i * torch.relu(c)
        hidden = torch.sigmoid(o) * torch.relu(cell)
        states.append(hidden)
    return torch.stack(states)[:, None]


def leaky_gru(x: Any, w: Any, r: Any, b: Any, lengths: Any) -> Any:
    """f = hard sigmoid (alpha 0.3, beta 0.4), g = scaled tanh (alpha 0.5, beta 2), backwards over lengths of its own."""
    hidden = torch.zeros(4, 3, dtype=torch.float64)
    states = torch.zeros(5, 1, 4, 3, dtype=torch.float64)
    for at in range(4, -1, -1):
        inner, outer = x[at] @ w[0].T + b[0][:9], hidden @ r[0].T + b[0][9:]
        z = (f32(0.3) * (inner[:, :3] + outer[:, :3]) + f32(0.4)).clamp(0, 1)
        reset = (f32(0.3) * (inner[:, 3:6] + outer[:, 3:6]) + f32(0.4)).clamp(0, 1)
        proposed = f32(0.5) * torch.tanh(2 * (inner[:, 6:] + reset * outer[:, 6:]))
        running = (at < lengths)[:, None]
        hidden = torch.where(running, (1 - z) * proposed + z * hidden, hidden)
        states[at, 0] = torch.where(running, hidden, torch.zeros_like(hidden))
    return states, hidden[None]


def plain_rnn(x: Any, w: Any, r: Any, _: None, lengths: Any) -> Any:
    hidden = torch.zeros(4, 3, dtype=torch.float64)
    states = torch.zeros(5, 1, 4, 3, dtype=torch.float64)
    for at in range(5):
        running = (at < lengths)[:, None]
        hidden = torch.where(running, torch.tanh(x[at] @ w[0].T + hidden @ r[0].T), hidden)
        states[at, 0] = torch.where(running, hidden, torch.zeros_like(hidden))
    return states, hidden[None]


# (direction, gates x hidden, ...): 2 features, 3 hidden units, 5 steps, 4 samples.
SERIES, LENGTHS = drawn(5, 4, 2), np.array([5, 3, 0, 1], np.int32)

CASES = [
    Case("RNN", 7, [SERIES, drawn(1, 3, 2), drawn(1, 3, 3), None, LENGTHS], plain_rnn, {"hidden_size": 3}, outputs=2),
    Case(
        "LSTM",
        14,
        [SERIES, drawn(2, 12, 2), drawn(2, 12, 3), drawn(2, 24), LENGTHS],
        packed_lstm,
        {"hidden_size": 3, "direction": "bidirectional"},
        outputs=3,
    ),
    Case(
        "LSTM",
        7,
        [SERIES, drawn(1, 12, 2), drawn(1, 12, 3)],
        relu_lstm,
        {"hidden_size": 3, "activations": ["Sigmoid", "Relu", "Relu"], "clip": 0.4, "input_forget": 1},
    ),
    Case(
        "GRU",
        14,
        [SERIES, drawn(1, 9, 2), drawn(1, 9, 3), drawn(1, 18), LENGTHS],
        leaky_gru,
        {
            "hidden_size": 3,
            "activations": ["HardSigmoid", "ScaledTanh"],
            "activation_alpha": [0.3, 0.5],
            "activation_beta": [0.4, 2.0],
            "linear_before_reset": 1,
            "direction": "reverse",
        },
        outputs=2,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_operator_of_ours_is_exact_where_that_of_onnx_is_not(case: Case) -> None:
    ours, theirs = distances(case)
    assert ours <= LIMIT
    assert theirs > WRONG
