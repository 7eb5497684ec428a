"""Operators of ours against formulas that are not: PyTorch's double kernels, scipy, or written out here.

Each case fails with onnx.reference's own operator, which is asked for, too: an operator is only replaced where it is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from harness.workers.onnx.exact import OPERATORS

torch = pytest.importorskip("torch", reason="the formulas are PyTorch's: pip install torch")
F = torch.nn.functional

Array = np.ndarray[Any, Any]
#: Largest difference from the formula, in parts of the largest value.
LIMIT = 1e-14


@dataclass(frozen=True)
class Case:
    """One node: what it gets, and what it must give for its first outputs."""

    operator: str
    opset: int
    inputs: list[Array | None]
    expected: Callable[..., Any]
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1

    def __str__(self) -> str:
        told = ",".join(f"{k}={v}" for k, v in self.attributes.items())
        return f"{self.operator}-{self.opset}-{told}".replace(" ", "")[:90]

    def computed(self, new_ops: list[Any]) -> list[Array]:
        """The outputs in an evaluator with these operators."""
        names = ["" if value is None else f"x{k}" for k, value in enumerate(self.inputs)]
        results = [f"y{k}" for k in range(self.outputs)]
        kinds = {name: value for name, value in zip(names, self.inputs, strict=True) if name and value is not None}
        graph = helper.make_graph(
            [helper.make_node(self.operator, names, results, **self.attributes)],
            "one",
            [
                helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
                for name, value in kinds.items()
            ],
            [helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, None) for name in results],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        return list(ReferenceEvaluator(model, new_ops=new_ops).run(None, kinds))

    def wanted(self) -> list[Array]:
        """The outputs by the formula, which gets tensors of PyTorch."""
        given = [None if value is None else torch.from_numpy(value) for value in self.inputs]
        found = self.expected(*given)
        return [np.asarray(value) for value in (found if isinstance(found, (tuple, list)) else [found])]


def distance(found: list[Array], wanted: list[Array]) -> float:
    """Largest difference in parts of the largest value; infinite where types or shapes differ."""
    worst = 0.0
    for ours, theirs in zip(found, wanted, strict=True):
        if (
            ours.shape != theirs.shape
            or ours.dtype != theirs.dtype
            or not np.isfinite(theirs).all()
            or not np.isfinite(ours).all()
        ):
            return float("inf")
        ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
        worst = max(worst, float(np.abs(ours - theirs).max(initial=0) / max(np.abs(theirs).max(initial=0), 1e-300)))
    return worst


def drawn(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def f32(value: float) -> float:
    """An attribute as the file holds it."""
    return float(np.float32(value))


def positive(*shape: int) -> Array:
    return np.abs(drawn(*shape, seed=5)) + 0.5


X1, X2 = drawn(3, 4, 11), drawn(3, 4, 9, 7)
SCALE, SHIFT, MEAN, VARIANCE = drawn(4, seed=1), drawn(4, seed=2), drawn(4, seed=3), positive(4)
# (direction, gates x hidden, ...): 2 features, 3 hidden units, 5 steps, 4 samples.
SERIES, LENGTHS = drawn(5, 4, 2), np.array([5, 3, 0, 1], np.int32)


def flattened(compute: Callable[[Any], Any], axis: int) -> Callable[[Any], Any]:
    return lambda x: compute(x.reshape(int(np.prod(x.shape[:axis])), -1)).reshape(x.shape)


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


def region_means(shift: float) -> Callable[[Any, Any, Any], Any]:
    """RoiAlign with 2 x 2 samples in each of 2 x 3 cells, by PyTorch's bilinear sampling; regions lie inside the image."""

    def compute(x: Any, rois: Any, batch: Any) -> Any:
        found = []
        for (left, top, right, bottom), sample in zip(rois * 0.5 - shift, batch, strict=True):
            rows = top + (bottom - top) * (torch.arange(4, dtype=torch.float64) + 0.5) / 4
            columns = left + (right - left) * (torch.arange(6, dtype=torch.float64) + 0.5) / 6
            down, across = torch.meshgrid(
                2 * rows / (x.shape[2] - 1) - 1, 2 * columns / (x.shape[3] - 1) - 1, indexing="ij"
            )
            grid = torch.stack([across, down], -1)[None]
            values = F.grid_sample(x[int(sample)][None], grid, "bilinear", "border", True)
            found.append(F.avg_pool2d(values, 2)[0])
        return torch.stack(found)

    return compute


def neighbours(size: int) -> Callable[[Any], Any]:
    def compute(x: Any) -> Any:
        y = torch.empty_like(x)
        for channel in range(x.shape[1]):
            low, high = max(0, channel - (size - 1) // 2), min(x.shape[1], channel + size // 2 + 1)
            total = (x[:, low:high] ** 2).sum(1)
            y[:, channel] = x[:, channel] / (1 + f32(1e-4) / size * total) ** f32(0.75)
        return y

    return compute


def per_channel(values: Any, rank: int) -> Any:
    return values.reshape(1, -1, *(1,) * (rank - 2))


def batch_statistics(x: Any, scale: Any, shift: Any, mean: Any, variance: Any) -> Any:
    """PyTorch's running variance is that of a sample, ONNX's that of the batch."""
    axes = [k for k in range(x.ndim) if k != 1]
    y = F.batch_norm(x, None, None, scale, shift, training=True, eps=f32(1e-5))
    now = (x.mean(axes), x.var(axes, unbiased=False))
    running = [old * 0.75 + new * 0.25 for old, new in zip((mean, variance), now, strict=True)]
    return y, *running, *now


def padded_same(x: Any, compute: Callable[[Any], Any], before: int, after: int, fill: float = 0.0) -> Any:
    return compute(F.pad(x, (before, after), value=fill))


CASES = [
    Case("Erf", 13, [X1], torch.erf),
    Case("Gelu", 20, [X1], F.gelu),
    Case("Gelu", 20, [X1], lambda x: F.gelu(x, approximate="tanh"), {"approximate": "tanh"}),
    Case("Softsign", 22, [np.array(-0.7)], F.softsign),
    Case(
        "GatherElements",
        13,
        [X1, np.array([[[-1, 0]] * 4] * 3)],
        lambda x, _: torch.stack([x[..., -1], x[..., 0]], -1),
        {"axis": -1},
    ),
    Case(
        "Unique",
        11,
        [np.array([[2.0, 1.0], [3.0, 1.0]])],
        lambda _: (np.array([2.0, 1.0, 3.0]), np.array([0, 1, 2]), np.array([0, 1, 2, 1]), np.array([1, 2, 1])),
        {"sorted": 0},
        outputs=4,
    ),
    Case(
        "NegativeLogLikelihoodLoss",
        13,
        [X1, np.where(drawn(3, 11, seed=9) < 0, -1, 2)],
        lambda x, y: F.nll_loss(x, y, ignore_index=-1),
        {"ignore_index": -1},
    ),
    Case("Pad", 13, [X1, np.array([0, 1, -2, -1, 0, 3])], lambda x, _: F.pad(x, (-2, 3, 1, 0, 0, -1))),
    Case("Flatten", 13, [drawn(0, 3, 2)], lambda x: x.reshape(0, 6)),
    Case("GlobalMaxPool", 22, [X1], lambda x: x.amax(2, keepdim=True)),
    Case("HardSwish", 14, [4 * X1], F.hardswish),
    Case("Softmax", 11, [X2], flattened(lambda x: x.softmax(-1), 1)),
    Case("Softmax", 12, [X2], flattened(lambda x: x.softmax(-1), 2), {"axis": 2}),
    Case("LogSoftmax", 9, [X2], flattened(lambda x: x.log_softmax(-1), 1)),
    Case("LogSoftmax", 13, [400 * X2], lambda x: x.log_softmax(-1)),
    Case("Hardmax", 11, [X2], flattened(lambda x: F.one_hot(x.argmax(-1), x.shape[-1]).double(), 1)),
    *(
        Case(
            "BatchNormalization",
            opset,
            [X2, SCALE, SHIFT, MEAN, VARIANCE],
            lambda x, s, b, m, v: F.batch_norm(x, m, v, s, b, eps=f32(1e-5)),
        )
        for opset in (9, 11, 13)
    ),
    Case(
        "GroupNormalization",
        21,
        [X2, SCALE, SHIFT],
        lambda x, s, b: F.group_norm(x, 2, s, b, f32(1e-5)),
        {"num_groups": 2},
    ),
    Case(
        "LayerNormalization",
        17,
        [X1, drawn(11, seed=7), drawn(11, seed=8)],
        lambda x, s, b: F.layer_norm(x, (11,), s, b, f32(1e-5)),
        {"stash_type": 11},
    ),
    Case("LpNormalization", 22, [X1], lambda x: F.normalize(x, p=1, dim=1), {"p": 1, "axis": 1}),
    Case(
        "RMSNormalization",
        23,
        [X1, drawn(11, seed=7)],
        lambda x, s: F.rms_norm(x, (11,), s, f32(1e-5)),
        {"stash_type": 11},
    ),
    Case(
        "MeanVarianceNormalization",
        13,
        [X2],
        lambda x: (x - x.mean((0, 2, 3), keepdim=True)) / (x.std((0, 2, 3), keepdim=True, unbiased=False) + 1e-9),
    ),
    Case(
        "BatchNormalization",
        9,
        [X2, SCALE, SHIFT, MEAN, VARIANCE],
        batch_statistics,
        {"momentum": 0.75},
        outputs=5,
    ),
    Case("LRN", 13, [X2], neighbours(3), {"size": 3}),
    Case("LRN", 1, [drawn(2, 7, 3, 3)], neighbours(4), {"size": 4}),
    Case("LRN", 13, [drawn(6, 2, 3, 3)], neighbours(3), {"size": 3}),
    # The only window leaves the place in the middle out.
    Case(
        "Conv",
        11,
        [np.array([[[1.0, np.inf, 2.0]]]), drawn(2, 1, 2)],
        lambda x, w: F.conv1d(x, w, dilation=2),
        {"dilations": [2]},
    ),
    Case(
        "ConvTranspose",
        11,
        [X1, drawn(4, 3, 4)],
        lambda x, w: F.conv_transpose1d(x, w, groups=2, stride=2, padding=1),
        {"group": 2, "strides": [2], "pads": [1, 1]},
    ),
    Case(
        "AveragePool",
        19,
        [X1],
        lambda x: padded_same(x, lambda p: p.unfold(2, 5, 1)[..., ::4].mean(-1), 0, 0),
        {"kernel_shape": [2], "dilations": [4], "auto_pad": "VALID"},
    ),
    Case(
        "MaxPool", 11, [X1], lambda x: F.max_pool1d(x, 3, 1, 1), {"kernel_shape": [3], "pads": [1, 1], "strides": [1]}
    ),
    Case(
        "MaxPool",
        12,
        [X1],
        lambda x: padded_same(x, lambda p: F.max_pool1d(p, 2, 2), 1, 0, -np.inf),
        {"kernel_shape": [2], "strides": [2], "auto_pad": "SAME_LOWER"},
    ),
    Case(
        "LpPool",
        18,
        [X1],
        lambda x: padded_same(x, lambda p: F.lp_pool1d(p.abs(), 3, 3, 2), 0, 2),
        {"kernel_shape": [3], "p": 3, "strides": [2], "ceil_mode": 1, "pads": [0, 1]},
    ),
    Case("GlobalLpPool", 2, [X2], lambda x: (x.abs() ** 3).sum((2, 3), keepdim=True) ** (1 / 3), {"p": 3}),
    *(
        Case(
            "Resize",
            opset,
            [X2, None, None, np.array([3, 4, 13, 17])],
            lambda x, *_: F.interpolate(x, (13, 17), mode="bicubic", align_corners=False),
            {"mode": "cubic", "coordinate_transformation_mode": "pytorch_half_pixel"},
        )
        for opset in (13, 19)
    ),
    Case(
        "Resize",
        10,
        [X2, np.array([1, 1, 2, 3], np.float32)],
        lambda x, *_: F.interpolate(x, scale_factor=(2, 3), mode="nearest"),
    ),
    Case(
        "Resize",
        13,
        [X1, None, None, np.array([3, 4, 1])],
        lambda x, *_: x[..., :1],
        {"mode": "cubic", "coordinate_transformation_mode": "pytorch_half_pixel"},
    ),
    Case(
        "Upsample",
        9,
        [drawn(2, 3, 2, 17), np.array([1, 1, 2, 1.9411764], np.float32)],
        lambda x, *_: F.interpolate(x, (4, 33), mode="nearest"),
    ),
    Case(
        "Upsample",
        7,
        [X2],
        lambda x: F.interpolate(x, scale_factor=2, mode="nearest"),
        {"scales": [1.0, 1.0, 2.0, 2.0]},
    ),
    *(
        Case(
            "GridSample",
            16,
            [X2, 1.3 * drawn(3, 5, 6, 2)],
            lambda x, g, m=mode, p=padding, a=aligned: F.grid_sample(x, g, m, p, bool(a)),
            {"mode": mode, "padding_mode": padding, "align_corners": aligned},
        )
        for mode, padding in (
            ("bilinear", "zeros"),
            ("bilinear", "border"),
            ("bilinear", "reflection"),
            ("bicubic", "zeros"),
            ("bicubic", "reflection"),
            ("bicubic", "border"),
        )
        for aligned in (0, 1)
    ),
    Case(
        "AffineGrid",
        20,
        [drawn(2, 2, 3), np.array([2, 3, 4, 5])],
        lambda t, _: F.affine_grid(t, [2, 3, 4, 5], align_corners=False),
    ),
    Case(
        "RoiAlign",
        10,
        [X2, np.array([[1.0, 2.0, 9.0, 11.5], [2.0, 4.0, 8.0, 9.0]]), np.array([2, 0])],
        region_means(0.0),
        {"output_height": 2, "output_width": 3, "sampling_ratio": 2, "spatial_scale": 0.5},
    ),
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


# Whole numbers by loops over them; a tie at 2.5 steps with an odd zero point, and parameters by filter of a one-dimensional input.
Q8 = np.array([[[0, 10, 255, 3, 128, 7], [1, 2, 3, 4, 5, 6]]], np.uint8)
FILTERS = np.array([[[1, -2], [3, 4]], [[-5, 6], [7, -8]]], np.int8)


def convolved_by_hand(x: Any, w: Any, x_zero: int, w_zero: list[int]) -> Array:
    y = np.zeros((1, 2, 5), np.int64)
    for out, at, channel, tap in np.ndindex(2, 5, 2, 2):
        y[0, out, at] += (int(x[0, channel, at + tap]) - x_zero) * (int(w[out, channel, tap]) - w_zero[out])
    return y


def quantised(values: Array, zero: int, dtype: Any) -> Array:
    limits = np.iinfo(dtype)
    return np.array([min(max(round(value) + zero, limits.min), limits.max) for value in values.ravel()], dtype).reshape(
        values.shape
    )


CASES += [
    Case(
        "DequantizeLinear",
        13,
        [Q8, np.array([0.1, 0.3]), np.array([3, 200], np.uint8)],
        lambda x, s, z: (x.double() - z.double()[:, None]) * s[:, None],
        {"axis": 1},
    ),
    # More digits than single precision holds.
    *(
        Case("DequantizeLinear", opset, [np.array([2**24 + 1], np.int32), np.array(0.1)], lambda x, s: x.double() * s)
        for opset in (19, 21)
    ),
    Case(
        "QLinearConv",
        13,
        [
            Q8,
            np.array(0.5),
            np.array(3, np.uint8),
            FILTERS,
            np.array([0.25, 0.5]),
            np.array([0, 1], np.int8),
            np.array(0.25),
            np.array(7, np.uint8),
            np.array([5, -6], np.int32),
        ],
        lambda x, _, __, w, *rest: quantised(
            (convolved_by_hand(x, w, 3, [0, 1]) + np.array([[5], [-6]])) * np.array([[0.5], [1.0]]), 7, np.uint8
        ),
    ),
    Case(
        "ConvInteger",
        10,
        [Q8, FILTERS.astype(np.uint8), np.array(3, np.uint8), np.array([0, 1], np.uint8)],
        lambda x, w, *_: convolved_by_hand(x, w, 3, [0, 1]).astype(np.int32),
    ),
    Case(
        "QLinearMatMul",
        10,
        [
            np.array([[5]], np.uint8),
            np.array(0.5),
            np.array(0, np.uint8),
            np.array([[1]], np.uint8),
            np.array(1.0),
            np.array(0, np.uint8),
            np.array(1.0),
            np.array(1, np.uint8),
        ],
        lambda *_: np.array([[3]], np.uint8),
    ),
    Case(
        "DynamicQuantizeLinear",
        11,
        [np.array([-1.0, 0.11, 2.0])],
        lambda _: (np.array([0, 94, 255], np.uint8), np.array(3 / 255), np.array(85, np.uint8)),
        outputs=3,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_operator_of_ours_is_exact_where_that_of_onnx_is_not(case: Case) -> None:
    wanted = case.wanted()
    assert distance(case.computed(OPERATORS), wanted) <= LIMIT
    try:
        theirs = case.computed([])
    except Exception:
        return
    assert distance(theirs, wanted) > 1e-9
