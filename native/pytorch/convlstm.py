"""ConvLSTM in PyTorch.

Shi, Chen, Wang, Yeung, Wong, Woo (2015): Convolutional LSTM Network: A Machine Learning Approach for Precipitation
Nowcasting. Advances in Neural Information Processing Systems 28. https://arxiv.org/abs/1506.04214

Needs nothing but PyTorch. The names in ``state_dict()`` are the canonical names of the harness.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

GATES = frozenset("ifog")


def activated(x: Tensor, name: str, slope: float) -> Tensor:
    """An activation by name: ``linear``, ``tanh`` or ``leaky-relu`` with a slope."""
    if name == "tanh":
        return torch.tanh(x)
    if name == "leaky-relu":
        return functional.leaky_relu(x, slope)
    return x


class ConvLSTMLayer(nn.Conv2d):
    """A convolutional LSTM over time: equation 3 of the paper without peepholes.

    Input (sample, channel, time, row, column), output (sample, filter, time, row, column). One convolution of the frame and
    the hidden state gives the four gates; weight (4 filters, channels + filters, kernel, kernel), in the order ``gate_order``
    of i input, f forget, o output and g candidate. ``activation`` is that of candidate and cell output.
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        kernel: int,
        *,
        activation: str,
        recurrent_activation: str,
        slope: float,
        gate_order: str,
        forget_bias: float,
    ) -> None:
        super().__init__(channels + filters, 4 * filters, kernel, padding=kernel // 2)
        self.filters, self.gate_order = filters, gate_order
        self.activation, self.recurrent_activation = activation, recurrent_activation
        self.slope, self.hard_slope = slope, 0.2
        with torch.no_grad():
            self.bias.zero_()
            first = gate_order.index("f") * filters
            self.bias[first : first + filters] = forget_bias

    def forward(self, x: Tensor) -> Tensor:
        """Hidden states of all steps, beginning from zeros."""
        hidden, cell = self.start(x)
        steps = []
        for frame in x.unbind(dim=2):
            hidden, cell = self.step(frame, hidden, cell)
            steps.append(hidden)
        return torch.stack(steps, dim=2)

    def start(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden state and cell before the first of the frames ``x``: zeros (sample, filter, row, column)."""
        hidden = x.new_zeros((x.shape[0], self.filters, x.shape[3], x.shape[4]))
        return hidden, hidden

    def step(self, frame: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden state and cell after one frame (sample, channel, row, column)."""
        convolved = super().forward(torch.cat([frame, hidden], dim=1))
        gates = dict(zip(self.gate_order, convolved.chunk(4, dim=1), strict=True))
        candidate = activated(gates["g"], self.activation, self.slope)
        cell = self.gate(gates["f"]) * cell + self.gate(gates["i"]) * candidate
        hidden = self.gate(gates["o"]) * activated(cell, self.activation, self.slope)
        return hidden, cell

    def gate(self, x: Tensor) -> Tensor:
        """How far a gate is open, 0 to 1."""
        if self.recurrent_activation == "hard-sigmoid":
            return torch.clamp(self.hard_slope * x + 0.5, 0.0, 1.0)
        return torch.sigmoid(x)


class ConvLSTM(nn.Module):
    """Stacked convolutional LSTMs, then a 3-D convolution to one band.

    Input ``x`` (sample, band, time, row, column), output (sample, 1, time, row, column): what follows, as many frames as were
    seen. Every layer is followed by an activation, every layer but the last by batch normalisation too. ``momentum`` is the
    weight of the new value.
    """

    def __init__(
        self,
        *,
        bands: int,
        filters: Sequence[int] = (64, 64, 64, 64),
        kernels: Sequence[int] = (7, 5, 3, 1),
        cell_activation: str = "tanh",
        recurrent_activation: str = "sigmoid",
        layer_activation: str = "leaky-relu",
        slope: float = 0.01,
        gate_order: str = "ifog",
        forget_bias: float = 0.0,
        epsilon: float = 1e-3,
        momentum: float = 0.99,
        output_kernel: Sequence[int] = (3, 3, 3),
        head: str = "sigmoid",
    ) -> None:
        super().__init__()
        for name, value, known in (
            ("cell_activation", cell_activation, ("linear", "tanh", "leaky-relu")),
            ("layer_activation", layer_activation, ("linear", "tanh", "leaky-relu")),
            ("recurrent_activation", recurrent_activation, ("sigmoid", "hard-sigmoid")),
            ("head", head, ("sigmoid",)),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not '{value}'")
        if len(gate_order) != 4 or set(gate_order) != GATES:
            raise ValueError(f"gate_order must hold i, f, o and g once each, not '{gate_order}'")
        self.layers = len(filters)
        self.layer_activation, self.slope = layer_activation, slope
        channels = bands
        for index, (width, kernel) in enumerate(zip(filters, kernels, strict=True), start=1):
            layer = ConvLSTMLayer(
                channels,
                width,
                kernel,
                activation=cell_activation,
                recurrent_activation=recurrent_activation,
                slope=slope,
                gate_order=gate_order,
                forget_bias=forget_bias,
            )
            self.add_module(f"lstm{index}", layer)
            if index < self.layers:
                self.add_module(f"norm{index}", nn.BatchNorm3d(width, eps=epsilon, momentum=momentum))
            channels = width
        padding = tuple(size // 2 for size in output_kernel)
        self.output = nn.Conv3d(channels, 1, tuple(output_kernel), padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        """Frames (sample, band, time, row, column) to the frames after them (sample, 1, time, row, column), 0 to 1."""
        for index in range(1, self.layers + 1):
            x = self.get_submodule(f"lstm{index}")(x)
            x = activated(x, self.layer_activation, self.slope)
            if index < self.layers:
                x = self.get_submodule(f"norm{index}")(x)
        return torch.sigmoid(self.output(x))


#: What the harness builds from a model specification, with its hyper-parameters and head as keywords.
MODEL = ConvLSTM
