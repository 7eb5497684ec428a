"""What every data source yields: labelled series, frames in time, or arrays by name, and all that a reader must know of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from harness.errors import DataError
from harness.models.spec import TaskName

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
class Variable:
    """A physical variable that is estimated, in its place on the axis of variables."""

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
    #: Physical variables in the order of a target, where the data have such.
    variables: tuple[Variable, ...] = ()
    #: Whether samples of the test part may hold NaN and infinities, nodata that a model is asked about.
    allow_nan: bool = False

    def record(self) -> dict[str, Any]:
        """As ``dataset.json`` states it: ``variables`` and ``allow_nan`` only where there are some, and where it is so."""
        found = asdict(self)
        for name in ("variables", "allow_nan"):
            if not found[name]:
                del found[name]
        return found


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
class Arrays:
    """Samples of one part as arrays by name, each with the sample as axis 0, but for those that all samples share.

    ``ids``, ``groups`` (sample,) int64 and ``regions`` (sample,) str as in :class:`Series`.
    """

    arrays: Mapping[str, NDArray[Any]]
    ids: NDArray[np.int64]
    groups: NDArray[np.int64]
    regions: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Served:
    """What a data set of arrays offers a task.

    ``inputs``: names of arrays that models of the task take under the same names. ``targets``: by name as the task has them,
    the array that is one. ``sizes``: what ``build`` of a model must know. ``class_names`` of classes or labels, or ``variables``.
    ``shared``: those of ``inputs`` that are given once for all samples of a part (the day on which a tile was seen), and have no
    sample axis.
    """

    inputs: tuple[str, ...]
    targets: Mapping[str, str]
    sizes: Mapping[str, int]
    class_names: tuple[str, ...] = ()
    variables: tuple[Variable, ...] = ()
    shared: tuple[str, ...] = ()


@dataclass(frozen=True)
class ArrayDataset:
    """Arrays by name, split into parts; one data set may serve several tasks. No group of one part occurs in another.

    ``band_axes``: the arrays that have bands, in the source's own units, and which of their axes those are; they are normalised.
    """

    info: DatasetInfo
    parts: dict[Part, Arrays]
    serves: Mapping[TaskName, Served]
    band_axes: Mapping[str, int]
    #: The normalisation used unless the scenario says otherwise, and its factor as in :class:`Dataset`.
    normalisation: NormalisationKind = "standard"
    factor: float | None = None


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

    ``read(options, folder, seed)`` returns a Dataset, a FrameDataset where ``kind`` is ``frames``, or an ArrayDataset where it
    is ``arrays``; ``tasks`` are those of models that learn from them. ``folder`` is a scratch folder that the embedded sources
    may write their files into, removed afterwards. ``places`` names the options that
    say where files lie, and ``fingerprint(options)`` hashes the contents of these files: a changed file is read anew, and one
    that lies elsewhere is not.
    ``write(folder, seed)`` puts the source's own files into a folder, where the source makes them itself;
    ``download(folder, wanted, progress)`` fetches published ones, telling a :class:`harness.data.transfer.Progress`, and
    returns them; elsewhere ``obtain`` says in one sentence how a user comes by them.
    """

    name: str
    title: str
    options: type[BaseModel]
    read: Callable[[Any, Path, int], Dataset | FrameDataset | ArrayDataset]
    fingerprint: Callable[[Any], str] = lambda options: ""
    places: tuple[str, ...] = ()
    write: Callable[[Path, int], None] | None = None
    download: Callable[[Path, Wanted, Any], list[Path]] | None = None
    obtain: str = ""
    kind: Literal["series", "frames", "arrays"] = "series"
    tasks: tuple[TaskName, ...] = ("classification",)

    def check_serves(self, model: str, task: TaskName) -> None:
        """Raises DataError where a model of that name is for a task that these data do not serve."""
        if task not in self.tasks:
            raise DataError(
                f"{model} is a model for {task}, and {self.name} serves {' and '.join(self.tasks)}",
                hint="choose a model and data of one task",
            )
