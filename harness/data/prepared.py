"""The folder ``data-<hash>/``: what it is called, how it is hashed and how it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.data.dataset import PARTS, Band, DatasetInfo, Part
from harness.data.normalisation import Normalisation
from harness.errors import DataError

Sampling = Literal["frozen", "per-epoch"]

DATASET_FILE = "dataset.json"
REGIONS_FILE = "regions.json"
PROBE_FILE = "probe.safetensors"
PROBE_LABELS_FILE = "probe_labels.safetensors"


def part_file(part: Part) -> str:
    """The name of a part's file."""
    return f"{part}.safetensors"


def probe_hash(inputs: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of a probe: little-endian row-major bytes, inputs in order of name."""
    digest = hashlib.sha256()
    for name in sorted(inputs):
        array = inputs[name]
        digest.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class ProbeRecord:
    """The fixed inputs on which runtimes are compared: how many, their hash, and which test samples they are."""

    samples: int
    sha256: str
    seed: int
    #: Places in the test part, ascending.
    indices: tuple[int, ...]


@dataclass(frozen=True)
class PreparedPart:
    """One part as the model takes it.

    ``x`` float32 (sample, band, time) normalised, or None where the dates are drawn anew at every epoch; then
    ``values`` float32 (date, band), normalised, and ``offsets`` int64 (sample + 1) hold the whole series.
    """

    y: NDArray[np.int64]
    ids: NDArray[np.int64]
    groups: NDArray[np.int64]
    regions: tuple[str, ...]
    x: NDArray[np.float32] | None = None
    values: NDArray[np.float32] | None = None
    offsets: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class PreparedData:
    """A prepared data set: what is known of it; arrays are read when they are asked for."""

    folder: Path
    info: DatasetInfo
    dates: int
    sampling: Sampling
    seed: int
    normalisation: Normalisation
    #: Part -> class name -> samples.
    counts: dict[Part, dict[str, int]]
    probe: ProbeRecord

    @property
    def probe_path(self) -> Path:
        """The probe's inputs by name, as safetensors."""
        return self.folder / PROBE_FILE

    @property
    def probe_labels_path(self) -> Path:
        """The probe's ``y`` and ``ids``, as safetensors."""
        return self.folder / PROBE_LABELS_FILE

    def part_path(self, part: Part) -> Path:
        """The file of a part, as safetensors."""
        return self.folder / part_file(part)

    def part(self, part: Part) -> PreparedPart:
        """Read a part. Raises DataError where its file is missing or truncated."""
        arrays = _tensors(self.part_path(part))
        regions = _json(self.folder / REGIONS_FILE)[part]
        names = ("y", "ids", "groups", "x", "values", "offsets")
        return PreparedPart(regions=tuple(regions), **{name: arrays[name] for name in names if name in arrays})

    def probe_inputs(self) -> dict[str, NDArray[Any]]:
        """The probe's inputs by name; raises DataError where they are not those that were hashed."""
        inputs = _tensors(self.probe_path)
        found = probe_hash(inputs)
        if found != self.probe.sha256:
            raise DataError(f"the probe's hash is {found}, not {self.probe.sha256}", where=str(self.probe_path))
        return inputs

    def probe_labels(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The probe's labels and ids, int64 (sample,) each."""
        arrays = _tensors(self.probe_labels_path)
        return arrays["y"], arrays["ids"]


_AGAIN = "remove the folder and run again"


def _tensors(path: Path) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors: dict[str, NDArray[Any]] = load_file(path)
        return tensors
    except FileNotFoundError as error:
        raise DataError("the file does not exist", where=str(path), hint=_AGAIN) from error
    except (SafetensorError, OSError) as error:
        raise DataError(f"not a whole safetensors file ({error})", where=str(path), hint=_AGAIN) from error


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError("the file does not exist", where=str(path), hint=_AGAIN) from error
    except (ValueError, OSError) as error:
        raise DataError(f"not a whole JSON file ({error})", where=str(path), hint=_AGAIN) from error


def read_prepared(folder: Path) -> PreparedData:
    """Read a prepared data set. Raises DataError where a file is missing or ``dataset.json`` cannot be read."""
    path = folder / DATASET_FILE
    record = _json(path)
    for name in (*(part_file(part) for part in PARTS), REGIONS_FILE, PROBE_FILE, PROBE_LABELS_FILE):
        if not (folder / name).is_file():
            raise DataError("the file does not exist", where=str(folder / name), hint=_AGAIN)
    try:
        return PreparedData(
            folder=folder,
            info=DatasetInfo(
                name=record["name"],
                title=record["title"],
                synthetic=record["synthetic"],
                bands=tuple(Band(**band) for band in record["bands"]),
                class_names=tuple(record["class_names"]),
                licence=record["licence"],
                citation=record["citation"],
                doi=record["doi"],
                url=record["url"],
                notes=tuple(record["notes"]),
            ),
            dates=record["dates"],
            sampling=record["sampling"],
            seed=record["seed"],
            normalisation=Normalisation(**record["normalisation"]),
            counts=record["counts"],
            probe=ProbeRecord(**record["probe"] | {"indices": tuple(record["probe"]["indices"])}),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"not the record of a data set ({error!r})", where=str(path), hint=_AGAIN) from error
