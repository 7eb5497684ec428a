"""Synthetic radar: the embedded default for frames. Simulated rain, written and read in KNMI's own files.

Whatever reads KNMI's composites reads these: the files go through the very same code, so that a run on real radar differs
in nothing but the numbers. Skill on them says nothing about real rain.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from harness.data.composites import Calibration, Composite, write_composite
from harness.data.dataset import DatasetInfo, DataSource, FrameDataset
from harness.data.frames import SequenceOptions
from harness.data.rain_cells import simulate
from harness.data.sources.knmi_radar import product_files, read_frames

PRODUCT = "RAD_NL25_RAP_5min"
INTERVAL = timedelta(minutes=5)

#: As in KNMI's rainfall accumulations: 0.01 mm in five minutes per count, here as a rate.
CALIBRATION = Calibration("rain-rate", gain=0.12, offset=0.0, missing=65535, out_of_image=65535)

#: The first frame ends five minutes later.
_START = datetime(2020, 1, 1, tzinfo=UTC)

#: Sees only as far as this share of half the diagonal, so that corners are no-data, as in a real composite.
_RANGE = 0.85


class Options(SequenceOptions):
    """Options of the data source ``synthetic-radar``."""

    frames: int = Field(default=480, ge=6, le=100_000, description="frames in all, five minutes apart")
    rows: int = Field(default=64, ge=8, le=2048, description="rows of a frame")
    columns: int = Field(default=64, ge=8, le=2048, description="columns of a frame")
    cells: float = Field(default=5.0, gt=0, le=1000, description="rain cells over the area at any time, about")
    stride: int | None = Field(
        default=2, ge=1, description="frames from one sequence to the next; a whole sequence if null"
    )
    top: float | None = Field(default=50.0, description="rain rate in mm/h that becomes 1; larger ones are cut off")


def in_range(rows: int, columns: int) -> NDArray[np.bool_]:
    """Which pixels (row, column) the simulated radar sees."""
    down, right = np.arange(rows) + 0.5 - rows / 2, np.arange(columns) + 0.5 - columns / 2
    reach = _RANGE * np.hypot(rows / 2, columns / 2)
    seen: NDArray[np.bool_] = np.hypot(down[:, None], right[None, :]) <= reach
    return seen


def write_files(folder: Path, options: Options, seed: int) -> None:
    """Write every frame below ``folder`` as KNMI names it."""
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 0x52414441])))
    rates = simulate(random, options.frames, options.rows, options.columns, options.cells)
    seen = in_range(options.rows, options.columns)
    folder.mkdir(parents=True, exist_ok=True)
    for index, rate in enumerate(rates):
        # Whole counts, as the product has them: the last bits of exp() differ between machines.
        counts = np.clip(np.rint(rate / CALIBRATION.gain), 0, 65534).astype(np.uint16)
        counts[~seen] = CALIBRATION.out_of_image
        time = _START + (index + 1) * INTERVAL
        path = folder / f"{PRODUCT}_{time:%Y%m%d%H%M}.h5"
        write_composite(path, Composite(counts, CALIBRATION, time), INTERVAL, PRODUCT)


def _read(options: Options, folder: Path, seed: int) -> FrameDataset:
    write_files(folder, options, seed)
    info = DatasetInfo(
        name="synthetic-radar",
        title="Synthetic radar (simulated rain cells, not measured), in KNMI's file layout",
        synthetic=True,
        bands=(),
        class_names=(),
        licence="MIT, as this software; no measurement is contained",
        citation="Simulated by this software (synthetic-radar): moving, growing and decaying rain cells; not measured data.",
        notes=(
            "The data are synthetic: skill says nothing about real rain.",
            "Files, calibration, no-data and split follow KNMI's 5-minute rainfall composites; sizes and motion of cells "
            "are those of a small picture, not of the Netherlands.",
        ),
    )
    return read_frames(product_files(folder, PRODUCT), options, INTERVAL, info, "synthetic-radar")


SOURCE = DataSource(
    name="synthetic-radar",
    title="synthetic rain cells that move, grow and decay, made on the spot, in KNMI's file layout",
    options=Options,
    read=_read,
    write=lambda folder, seed: write_files(folder, Options(), seed),
    kind="frames",
    tasks=("forecast",),
)
