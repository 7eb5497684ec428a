"""Small data sets that several tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from harness.data.prepare import DataConfig, PreparedData, prepare

SMALL = {"train": 120, "valid": 60, "test": 90}
SEED = 5

# A busy machine is no reason to fail, and a run must be repeatable.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


def write_csv(path: Path, rows: list[tuple[int, int, list[float]]]) -> Path:
    path.write_text("".join(",".join(map(str, (label, polygon, *values))) + "\n" for label, polygon, values in rows))
    return path


def physical(data: PreparedData, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """What was normalised in physical units again: (sample, date, band) from (sample, band, date)."""
    return x.transpose(0, 2, 1).astype(np.float64) / data.normalisation.scale + data.normalisation.offset


@pytest.fixture(scope="session")
def small() -> DataConfig:
    return DataConfig(source="synthetic-crops", options=SMALL)


@pytest.fixture(scope="session")
def prepared(small: DataConfig, tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return prepare(small, SEED, 64, tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def csv_files(tmp_path: Path) -> Callable[..., dict[str, object]]:
    """Two files of 4 dates x 2 bands, 3 classes, polygons of 3 rows; returns the options that name them."""

    def make(**options: object) -> dict[str, object]:
        random = np.random.default_rng(1)
        for name, first in (("train.csv", 0), ("test.csv", 100)):
            rows = [
                (polygon % 3, first + polygon, random.uniform(0, 500, 8).round(2).tolist())
                for polygon in range(24)
                for _ in range(3)
            ]
            write_csv(tmp_path / name, rows)
        return {"train": "train.csv", "test": "test.csv", "base": str(tmp_path), "bands": ["NIR", "R"], **options}

    return make
