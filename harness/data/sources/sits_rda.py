"""Samples of the R package sits: a tibble with one time series per row, saved as .rda.

Simoes, Camara, Queiroz, Souza, Andrade, Santos, Carvalho, Ferreira (2021): Satellite Image Time Series Analysis for Big
Earth Observation Data. Remote Sensing 13(13), 2428. https://doi.org/10.3390/rs13132428

Columns ``longitude``, ``latitude``, ``label`` and ``time_series``; a series is a tibble of ``Index`` (dates) and one
column per band. Bands keep the order of their columns and classes are sorted, as in sits, so that its models and these
number both alike. The samples published with the package that are known here are recognised by their content; nothing
is assumed of other files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from harness.data.checks import first_not_finite
from harness.data.dataset import Band, Dataset, DatasetInfo, DataSource, Part, Series
from harness.data.described import Described
from harness.data.locate import ENVIRONMENT_VARIABLE, find
from harness.data.r_data import Frame, read_frame
from harness.data.split import three_parts
from harness.errors import DataError
from harness.files.digests import file_hash
from harness.files.remembered_digests import named_hashes

#: The column of the dates in a series; every other one is a band.
INDEX = "Index"

_DESCRIPTIONS = {"NDVI": "normalised difference vegetation index", "EVI": "enhanced vegetation index"}

_SITS: dict[str, Any] = {
    "unit": "1",
    "licence": "published with the R package sits, which is under GPL-2",
    "citation": (
        "Simoes, R., Camara, G., Queiroz, G., Souza, F., Andrade, P. R., Santos, L., Carvalho, A., Ferreira, K. (2021). "
        "Satellite Image Time Series Analysis for Big Earth Observation Data. Remote Sensing 13(13), 2428."
    ),
    "doi": "10.3390/rs13132428",
    "url": "https://github.com/e-sensing/sits",
}

#: SHA-256 of files in the folder data/ of the package, and what its documentation says of them.
KNOWN: dict[str, dict[str, Any]] = {
    "e18bc113fd38f528b4f5645698889dda91e1d4c417a74ec742ab11fe3314ee7c": _SITS
    | {"title": "MODIS MOD13Q1 (collection 6) NDVI series, Mato Grosso, Brazil: four classes, published with sits"},
    "4a46f008dcea87f3d2e09e5bb1e39f19ff7ad43025badfecc429f61996efa718": _SITS
    | {"title": "MODIS MOD13Q1 (collection 5) series, Cerrado and Pasture, Mato Grosso, Brazil, published with sits"},
}

#: MOD13Q1 stores 10000 times the index, and -3000 where there is none; sits stores the index itself.
_FILL = np.float32(-0.3)

#: Columns that sits or its users number samples by.
_IDS = ("id", "sample_id")


class Options(Described):
    """Options of the data source ``sits-rda``."""

    path: str = Field(description="the .rda file")
    base: str | None = Field(
        default=None,
        description=f"folder of a relative path; the environment variable {ENVIRONMENT_VARIABLE}, or else the current "
        "folder, if left out",
    )
    object: str | None = Field(default=None, description="name of the tibble, where the file holds several objects")
    bands: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="bands to take, in this order; all, as the file orders them, if left out",
    )
    test_fraction: float = Field(default=0.25, gt=0, lt=1, description="fraction of every class's samples for testing")
    valid_fraction: float = Field(
        default=0.15, gt=0, lt=1, description="fraction of every class's samples for validation"
    )
    name: str = Field(default="sits-rda", description="short name of the data set")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.test_fraction + self.valid_fraction >= 1:
            raise ValueError("test_fraction and valid_fraction leave nothing for training")
        if self.bands is not None and len(set(self.bands)) < len(self.bands):
            raise ValueError(f"a band is named twice in {', '.join(self.bands)}")
        return self


@dataclass(frozen=True)
class Samples:
    """A tibble as read.

    ``values`` (row, date, band) float32, ``labels`` (row,) names of classes, ``locations`` (row, 2) longitude and
    latitude in degrees, ``dates`` (row, date) datetime64[D], ``ids`` (row,) int64 or None where there is no such column.
    """

    where: str
    bands: tuple[str, ...]
    values: NDArray[np.float32]
    labels: list[str]
    locations: NDArray[np.float64]
    dates: NDArray[np.datetime64]
    ids: NDArray[np.int64] | None


def read_samples(path: Path, name: str | None, bands: tuple[str, ...] | None) -> tuple[str, Samples]:
    """Read the samples of an .rda file; returns the tibble's name too. Raises DataError, with column and row."""
    name, frame = read_frame(path, name)
    series = frame.column("time_series").frames()
    if not series:
        raise DataError("there is no sample", where=frame.where)
    found = tuple(column for column in series[0].columns if column != INDEX)
    bands = bands or found
    missing = [band for band in bands if band not in found]
    if missing or not bands:
        raise DataError(
            f"there is no band {missing[0]}; there are {', '.join(found)}" if missing else "there is no band",
            where=series[0].where,
        )
    dates = series[0].rows
    values = np.empty((len(series), dates, len(bands)), dtype=np.float32)
    days = np.empty((len(series), dates), dtype="datetime64[D]")
    for row, one in enumerate(series):
        _read_series(one, found, bands, values[row], days[row])
    locations = np.stack([frame.column(axis).numbers() for axis in ("longitude", "latitude")], axis=1)
    at = first_not_finite(locations)
    if at is not None:
        raise DataError(f"row {at[0] + 1} has no {('longitude', 'latitude')[at[1]]}", where=frame.where)
    return name, Samples(frame.where, bands, values, frame.column("label").texts(), locations, days, _ids(frame))


def _read_series(
    series: Frame,
    found: tuple[str, ...],
    bands: tuple[str, ...],
    values: NDArray[np.float32],
    days: NDArray[np.datetime64],
) -> None:
    """Read one series into ``values`` (date, band) and ``days`` (date,)."""
    names = tuple(column for column in series.columns if column != INDEX)
    if names != found:
        raise DataError(f"bands {', '.join(names)}, but {', '.join(found)} in row 1", where=series.where)
    if series.rows != len(days):
        raise DataError(
            f"{series.rows} dates, but {len(days)} in row 1",
            where=series.where,
            hint="sits trains on series of one length only: cut them with sits_select(samples, start_date, end_date)",
        )
    days[:] = series.column(INDEX).dates()
    for index, band in enumerate(bands):
        numbers = series.column(band).numbers()
        with np.errstate(over="ignore"):
            values[:, index] = numbers
        if not np.isfinite(values[:, index]).all():
            date = int(np.flatnonzero(~np.isfinite(values[:, index]))[0])
            raise DataError(
                f"{numbers[date]:g} is not a finite value: band {band}, {days[date]}",
                where=series.where,
                hint="fill the gaps in R first, for instance with impute_linear()",
            )


def _ids(frame: Frame) -> NDArray[np.int64] | None:
    """The samples' own numbers: of the first column that holds distinct whole numbers under a usual name."""
    for name in _IDS:
        if name in frame.columns and frame.columns[name].kind in ("a numeric vector", "an integer vector"):
            numbers = frame.columns[name].numbers()
            if (np.abs(numbers) < 2**53).all() and (numbers == np.floor(numbers)).all():
                ids = numbers.astype(np.int64)
                if len(np.unique(ids)) == len(ids):
                    return ids
    return None


def _part(samples: Samples, rows: NDArray[np.bool_], labels: NDArray[np.int64], region: str) -> Series:
    values = samples.values[rows]
    count, dates, bands = values.shape
    ids = np.arange(1, len(rows) + 1, dtype=np.int64) if samples.ids is None else samples.ids
    return Series(
        values=values.reshape(count * dates, bands),
        offsets=np.arange(count + 1, dtype=np.int64) * dates,
        labels=labels[rows],
        ids=ids[rows],
        groups=_groups(samples)[rows],
        regions=np.full(count, region),
    )


def _groups(samples: Samples) -> NDArray[np.int64]:
    """The location of every row (row,), numbered from 1."""
    _, numbers = np.unique(samples.locations, axis=0, return_inverse=True)
    return numbers.reshape(-1).astype(np.int64) + 1


def _notes(samples: Samples, names: tuple[str, ...], known: bool) -> list[str]:
    notes = [
        "The region is the name of the tibble; a group is a location (longitude and latitude), numbered from 1.",
        "Normalised as sits does (sits_stats: 2 % and 98 % quantiles per band), unless the scenario says otherwise, but "
        "fitted on the training part only: sits fits on all samples it is given.",
    ]
    if samples.ids is None:
        notes.append("The tibble has no ids: an id is the number of its row, from 1.")
    if list(names) != sorted(names, key=str.casefold):
        notes.append("Classes are sorted by code point; R may sort them otherwise, by the rules of its locale.")
    if known and (count := int((samples.values == _FILL).sum())):
        notes.append(f"{count} values are -0.3, which is how MOD13Q1's fill value reads; they are kept as stored.")
    return notes


def _read(options: Options, folder: Path, seed: int) -> Dataset:
    path = find(options.path, options.base)
    region, samples = read_samples(path, options.object, options.bands)
    names = tuple(sorted(set(samples.labels)))
    labels = np.searchsorted(np.array(names), np.array(samples.labels)).astype(np.int64)
    rows = dict(
        zip(
            ("train", "valid", "test"),
            three_parts(labels, _groups(samples), options.test_fraction, options.valid_fraction, seed),
            strict=True,
        )
    )
    for part in ("valid", "test"):
        if not rows[part].any():
            raise DataError(
                f"no sample is left for the {part} part: a class needs samples at several locations",
                where=samples.where,
                hint="raise test_fraction and valid_fraction, or take more samples",
            )
    recognised = KNOWN.get(file_hash(path))
    told = options.told(recognised)
    counts = ", ".join(f"{one.sum()} for {part}" for part, one in rows.items())
    info = DatasetInfo(
        name=options.name,
        title=told["title"] or f"Image time series of {path.name} ({region})",
        synthetic=False,
        bands=tuple(
            Band(band, told["unit"], _DESCRIPTIONS.get(band, "") if recognised else "") for band in samples.bands
        ),
        class_names=names,
        licence=told["licence"],
        citation=told["citation"],
        doi=told["doi"],
        url=told["url"],
        notes=(
            *_notes(samples, names, recognised is not None),
            f"Split by location, about {options.test_fraction:g} of every class for testing and "
            f"{options.valid_fraction:g} for validation, seed {seed}: {counts}.",
        ),
    )
    parts: dict[Part, Series] = {
        part: _part(samples, rows[part], labels, region) for part in ("train", "valid", "test")
    }
    days = (samples.dates - samples.dates.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64) + 1
    extras = {"days_of_year": days[0].tolist()} if (days == days[0]).all() else {}
    return Dataset(info=info, parts=parts, dates=samples.values.shape[1], normalisation="percentile", extras=extras)


SOURCE = DataSource(
    name="sits-rda",
    title="samples of the R package sits (.rda): a tibble with one time series per row",
    options=Options,
    read=_read,
    fingerprint=lambda options: named_hashes([find(options.path, options.base)]),
    places=("path", "base"),
    obtain="save your own with save(samples, file = 'samples.rda'), or take one from data/ of github.com/e-sensing/sits",
)
