"""Toy waves: two classes of sine waves, made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from harness.data.dataset import PARTS, Band, Dataset, DatasetInfo, DataSource, Series

DATES = 12


class Options(BaseModel):
    """Options of the data source ``toy-waves``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples: int = Field(default=300, ge=64, le=100_000, description="series of each part")


def _series(count: int, first: int, random: np.random.Generator) -> Series:
    labels = np.arange(count) % 2
    phase = random.uniform(0, 0.5, (count, 1)) + labels[:, None]
    waves = np.sin(phase + np.arange(DATES) / 2)
    return Series(
        values=np.stack([waves, -waves], axis=-1).reshape(-1, 2).astype(np.float32),
        offsets=np.arange(count + 1) * DATES,
        labels=labels,
        ids=first + np.arange(count),
        groups=first + np.arange(count),
        regions=np.full(count, "nowhere"),
    )


def _read(options: Options, folder: Path, seed: int) -> Dataset:
    random = np.random.Generator(np.random.Philox(seed))
    parts = {part: _series(options.samples, index * options.samples, random) for index, part in enumerate(PARTS)}
    info = DatasetInfo(
        name="toy-waves",
        title="Toy waves",
        synthetic=True,
        bands=(Band("wave", "1"), Band("counterwave", "1")),
        class_names=("early", "late"),
        licence="MIT",
        citation="Simulated.",
    )
    return Dataset(info=info, parts=parts, dates=DATES)


SOURCE = DataSource(name="toy-waves", title="two classes of sine waves, made on the spot", options=Options, read=_read)
