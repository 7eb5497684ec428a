"""BreizhCrops: Sentinel-2 series of field parcels in Brittany, in the layout of the original package.

Rußwurm, Pelletier, Zollner, Lefèvre, Körner (2020): BreizhCrops: a time series dataset for crop type mapping. ISPRS
Archives XLIII-B2-2020, 1545-1551. https://doi.org/10.5194/isprs-archives-XLIII-B2-2020-1545-2020

The files are read by :mod:`harness.data.breizhcrops_layout`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.data.breizhcrops_layout import (
    COLUMNS,
    DATES,
    FACTOR,
    LAYOUT_HINT,
    SPLIT,
    Level,
    bands,
    read_layout,
    region_files,
)
from harness.data.dataset import Dataset, DatasetInfo, DataSource, Part, Wanted
from harness.errors import DataError
from harness.files.remembered_digests import remembered_hash

ENVIRONMENT_VARIABLE = "HARNESS_BREIZHCROPS"


class Options(BaseModel):
    """Options of the data source ``breizhcrops``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: str | None = Field(
        default=None, description=f"folder of the data set; the environment variable {ENVIRONMENT_VARIABLE} if left out"
    )
    year: int = Field(default=2017, description="year of the data")
    level: Level = Field(
        default="L1C", description="L1C: top of atmosphere, 13 bands; L2A: bottom of atmosphere, 10 bands"
    )
    train: tuple[str, ...] = Field(default=SPLIT["train"], min_length=1, description="regions of the training part")
    valid: tuple[str, ...] = Field(default=SPLIT["valid"], min_length=1, description="regions of the validation part")
    test: tuple[str, ...] = Field(default=SPLIT["test"], min_length=1, description="regions of the test part")
    columns: Literal["lexical", "spectral", "date-first", "date-last"] | None = Field(
        default=None, description="order of the columns in the HDF5 files; told from the values if left out"
    )
    parcels: int | None = Field(default=None, gt=0, description="at most so many parcels per region, drawn by the seed")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.columns is not None and self.columns not in COLUMNS[self.level]:
            raise ValueError(
                f"columns of {self.level} are ordered {' or '.join(COLUMNS[self.level])}, not {self.columns}"
            )
        regions = [*self.train, *self.valid, *self.test]
        twice = next((region for region in regions if regions.count(region) > 1), None)
        if twice is not None:
            raise ValueError(f"region {twice} is named twice")
        return self


def _root(options: Options) -> Path:
    named = options.root or os.environ.get(ENVIRONMENT_VARIABLE)
    if not named:
        raise DataError(
            "the folder of BreizhCrops is not known",
            where="data.options.root",
            hint=f"set it, or the environment variable {ENVIRONMENT_VARIABLE}; see `harness data get breizhcrops`",
        )
    root = Path(named).expanduser()
    if not root.is_dir():
        raise DataError("the folder does not exist", where=str(root), hint=LAYOUT_HINT)
    return root


def _split(options: Options) -> dict[Part, tuple[str, ...]]:
    return {"train": options.train, "valid": options.valid, "test": options.test}


def _read(options: Options, folder: Path, seed: int) -> Dataset:
    parts, mapping, notes = read_layout(
        _root(options),
        year=options.year,
        level=options.level,
        split=_split(options),
        columns=options.columns,
        parcels=options.parcels,
        seed=seed,
    )
    info = DatasetInfo(
        name="breizhcrops",
        title=f"BreizhCrops {options.year}, Sentinel-2 {options.level}",
        synthetic=False,
        bands=bands(options.level),
        class_names=mapping.names,
        licence="not stated for the data (the package is under GPL-3.0); labels: Registre parcellaire graphique, IGN",
        citation=(
            "Rußwurm, M., Pelletier, C., Zollner, M., Lefèvre, S., Körner, M. (2020). BreizhCrops: A Time Series "
            "Dataset for Crop Type Mapping. International Archives of the Photogrammetry, Remote Sensing and Spatial "
            "Information Sciences XLIII-B2-2020, 1545-1551."
        ),
        doi="10.5194/isprs-archives-XLIII-B2-2020-1545-2020",
        url="https://github.com/dl4sits/BreizhCrops",
        notes=notes,
    )
    return Dataset(info=info, parts=parts, dates=DATES, normalisation="scale", factor=FACTOR)


def _fingerprint(options: Options) -> str:
    """SHA-256 of every file, which are gigabytes: of one that was not touched it is remembered."""
    root = _root(options)
    files = [root / "classmapping.csv"]
    for regions in _split(options).values():
        for region in regions:
            files.extend(region_files(root, options.year, options.level, region))
    return repr([(path.name, remembered_hash(path)) for path in files if path.exists()])


def _download(folder: Path, wanted: Wanted, progress: Any) -> list[Path]:
    from harness.data.breizhcrops_published import obtain

    return obtain(folder, wanted, progress)


SOURCE = DataSource(
    name="breizhcrops",
    title="BreizhCrops: Sentinel-2 series of field parcels in Brittany, nine crop classes",
    options=Options,
    read=_read,
    fingerprint=_fingerprint,
    places=("root",),
    download=_download,
    obtain="fetch it with `harness data get breizhcrops --region frh04` and name its folder as root",
)
