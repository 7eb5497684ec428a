"""Synthetic crops: the embedded default. Simulated Sentinel-2 seasons, written and read in BreizhCrops' own layout.

Whatever reads BreizhCrops reads these: the files go through the very same code, so that a run on the real data set
differs in nothing but the numbers. Accuracies on them say nothing about real crops.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from harness.data.breizhcrops_layout import BANDS, COLUMNS, DATES, FACTOR, SPLIT, Level, bands, read_layout
from harness.data.dataset import Dataset, DatasetInfo, DataSource
from harness.data.phenology import BAND_ORDER, SEASONS, RegionSeries, simulate

YEAR = 2017
LEVEL: Level = "L1C"

#: How many days later the season is in a region.
_DELAYS = {"frh01": 0.0, "frh02": 2.0, "frh03": 1.0, "frh04": 4.0}
#: Where a region's parcel numbers begin.
_FIRST_PARCEL = {"frh01": 1_000_001, "frh02": 2_000_001, "frh03": 3_000_001, "frh04": 4_000_001}
#: What QA60 holds where the sky is covered by opaque clouds.
_OPAQUE = 1024.0
_NANOSECONDS_PER_DAY = 86_400 * 10**9


class Options(BaseModel):
    """Options of the data source ``synthetic-crops``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: int = Field(default=3000, ge=18, le=1_000_000, description="parcels of the training part, over two regions")
    valid: int = Field(default=600, ge=9, le=1_000_000, description="parcels of the validation part")
    test: int = Field(default=1200, ge=9, le=1_000_000, description="parcels of the test part")
    cloud_fraction: float = Field(default=0.35, ge=0, le=0.9, description="fraction of the dates under some cloud")


def _parcels(options: Options) -> dict[str, int]:
    sizes = {"frh01": options.train - options.train // 2, "frh02": options.train // 2}
    return sizes | {"frh03": options.valid, "frh04": options.test}


def write_classmapping(path: Path) -> None:
    """Write classmapping.csv: one crop code per class."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["", "id", "classname", "code"])
        writer.writerows([index, index, season.name, season.code] for index, season in enumerate(SEASONS))


def write_region(folder: Path, region: str, series: RegionSeries) -> None:
    """Write index CSV and HDF5 of a region: per parcel (date, column), float64, columns in the lexical order."""
    import h5py

    columns = COLUMNS[LEVEL]["lexical"]
    # Whole digital numbers, as the sensor gives them: the last bits of exp() differ between machines.
    numbers = np.clip(np.rint(series.reflectance / FACTOR), 1, 2**16 - 1)
    epoch = np.datetime64(f"{YEAR}-01-01", "ns").astype(np.int64)
    acquired = epoch + (series.days - 1) * _NANOSECONDS_PER_DAY
    opaque = np.where(series.cloud > 0.3, _OPAQUE, 0.0)
    with (
        # In memory first: HDF5 itself crashes the process when a disk is full. In the older format: of the newer one, HDF5
        # 1.14 hands out an image whose checksum is not that of its superblock.
        h5py.File(f"{region}.h5", "w", libver=("earliest", "v110"), driver="core", backing_store=False) as database,
        (folder / f"{region}.csv").open("w", newline="", encoding="utf-8") as file,
    ):
        index = csv.writer(file, lineterminator="\n")
        index.writerow(["", "meanQA60", "id", "CODE_CULTU", "path", "idx", "sequencelength"])
        for number, label in enumerate(series.labels):
            days = np.flatnonzero(series.seen[number])
            table = np.zeros((len(days), len(columns)))
            table[:, : len(BAND_ORDER)] = numbers[number, days]
            table[:, columns.index("QA60")] = opaque[number, days]
            table[:, columns.index("doa")] = acquired[days]
            identifier = _FIRST_PARCEL[region] + number
            path = f"{YEAR}/{LEVEL}/{region}/csv/{identifier}.csv"
            database.create_dataset(path, data=table)
            clouds = float(opaque[number, days].mean())
            index.writerow([number, clouds, identifier, SEASONS[label].code, path, number + 1, len(days)])
        database.flush()
        (folder / f"{region}.h5").write_bytes(database.id.get_file_image())


def write_layout(root: Path, options: Options, seed: int) -> None:
    """Write all regions in BreizhCrops' layout below ``root``."""
    if BANDS[LEVEL] != BAND_ORDER:
        raise AssertionError("the simulation and BreizhCrops order their bands differently")
    folder = root / str(YEAR) / LEVEL
    folder.mkdir(parents=True, exist_ok=True)
    write_classmapping(root / "classmapping.csv")
    for number, (region, parcels) in enumerate(_parcels(options).items()):
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, number])))
        series = simulate(random, parcels, delay=_DELAYS[region], cloud_fraction=options.cloud_fraction)
        write_region(folder, region, series)


def _read(options: Options, folder: Path, seed: int) -> Dataset:
    write_layout(folder, options, seed)
    parts, mapping, notes = read_layout(folder, year=YEAR, level=LEVEL, split=SPLIT)
    info = DatasetInfo(
        name="synthetic-crops",
        title="Synthetic crops (simulated, not measured), in BreizhCrops' layout",
        synthetic=True,
        bands=bands(LEVEL),
        class_names=mapping.names,
        licence="MIT, as this software; no measurement is contained",
        citation="Simulated by this software (synthetic-crops): double-logistic phenology; not measured data.",
        notes=(
            "The data are synthetic: accuracies say nothing about real crops.",
            "Classes, bands, layout, split and number of dates follow BreizhCrops (Rußwurm et al. 2020), its imbalance "
            "in rough terms: sunflower, orchards and nuts are made less rare, to be seen at all.",
            *notes,
        ),
    )
    return Dataset(info=info, parts=parts, dates=DATES, normalisation="scale", factor=FACTOR)


SOURCE = DataSource(
    name="synthetic-crops",
    title="synthetic Sentinel-2 seasons of nine crops, made on the spot",
    options=Options,
    read=_read,
    write=lambda folder, seed: write_layout(folder, Options(), seed),
)
