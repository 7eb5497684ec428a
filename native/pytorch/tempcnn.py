"""TempCNN in PyTorch.

Pelletier, Webb, Petitjean (2019): Temporal Convolutional Neural Network for the Classification of Satellite Image Time
Series. Remote Sensing 11(5), 523. https://doi.org/10.3390/rs11050523

Needs nothing but PyTorch. The names in ``state_dict()`` are the canonical names of the harness.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class TempCNN(nn.Module):
    """Convolutions over time, then a dense layer, then the classes.

    Input ``x`` (sample, band, time); output (sample, class). Every convolution keeps the length of the series and is
    followed by batch normalisation, ReLU and dropout; so is the dense layer. ``head`` is what the output holds:
    ``logits``, ``log-softmax`` or ``softmax``, over the classes.
    """

    def __init__(
        self,
        *,
        bands: int,
        dates: int,
        classes: int,
        filters: Sequence[int] = (64, 64, 64),
        kernels: Sequence[int] = (5, 5, 5),
        dropouts: Sequence[float] = (0.5, 0.5, 0.5),
        dense_width: int = 256,
        dense_dropout: float = 0.5,
        head: str = "logits",
    ) -> None:
        super().__init__()
        if head not in ("logits", "log-softmax", "softmax"):
            raise ValueError(f"head must be logits, log-softmax or softmax, not '{head}'")
        self.head = head
        self.convolutions = len(filters)
        channels = bands
        for index, (width, kernel, dropout) in enumerate(zip(filters, kernels, dropouts, strict=True), start=1):
            self.add_module(f"conv{index}", nn.Conv1d(channels, width, kernel, padding=kernel // 2))
            self.add_module(f"norm{index}", nn.BatchNorm1d(width, eps=1e-5, momentum=0.1))
            self.add_module(f"dropout{index}", nn.Dropout(dropout))
            channels = width
        self.dense = nn.Linear(channels * dates, dense_width)
        self.dense_norm = nn.BatchNorm1d(dense_width, eps=1e-5, momentum=0.1)
        self.dense_dropout = nn.Dropout(dense_dropout)
        self.classifier = nn.Linear(dense_width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Series (sample, band, time) to one value per class (sample, class)."""
        for index in range(1, self.convolutions + 1):
            x = self.get_submodule(f"conv{index}")(x)
            x = self.get_submodule(f"norm{index}")(x)
            x = self.get_submodule(f"dropout{index}")(functional.relu(x))
        # Channel-major: all dates of the first channel, then all of the second.
        x = torch.flatten(x, start_dim=1)
        x = functional.relu(self.dense_norm(self.dense(x)))
        x = self.classifier(self.dense_dropout(x))
        if self.head == "log-softmax":
            return functional.log_softmax(x, dim=1)
        if self.head == "softmax":
            return functional.softmax(x, dim=1)
        return x


#: What the harness builds from a model specification, with its hyper-parameters and head as keywords.
MODEL = TempCNN
