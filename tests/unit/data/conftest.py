"""Small data sets that several tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from small_crops import SEED, SMALL, write_csv

from harness.data.prepare import DataConfig, PreparedData, prepare

# A busy machine is no reason to fail, and a run must be repeatable.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


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
