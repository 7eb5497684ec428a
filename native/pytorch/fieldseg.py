"""FieldSeg in PyTorch: a class for every pixel of a field, from an image, the day of its year and a mask.

A design of this project, under its licence (MIT). Needs nothing but PyTorch. The names in ``state_dict()`` are the canonical
names of the harness.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Radians per day, 2 pi / 365.25 rounded to float32: in double precision it must be the same number.
RADIANS_PER_DAY = 0.01720242388546467


class FieldSeg(nn.Module):
    """Two convolutions at full resolution, told the day of the year and what lies in the field, then the classes.

    Inputs ``x`` (sample, band, row, column), ``doy`` (sample,), the day of the year, and ``mask`` bool (sample, row, column),
    True on the pixels of the field. Outputs: logits (sample, class, row, column), and the mean of the classes' probabilities over
    the pixels of the field (sample, class), 0 where it has none.
    """

    def __init__(self, *, bands: int, classes: int, width: int = 16, head: str = "logits") -> None:
        super().__init__()
        if head != "logits":
            raise ValueError(f"head must be logits, not '{head}'")
        self.season = nn.Linear(2, width)
        self.conv1 = nn.Conv2d(bands, width, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(width, eps=1e-5, momentum=0.1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(width, eps=1e-5, momentum=0.1)
        self.context = nn.Linear(width, width)
        self.classifier = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor, doy: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Images, days and masks to logits (sample, class, row, column) and shares (sample, class)."""
        angle = doy * RADIANS_PER_DAY
        season = self.season(torch.stack((torch.sin(angle), torch.cos(angle)), dim=1))
        x = functional.relu(self.norm1(self.conv1(x)) + season[:, :, None, None])
        x = functional.relu(self.norm2(self.conv2(x)))
        weight = mask.to(x.dtype)[:, None]
        # A field without a pixel has means of 0.
        pixels = weight.sum(dim=(2, 3)).clamp(min=1.0)
        context = self.context((x * weight).sum(dim=(2, 3)) / pixels)
        scores = self.classifier(x + context[:, :, None, None])
        share = (torch.softmax(scores, dim=1) * weight).sum(dim=(2, 3)) / pixels
        return scores, share


#: What the harness builds from a model specification, with its hyper-parameters and head as keywords.
MODEL = FieldSeg
