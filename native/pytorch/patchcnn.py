"""PatchCNN in PyTorch: the labels of an image patch, any number of them.

A design of this project, under its licence (MIT). Needs nothing but PyTorch. The names in ``state_dict()`` are the canonical
names of the harness.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class PatchCNN(nn.Module):
    """Two convolutions with a 2 x 2 maximum between them, the mean over all positions, then the labels.

    Input ``x`` (sample, band, row, column); output (sample, label), 0 to 1. A last odd row or column is left out of the maximum.
    """

    def __init__(self, *, bands: int, labels: int, filters: Sequence[int] = (16, 32), head: str = "sigmoid") -> None:
        super().__init__()
        if head != "sigmoid":
            raise ValueError(f"head must be sigmoid, not '{head}'")
        first, second = filters
        self.conv1 = nn.Conv2d(bands, first, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(first, eps=1e-5, momentum=0.1)
        self.conv2 = nn.Conv2d(first, second, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(second, eps=1e-5, momentum=0.1)
        self.classifier = nn.Linear(second, labels)

    def forward(self, x: Tensor) -> Tensor:
        """Patches (sample, band, row, column) to one value per label (sample, label)."""
        x = functional.relu(self.norm1(self.conv1(x)))
        x = functional.max_pool2d(x, 2)
        x = functional.relu(self.norm2(self.conv2(x)))
        x = x.mean(dim=(2, 3))
        return torch.sigmoid(self.classifier(x))


#: What the harness builds from a model specification, with its hyper-parameters and head as keywords.
MODEL = PatchCNN
