"""Simulated rain: cells that are born, move with the wind, grow and decay. Not a measurement of anything.

In the manner of stochastic rainfall models with cells of exponential birth and limited life (Cox and Isham 1988: A simple
spatial-temporal model of rainfall, Proc. R. Soc. A 415, 317-328), with a bell for a cell instead of a disc.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Frames that a cell lives, from and to; peak in mm/h, from and to, drawn on a logarithmic scale.
LIFETIME = (12.0, 36.0)
PEAK = (2.0, 40.0)

#: Radius of a cell (one standard deviation) as a share of the shorter side, and how much longer than wide it is at most.
RADIUS = (0.05, 0.14)
_STRETCH = 2.0

#: Pixels that the wind carries a cell in one frame, how much single cells differ, and how the wind turns in one frame.
_SPEED, _UNREST, _TURN = (0.5, 1.1), 0.12, 0.03


@dataclass(frozen=True)
class _Cells:
    born: NDArray[np.float64]
    life: NDArray[np.float64]
    row: NDArray[np.float64]
    column: NDArray[np.float64]
    peak: NDArray[np.float64]
    radius: NDArray[np.float64]
    stretch: NDArray[np.float64]
    angle: NDArray[np.float64]
    drift: NDArray[np.float64]


def simulate(random: np.random.Generator, frames: int, rows: int, columns: int, cells: float) -> NDArray[np.float32]:
    """Rain rates in mm/h, float32 (frame, row, column); about ``cells`` cells are over the area at any time."""
    margin = 0.3 * min(rows, columns)
    mean_life = sum(LIFETIME) / 2
    area = (rows + 2 * margin) * (columns + 2 * margin) / (rows * columns)
    first = -LIFETIME[1]
    count = max(1, int(random.poisson(cells * area * (frames - first) / mean_life)))
    side = float(min(rows, columns))
    drawn = _Cells(
        born=random.uniform(first, frames, count),
        life=random.uniform(*LIFETIME, count),
        row=random.uniform(-margin, rows + margin, count),
        column=random.uniform(-margin, columns + margin, count),
        peak=np.exp(random.uniform(np.log(PEAK[0]), np.log(PEAK[1]), count)),
        radius=random.uniform(*RADIUS, count) * side,
        stretch=random.uniform(1.0, _STRETCH, count),
        angle=random.uniform(0.0, np.pi, count),
        drift=random.normal(0.0, _UNREST, (count, 2)),
    )
    speed = random.uniform(*_SPEED)
    heading = random.uniform(0.0, 2 * np.pi) + np.cumsum(random.normal(0.0, _TURN, frames))
    # Where the wind has carried what floats in it since the first frame; (frame, row and column).
    path = np.cumsum(speed * np.stack([np.sin(heading), np.cos(heading)], axis=1), axis=0)
    field = np.zeros((frames, rows, columns), dtype=np.float32)
    for frame in range(frames):
        field[frame] = _frame(drawn, frame, path, rows, columns)
    return field


def _frame(cells: _Cells, frame: int, path: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.float64]:
    age = frame - cells.born
    alive = np.flatnonzero((age > 0) & (age < cells.life))
    down, right = np.arange(rows) + 0.5, np.arange(columns) + 0.5
    field = np.zeros((rows, columns))
    for cell in alive:
        began = min(max(int(cells.born[cell]), 0), len(path) - 1)
        moved = path[frame] - path[began] + age[cell] * cells.drift[cell]
        dy = down[:, None] - (cells.row[cell] + moved[0])
        dx = right[None, :] - (cells.column[cell] + moved[1])
        cosine, sine = np.cos(cells.angle[cell]), np.sin(cells.angle[cell])
        along, across = (dx * cosine + dy * sine) / cells.stretch[cell], dy * cosine - dx * sine
        strength = np.sin(np.pi * age[cell] / cells.life[cell]) ** 2
        field += cells.peak[cell] * strength * np.exp(-(along**2 + across**2) / (2 * cells.radius[cell] ** 2))
    return field
