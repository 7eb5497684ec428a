"""Random networks: TempCNNs of random sizes and states, and relatives of it with other activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.models import tempcnn
from harness.models.spec import ModelSpec
from harness.workers.pytorch.model import build
from tests.integration.proof import Source

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "leaky-0.01": lambda: nn.LeakyReLU(0.01),
    "leaky-0.3": lambda: nn.LeakyReLU(0.3),
    "elu": lambda: nn.ELU(0.7),
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
}


class Relative(nn.Module):
    """TempCNN with another activation; the same layers under the same names."""

    def __init__(self, spec: ModelSpec, activation: nn.Module) -> None:
        super().__init__()
        for name, layer in build(spec).named_children():
            self.add_module(name, layer)
        self.convolutions = len(spec.hyperparameters["filters"])
        self.head = spec.head
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        for index in range(1, self.convolutions + 1):
            x = self.get_submodule(f"norm{index}")(self.get_submodule(f"conv{index}")(x))
            x = self.get_submodule(f"dropout{index}")(self.activation(x))
        x = self.get_submodule("dense")(torch.flatten(x, start_dim=1))
        x = self.get_submodule("dense_dropout")(self.activation(self.get_submodule("dense_norm")(x)))
        x = self.get_submodule("classifier")(x)
        if self.head == "log-softmax":
            return functional.log_softmax(x, dim=1)
        return functional.softmax(x, dim=1) if self.head == "softmax" else x


def random_net(seed: int, *, activation: str | None = None, head: str | None = None, **sizes: Any) -> Source:
    """A network of random sizes with weights and moving statistics as training leaves them, and its probe.

    ``activation`` is ``relu`` or one of ACTIVATIONS, drawn where it is None; so is ``head``.
    """
    generator = np.random.default_rng([2026, seed])
    layers = int(generator.integers(1, 5))
    drawn: dict[str, Any] = {
        "bands": int(generator.integers(1, 14)),
        "dates": int(generator.integers(5, 61)),
        "classes": int(generator.integers(2, 21)),
        "filters": generator.integers(4, 49, layers).tolist(),
        "kernels": generator.choice([1, 3, 5, 7, 9], layers).tolist(),
        "dropouts": generator.uniform(0, 0.6, layers).tolist(),
        "dense_width": int(generator.integers(8, 129)),
        "dense_dropout": 0.3,
    }
    names = ["relu", "relu", "relu", *ACTIVATIONS]
    drawn_activation = str(generator.choice(names))
    drawn_head = str(generator.choice(["logits", "logits", "logits", "log-softmax", "softmax"]))
    drawn |= sizes
    interface = {name: drawn.pop(name) for name in ("bands", "dates", "classes")}
    spec = tempcnn.build(
        **interface,
        head=head or drawn_head,
        preset=None,
        hyperparameters=drawn,  # type: ignore[arg-type]
    )
    torch.manual_seed(seed)
    chosen = activation or drawn_activation
    module = build(spec) if chosen == "relu" else Relative(spec, ACTIVATIONS[chosen]())
    scale, offset = np.exp(generator.normal(0, 1)), generator.normal(0, 1)
    shape = (interface["bands"], interface["dates"])
    settle(module, generator.standard_normal((128, *shape)).astype(np.float32) * np.float32(scale), generator)
    probe = generator.standard_normal((64, *shape)) * scale + offset
    return Source(spec, module, probe.astype(np.float32))


def settle(module: nn.Module, samples: np.ndarray, generator: np.random.Generator) -> None:
    """Give every layer a state that is neither fresh nor degenerate: statistics of real activations, perturbed."""

    def values(like: Tensor, mean: float, spread: float, log: bool = False) -> Tensor:
        drawn = generator.normal(mean, spread, tuple(like.shape)).astype(np.float32)
        return torch.from_numpy(np.exp(drawn) if log else drawn)

    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Conv1d | nn.Linear):
                # Channels of different strength, as training makes them.
                strength = values(layer.weight[:, :1].flatten(1)[:, :1], 0, 0.4, log=True)
                layer.weight.mul_(strength.reshape(-1, *[1] * (layer.weight.ndim - 1)))
                layer.bias.add_(values(layer.bias, 0, 0.1))
            if isinstance(layer, nn.BatchNorm1d):
                layer.weight.copy_(values(layer.weight, 0, 0.3, log=True))
                layer.weight.mul_(
                    torch.from_numpy(generator.choice([1, 1, 1, -1], layer.weight.shape).astype(np.float32))
                )
                layer.bias.copy_(values(layer.bias, 0, 0.3))
        module.eval()
        norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm1d)]
        for layer in norms:
            layer.train()
            layer.momentum = 1.0
        module(torch.from_numpy(samples))
        for layer in norms:
            layer.eval()
            layer.momentum = 0.1
            layer.running_mean.add_(values(layer.running_mean, 0, 0.2) * layer.running_var.sqrt())
            layer.running_var.mul_(values(layer.running_var, 0, 0.4, log=True))
