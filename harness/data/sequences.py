"""Sequences cut from frames: what a model sees, what it forecasts, and where that was measured.

Axes are (sample, band, time, row, column) for inputs and (sample, band, step, row, column) for what is forecast, with one
band. Nothing but NumPy: workers cut their batches with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Kind = TypeVar("Kind", bound=np.generic)


def inputs_of(frames: NDArray[Kind], starts: NDArray[np.int64] | Sequence[int], history: int) -> NDArray[Kind]:
    """What a model sees: float32 (sample, band, time, row, column) of frames (frame, row, column), 0 where no-data.

    Of ``valid`` instead of frames it is, in the same shape, where that was measured.
    """
    return _cut(frames, starts, 0, history)


def targets_of(
    frames: NDArray[np.float32],
    valid: NDArray[np.bool_],
    starts: NDArray[np.int64] | Sequence[int],
    history: int,
    horizon: int,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """What is forecast, float32 (sample, band, step, row, column), and where it was measured, bool of the same shape."""
    return _cut(frames, starts, history, horizon), _cut(valid, starts, history, horizon)


def _cut(frames: NDArray[Kind], starts: NDArray[np.int64] | Sequence[int], first: int, length: int) -> NDArray[Kind]:
    cut = np.empty((len(starts), 1, length, *frames.shape[1:]), dtype=frames.dtype)
    for sample, start in enumerate(starts):
        cut[sample, 0] = frames[int(start) + first : int(start) + first + length]
    return cut
