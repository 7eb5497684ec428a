"""What a model learns: the data of a part by batches, a loss, and metrics on the validation part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.workers.engine import Array

#: Inputs by name, and what the objective wants to know of the truth, for samples by their places.
Batch = Callable[[NDArray[np.int64] | slice], tuple[dict[str, Array], Any]]

#: What a model puts out for a batch of inputs when it is used: without dropout, with moving statistics.
Predict = Callable[[dict[str, Array]], Array]


class Part(Protocol):
    """One part of the data; ``digest`` is the SHA-256 of its file."""

    digest: str

    def __len__(self) -> int:
        """Number of samples."""

    def batches(self, epoch: int) -> Batch:
        """What gives the batches of an epoch counted from 0."""


class Objective(Protocol):
    """A loss by name, the columns of the training log, and how a model of any framework is validated."""

    columns: tuple[str, ...]
    loss_name: str

    def validate(self, predict: Predict, part: Any, epoch: int) -> dict[str, float]:
        """Loss and metrics of a model, by column. Raises Failed where they are not finite."""
