"""What every data source yields: labelled series, or frames in time, with everything a reader needs to know of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

Part = Literal["train", "valid", "test"]
NormalisationKind = Literal["scale", "percentile", "standard", "none"]
PARTS: tuple[Part, ...] = ("train", "valid", "test")


@dataclass(frozen=True)
class Band:
    """A band in its place on the channel axis."""

    name: str
    unit: str
    description: str = ""


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set beside its arrays; written as JSON with every artifact made from it."""

    name: str
    title: str
    synthetic: bool
    bands: tuple[Band, ...]
    class_names: tuple[str, ...]
    licence: str
    citation: str
    doi: str | None = None
    url: str | None = None
    #: Warnings and choices a reader must know, e.g. how dates were drawn, in whole sentences.
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Series:
    """Labelled series of one part.

    ``values`` holds the series one after the other, float32 (date, band) in the source's own physical units; series
    ``i`` is ``values[offsets[i]:offsets[i + 1]]``, so that series of different lengths are possible. ``labels``
    (sample,) int64 index ``class_names``. ``ids`` (sample,) int64 are the source's own, never invented where it has
    some. ``groups`` (sample,) int64 name what must not straddle a split (polygon, parcel). ``regions`` (sample,) str.
    """

    values: NDArray[np.float32]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    ids: NDArray[np.int64]
    groups: NDArray[np.int64]
    regions: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A data set split into parts. No group of one part occurs in another."""

    info: DatasetInfo
    parts: dict[Part, Series]
    #: Number of dates every series is brought to by the draw of dates, unless the scenario says otherwise.
    dates: int
    #: The normalisation used unless the scenario says otherwise.
    normalisation: NormalisationKind = "standard"
    #: The factor of the normalisation ``scale``, e.g. 1e-4 from digital numbers to reflectance; None if there is none.
    factor: float | None = None
    extras: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Frames:
    """Consecutive frames of one part, and the sequences that are cut from them.

    ``values`` float32 (frame, row, column) in the source's own physical unit, 0 where ``valid``, bool of the same shape, is
    False: there is no measurement there. ``times`` int64 (frame,) are seconds since 1970-01-01 UTC. Sequence ``i`` is
    ``values[starts[i] : starts[i] + history + horizon]``; no sequence spans a gap. ``starts`` is int64 (sequence,).
    """

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    times: NDArray[np.int64]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)


@dataclass(frozen=True)
class FrameDataset:
    """Frames split into parts by time: what is forecast is the same band, ``horizon`` frames after ``history`` frames.

    No frame lies in two parts. ``info.class_names`` is empty, and ``info.bands`` has the one band of the frames.
    """

    info: DatasetInfo
    parts: dict[Part, Frames]
    #: Frames that a model sees, and frames that it forecasts.
    history: int
    horizon: int
    #: Seconds from one frame to the next.
    interval: int
    #: The physical values that become 0 and 1.
    bottom: float
    top: float
    #: Physical values whose exceedance is what a user acts on, ascending.
    thresholds: tuple[float, ...]
    #: How frames were resampled and rounded, in the words of :mod:`harness.data.resample`.
    resampling: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """What a user wants of a published data set, in the words of `harness data get`."""

    regions: tuple[str, ...] = ()
    level: str | None = None
    shapefile: bool = True
    #: Address of a mirror.
    base_url: str | None = None
    #: Whether files of other sizes than the published ones are taken.
    any_size: bool = False
    #: A product of several that are published, and the first and last time of it, as 2010-08-26T00:05.
    product: str | None = None
    first: str | None = None
    last: str | None = None


@dataclass(frozen=True)
class DataSource:
    """A data source: its name, its options (a pydantic model; unknown keys are errors) and how it is read.

    ``read(options, folder, seed)`` returns a Dataset, or a FrameDataset where ``kind`` is ``frames``; ``folder`` is a
    scratch folder that the embedded sources may write their files into, removed afterwards. ``places`` names the options that
    say where files lie, and ``fingerprint(options)`` hashes the contents of these files: a changed file is read anew, and one
    that lies elsewhere is not.
    ``write(folder, seed)`` puts the source's own files into a folder, where the source makes them itself;
    ``download(folder, wanted, progress)`` fetches published ones, telling a :class:`harness.data.transfer.Progress`, and
    returns them; elsewhere ``obtain`` says in one sentence how a user comes by them.
    """

    name: str
    title: str
    options: type[BaseModel]
    read: Callable[[Any, Path, int], Dataset | FrameDataset]
    fingerprint: Callable[[Any], str] = lambda options: ""
    places: tuple[str, ...] = ()
    write: Callable[[Path, int], None] | None = None
    download: Callable[[Path, Wanted, Any], list[Path]] | None = None
    obtain: str = ""
    kind: Literal["series", "frames"] = "series"
