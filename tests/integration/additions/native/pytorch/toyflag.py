"""Toyflag in PyTorch."""

import torch
from torch import Tensor, nn


class ToyFlags(nn.Module):
    def __init__(self, *, bands: int, flags: int, head: str = "sigmoid") -> None:
        super().__init__()
        self.classifier = nn.Linear(bands, flags)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.classifier(x))


MODEL = ToyFlags
