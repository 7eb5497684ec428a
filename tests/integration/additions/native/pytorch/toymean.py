"""Toymean in PyTorch."""

import torch
from torch import Tensor, nn


class ToyMean(nn.Module):
    def __init__(self, *, bands: int, dates: int, classes: int, width: int = 8, head: str = "logits") -> None:
        super().__init__()
        self.hidden = nn.Linear(bands * dates, width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.relu(self.hidden(torch.flatten(x, start_dim=1))))


MODEL = ToyMean
