"""Toy flags: whether numbers are positive, for the task that is added."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from harness.data.dataset import PARTS, ArrayDataset, Arrays, Band, DatasetInfo, DataSource, Part, Served

NAMES = ("up", "down")


class Options(BaseModel):
    """Options of the data source ``toy-flags``: none."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _read(options: Options, folder: Path, seed: int) -> ArrayDataset:
    random = np.random.Generator(np.random.Philox(seed))
    parts: dict[Part, Arrays] = {}
    for index, part in enumerate(PARTS):
        x = random.normal(size=(200, 2)).astype(np.float32)
        flags = np.stack([x[:, 0] > 0, x[:, 0] < 0], axis=1).astype(np.float32)
        ids = 1000 * index + np.arange(200)
        parts[part] = Arrays({"x": x, "flags": flags}, ids, ids, np.full(200, "nowhere"))
    info = DatasetInfo(
        name="toy-flags",
        title="Toy flags",
        synthetic=True,
        bands=(Band("first", "1"), Band("second", "1")),
        class_names=NAMES,
        licence="MIT",
        citation="Simulated.",
    )
    served = Served(("x",), {"y": "flags"}, {"bands": 2, "flags": 2}, class_names=NAMES)
    return ArrayDataset(info=info, parts=parts, serves={"toy-flag": served}, band_axes={"x": 1})


SOURCE = DataSource(
    name="toy-flags",
    title="whether numbers are positive",
    options=Options,
    read=_read,
    kind="arrays",
    tasks=("toy-flag",),
)
