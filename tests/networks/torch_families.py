"""Random networks in PyTorch, one function per family: what people build of convolutions, recurrence, attention and resizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.networks.drawn import SAMPLES, Choices, Family, Network
from tests.networks.tempcnn import random_net

ACTIVATIONS: tuple[Callable[[], nn.Module], ...] = (
    nn.ReLU,
    nn.ReLU6,
    nn.GELU,
    lambda: nn.GELU(approximate="tanh"),
    nn.SiLU,
    nn.Mish,
    nn.SELU,
    nn.CELU,
    lambda: nn.ELU(0.7),
    lambda: nn.LeakyReLU(0.1),
    nn.PReLU,
    nn.Hardswish,
    nn.Hardsigmoid,
    lambda: nn.Hardtanh(-0.8, 0.9),
    nn.Softplus,
    nn.Softsign,
    nn.Tanh,
    nn.Sigmoid,
    nn.LogSigmoid,
)


class LayerNormOfChannels(nn.Module):
    """Layer normalisation over the channels of a map, as ConvNeXt has it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        last = x.ndim - 1
        turned = self.norm(x.permute(0, *range(2, x.ndim), 1))
        return turned.permute(0, last, *range(1, last))


class Rms(nn.Module):
    """Root mean square normalisation over the last axis."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


class Normalised(nn.Module):
    """Values divided by their length along the channels."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(x, dim=1) * 3


class SqueezeExcite(nn.Module):
    """Channels weighted by what their means say, as in MobileNetV3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * functional.hardsigmoid(self.up(functional.relu(self.down(functional.adaptive_avg_pool2d(x, 1)))))


class Residual(nn.Module):
    """What it holds, added to what it gets."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inside(x)


def activation(c: Choices) -> nn.Module:
    return c.of(*ACTIVATIONS)()


def normalisation(c: Choices, channels: int, axes: int = 2) -> nn.Module:
    batch: Any = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[axes - 1]
    instance: Any = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)[axes - 1]
    return c.of(
        lambda: batch(channels),
        lambda: batch(channels, eps=1e-3),
        lambda: nn.GroupNorm(2, channels),
        lambda: instance(channels, affine=True),
        lambda: instance(channels),
        lambda: LayerNormOfChannels(channels),
        lambda: nn.LocalResponseNorm(3) if axes == 2 else batch(channels),
        Normalised,
        nn.Identity,
    )()


def head(c: Choices, width: int) -> nn.Module:
    classes = c.number(2, 8)
    end = c.of(nn.Identity, nn.Identity, lambda: nn.Softmax(1), lambda: nn.LogSoftmax(1), nn.Sigmoid)()
    return nn.Sequential(nn.Linear(width, classes), end)


def block(c: Choices, channels: int, axes: int) -> nn.Module:
    """Layers that keep the sizes of a map (sample, channel, *place)."""
    kind: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
    size, dilation = c.of(1, 3, 3, 5), c.of(1, 1, 2)
    groups = c.of(1, 1, 2, channels)
    mode = c.of("zeros", "zeros", "zeros", "reflect", "replicate") if axes < 3 else "zeros"
    padding = dilation * (size // 2)
    if mode == "reflect":
        padding = min(padding, 2)
        dilation, size = 1, 2 * padding + 1
    convolution = kind(
        channels, channels, size, padding=padding, dilation=dilation, groups=groups, padding_mode=mode, bias=c.often()
    )
    layers: list[nn.Module] = [convolution, normalisation(c, channels, axes), activation(c)]
    if c.often(0.3):
        c.random.shuffle(layers)
    if axes == 2 and c.often(0.3):
        layers.append(SqueezeExcite(channels))
    inside = nn.Sequential(*layers, *([nn.Dropout(0.2)] if c.often(0.3) else []))
    return Residual(inside) if c.often(0.4) else inside


def pooling(c: Choices, channels: int, axes: int) -> nn.Module:
    maximum: Any = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[axes - 1]
    mean: Any = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)[axes - 1]
    strided: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
    return c.of(
        lambda: maximum(2),
        lambda: maximum(3, stride=2, padding=1),
        lambda: maximum(2, ceil_mode=True),
        lambda: mean(2),
        lambda: mean(3, stride=2, padding=1, count_include_pad=c.often()),
        lambda: strided(channels, channels, 3, stride=2, padding=1),
    )()


def _maps(c: Choices, axes: int, sizes: tuple[int, int]) -> Network:
    bands, channels = c.number(1, 6), 2 * c.number(2, 5)
    kind: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
    layers = [kind(bands, channels, 3, padding=1)]
    for index in range(c.number(1, 3)):
        layers.append(block(c, channels, axes))
        if index == 0 or c.often():
            layers.append(pooling(c, channels, axes))
    mean: Any = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[axes - 1]
    layers += [mean(1), nn.Flatten(), head(c, channels)]
    return Network(nn.Sequential(*layers), {"x": c.values(SAMPLES, bands, *(c.number(*sizes) for _ in range(axes)))})


def image(c: Choices) -> Network:
    """A classifier of images (sample, band, row, column)."""
    return _maps(c, 2, (8, 15))


def series(c: Choices) -> Network:
    """A classifier of series (sample, band, time) by convolutions."""
    return _maps(c, 1, (9, 30))


def volume(c: Choices) -> Network:
    """A classifier of volumes (sample, band, time, row, column)."""
    return _maps(c, 3, (4, 7))


class Decoder(nn.Module):
    """An encoder of one step, a way up again, and what was there before beside it, as in a U-Net."""

    def __init__(self, c: Choices, bands: int, channels: int, classes: int) -> None:
        super().__init__()
        self.first, self.down = nn.Conv2d(bands, channels, 3, padding=1), pooling_by_two(c)
        self.before, self.deep = block(c, channels, 2), block(c, channels, 2)
        self.up = c.of(
            lambda: nn.Upsample(scale_factor=2, mode="nearest"),
            lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=c.often()),
            lambda: nn.Upsample(scale_factor=2, mode="bicubic", align_corners=c.often()),
            lambda: nn.ConvTranspose2d(channels, channels, 2, stride=2),
            lambda: nn.ConvTranspose2d(channels, channels, 3, stride=2, padding=1, output_padding=1),
            lambda: nn.Sequential(nn.Conv2d(channels, 4 * channels, 1), nn.PixelShuffle(2)),
        )()
        self.last = nn.Conv2d(2 * channels, classes, 1)
        self.act = activation(c)

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(self.act(self.first(x)))
        up: Tensor = self.last(torch.cat((x, self.up(self.deep(self.down(x)))), dim=1))
        return up


def pooling_by_two(c: Choices) -> nn.Module:
    return c.of(nn.MaxPool2d(2), nn.AvgPool2d(2))


def decoder(c: Choices) -> Network:
    """A class for every pixel (sample, class, row, column)."""
    bands, channels = c.number(1, 5), 2 * c.number(2, 4)
    module = Decoder(c, bands, channels, c.number(2, 5))
    return Network(module, {"x": c.values(SAMPLES, bands, 2 * c.number(4, 7), 2 * c.number(4, 7))})


class Recurrent(nn.Module):
    """LSTM, GRU or plain recurrence over (sample, time, band), then its last step, its mean or its maximum."""

    def __init__(self, c: Choices, bands: int) -> None:
        super().__init__()
        hidden, both, layers = c.number(3, 12), c.often(0.4), c.of(1, 1, 2)
        kind: Any = c.of(nn.LSTM, nn.LSTM, nn.GRU, nn.GRU, nn.RNN)
        given = {"nonlinearity": c.of("tanh", "relu")} if kind is nn.RNN else {}
        self.norm = c.of(nn.Identity(), nn.LayerNorm(bands), Rms(bands))
        self.cells = kind(bands, hidden, layers, batch_first=True, bidirectional=both, **given)
        width = hidden * (2 if both else 1)
        self.end = c.of("last", "mean", "max", "weighted")
        self.weigh = nn.Linear(width, 1)
        self.head = head(c, width)

    def forward(self, x: Tensor) -> Tensor:
        found, _ = self.cells(self.norm(x))
        if self.end == "last":
            found = found[:, -1]
        elif self.end == "mean":
            found = found.mean(dim=1)
        elif self.end == "max":
            found = found.amax(dim=1)
        else:
            found = (torch.softmax(self.weigh(found), dim=1) * found).sum(dim=1)
        return self.head(found)


def recurrent(c: Choices) -> Network:
    """A classifier of series (sample, time, band)."""
    bands = c.number(1, 8)
    return Network(Recurrent(c, bands), {"x": c.values(SAMPLES, c.number(3, 14), bands)})


class ConvolutionalRecurrent(nn.Module):
    """A convolutional GRU over a few frames (sample, time, band, row, column), written out step by step."""

    def __init__(self, c: Choices, bands: int, steps: int) -> None:
        super().__init__()
        self.hidden, self.steps = c.number(2, 6), steps
        self.gates = nn.Conv2d(bands + self.hidden, 2 * self.hidden, 3, padding=1)
        self.candidate = nn.Conv2d(bands + self.hidden, self.hidden, 3, padding=1)
        self.last = nn.Conv2d(self.hidden, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros_like(x[:, 0, :1]).repeat(1, self.hidden, 1, 1)
        for step in range(self.steps):
            now = x[:, step]
            reset, update = torch.sigmoid(self.gates(torch.cat((now, state), 1))).chunk(2, dim=1)
            new = torch.tanh(self.candidate(torch.cat((now, reset * state), 1)))
            state = update * state + (1 - update) * new
        return self.last(state)


def convolutional_recurrent(c: Choices) -> Network:
    """A map after a few frames."""
    bands, steps = c.number(1, 3), c.number(2, 4)
    values = c.values(SAMPLES, steps, bands, c.number(5, 9), c.number(5, 9))
    return Network(ConvolutionalRecurrent(c, bands, steps), {"x": values})


class SelfAttention(nn.Module):
    """Attention of several heads in matrix products, masked or not."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.ask, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        samples, steps, width = x.shape
        parts = self.ask(x).reshape(samples, steps, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5
        if hidden is not None:
            scores = scores.masked_fill(hidden[:, None, None, :], -1e9)
        found = (torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(samples, steps, width)
        return self.out(found)


class Transformer(nn.Module):
    """Layers of attention over (sample, time, band), with positions, and with a mask of dates where one is given."""

    def __init__(self, c: Choices, bands: int, steps: int, masked: bool) -> None:
        super().__init__()
        heads = c.of(1, 2, 4)
        width = heads * c.number(2, 5)
        self.enter = nn.Linear(bands, width)
        self.position = nn.Parameter(torch.randn(steps, width) * 0.3)
        kind = "own" if masked else c.of("own", "layer", "layer", "multihead", "scaled")
        self.kind = kind
        self.norm = c.of(nn.LayerNorm, Rms)(width)
        if kind == "layer":
            self.attention: nn.Module = nn.TransformerEncoderLayer(
                width, heads, 2 * width, 0.1, c.of("relu", "gelu"), batch_first=True, norm_first=c.often()
            )
        elif kind == "multihead":
            self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        else:
            self.attention = SelfAttention(width, heads)
        self.after = nn.Sequential(nn.Linear(width, 2 * width), activation(c), nn.Linear(2 * width, width))
        self.head = head(c, width)

    def forward(self, x: Tensor, dates: Tensor | None = None) -> Tensor:
        x = self.enter(x) + self.position
        if self.kind == "layer":
            x = self.attention(x)
        elif self.kind == "multihead":
            x = x + self.attention(x, x, x, need_weights=False)[0]
        elif self.kind == "scaled":
            # One head, on an axis of its own.
            heads = x[:, None], self.norm(x)[:, None], x[:, None]
            x = x + functional.scaled_dot_product_attention(*heads)[:, 0]
        else:
            x = x + self.attention(self.norm(x), None if dates is None else ~dates)
        x = x + self.after(self.norm(x))
        if dates is None:
            return self.head(x.mean(dim=1))
        weight = dates.to(x.dtype)[..., None]
        return self.head((x * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1.0))


def attention(c: Choices) -> Network:
    """A classifier of series (sample, time, band), with a mask of dates in one of three."""
    bands, steps, masked = c.number(1, 8), c.number(3, 12), c.often(0.35)
    inputs: dict[str, Any] = {"x": c.values(SAMPLES, steps, bands)}
    if masked:
        inputs["dates"] = c.random.random((SAMPLES, steps)) < 0.8
    # Without training mode's attention in one kernel, which exporters do not know.
    torch.backends.mha.set_fastpath_enabled(False)
    return Network(Transformer(c, bands, steps, masked), inputs)


class Fusion(nn.Module):
    """An image, a series and a kind of soil in whole numbers, one beside the other; two outputs."""

    def __init__(self, c: Choices, bands: int, dates: int) -> None:
        super().__init__()
        width = 2 * c.number(2, 5)
        self.soil = nn.Embedding(7, width)
        self.image = nn.Sequential(nn.Conv2d(bands, width, 3, padding=1), block(c, width, 2))
        self.series = nn.GRU(dates, width, batch_first=True) if c.often() else nn.Linear(dates, width)
        self.mix, self.norm = c.of("sum", "product", "film"), nn.LayerNorm(width)
        self.scores, self.value = nn.Conv2d(width, c.number(2, 5), 1), nn.Linear(width, 1)

    def forward(self, x: Tensor, series: Tensor, soil: Tensor) -> tuple[Tensor, Tensor]:
        found = self.series(series)
        found = found[0][:, -1] if isinstance(found, tuple) else found.mean(dim=1)
        found = found + self.soil(soil)
        maps = self.image(x)
        if self.mix == "sum":
            maps = maps + found[:, :, None, None]
        elif self.mix == "product":
            maps = maps * torch.sigmoid(found)[:, :, None, None]
        else:
            maps = maps * (1 + found[:, :, None, None]) + torch.sin(found)[:, :, None, None]
        return self.scores(maps), self.value(self.norm(maps.mean(dim=(2, 3)) + found)).flatten()


def several_inputs(c: Choices) -> Network:
    """A map and a number from an image, a series and a class."""
    bands, dates = c.number(1, 4), c.number(1, 4)
    inputs = {
        "x": c.values(SAMPLES, bands, c.number(5, 9), c.number(5, 9)),
        "series": c.values(SAMPLES, c.number(2, 6), dates),
        "soil": c.random.integers(0, 7, SAMPLES),
    }
    return Network(Fusion(c, bands, dates), inputs, ("scores", "value"))


def dense(c: Choices) -> Network:
    """Dense layers over (sample, band)."""
    bands, width = c.number(2, 30), c.number(4, 24)
    layers: list[nn.Module] = [nn.Linear(bands, width)]
    for _ in range(c.number(1, 4)):
        layers += [
            c.of(nn.BatchNorm1d, nn.LayerNorm, Rms, lambda width: nn.Identity())(width),
            activation(c),
            nn.Linear(width, width),
        ]
    return Network(nn.Sequential(*layers, head(c, width)), {"x": c.values(SAMPLES, bands)})


def tempcnn(c: Choices) -> Network:
    """A TempCNN of random sizes and states, or a relative of it."""
    source = random_net(c.number(0, 10_000))
    return Network(source.module, {"x": source.probe})


FAMILIES: dict[str, Family] = {
    "tempcnn": tempcnn,
    "image": image,
    "decoder": decoder,
    "series": series,
    "volume": volume,
    "recurrent": recurrent,
    "convolutional-recurrent": convolutional_recurrent,
    "attention": attention,
    "several-inputs": several_inputs,
    "dense": dense,
}


def settled(network: Network, c: Choices, *, trained: bool) -> nn.Module:
    """The module in evaluation mode: trained a few steps towards random targets, or with random statistics."""
    module: nn.Module = network.module
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in network.inputs.items()}
    module.train()
    if trained:
        optimiser = torch.optim.Adam(module.parameters(), lr=0.01)
        for _ in range(3):
            found = module(**tensors) if len(tensors) > 1 else module(*tensors.values())
            found = found if isinstance(found, tuple) else (found,)
            loss = sum(((value - torch.randn_like(value)) ** 2).mean() for value in found)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    else:
        with torch.no_grad():
            for layer in module.modules():
                # Statistics of a trained network are neither 0 nor 1.
                if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.running_mean is not None:
                    layer.running_mean.normal_(0, 0.3)
                    layer.running_var.uniform_(0.4, 2.0)  # type: ignore[union-attr]
                    layer.weight.uniform_(0.5, 1.5)
                    layer.bias.normal_(0, 0.3)
    return module.eval()
