"""SpectralNet in PyTorch: physical variables from a reflectance spectrum.

A design of this project, under its licence (MIT). Needs nothing but PyTorch. The names in ``state_dict()`` are the canonical
names of the harness.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class SpectralNet(nn.Module):
    """A convolution along the spectrum, a dense layer, then the variables.

    Input ``x`` (sample, band); output (sample, variable). Convolution and dense layer are followed by batch normalisation and
    ReLU.
    """

    def __init__(
        self,
        *,
        bands: int,
        variables: int,
        filters: int = 6,
        kernel: int = 5,
        dense_width: int = 24,
        head: str = "linear",
    ) -> None:
        super().__init__()
        if head != "linear":
            raise ValueError(f"head must be linear, not '{head}'")
        self.conv1 = nn.Conv1d(1, filters, kernel, padding=kernel // 2)
        self.norm1 = nn.BatchNorm1d(filters, eps=1e-5, momentum=0.1)
        self.dense = nn.Linear(filters * bands, dense_width)
        self.dense_norm = nn.BatchNorm1d(dense_width, eps=1e-5, momentum=0.1)
        self.output = nn.Linear(dense_width, variables)

    def forward(self, x: Tensor) -> Tensor:
        """Spectra (sample, band) to one value per variable (sample, variable)."""
        x = functional.relu(self.norm1(self.conv1(x[:, None])))
        # Channel-major: all bands of the first channel, then all of the second.
        x = torch.flatten(x, start_dim=1)
        x = functional.relu(self.dense_norm(self.dense(x)))
        output: Tensor = self.output(x)
        return output


#: What the harness builds from a model specification, with its hyper-parameters and head as keywords.
MODEL = SpectralNet
