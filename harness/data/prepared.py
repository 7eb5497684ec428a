"""The folder ``data-<hash>/``: what it is called, how it is hashed and how it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.data.dataset import PARTS, Band, DatasetInfo, Part, Variable
from harness.data.normalisation import Normalisation
from harness.errors import DataError
from harness.files.disk_errors import explained
from harness.tasks.base import Samples

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
class Prepared:
    """What all prepared data sets have in common; arrays are read when they are asked for."""

    folder: Path
    info: DatasetInfo
    seed: int
    normalisation: Normalisation
    #: Part -> class name (``sequences`` of frames, ``samples`` of arrays) -> samples.
    counts: dict[Part, dict[str, int]]
    probe: ProbeRecord

    @property
    def sizes(self) -> dict[str, int]:
        """What a model must know of the data to be built, by the names that ``build`` of a model takes."""
        raise NotImplementedError

    @property
    def shared(self) -> tuple[str, ...]:
        """Inputs that are given once for all samples."""
        return ()

    def test_inputs(self, places: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """The model's inputs by name for test samples by their places, contiguous."""
        raise NotImplementedError

    def test_target(self, places: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """What the task wants of test samples by their places, by name; see `harness.tasks.base.Target`."""
        raise NotImplementedError

    def test_samples(self, places: NDArray[np.int64]) -> Samples:
        """Test samples by their places, as tasks score them."""
        path = self.folder / REGIONS_FILE
        regions = _json(path)["test"] if path.is_file() else []
        return Samples(
            ids=read_tensors(self.part_path("test"))["ids"][places],
            regions=tuple(regions[place] for place in places) if regions else (),
            target=self.test_target(places),
            inputs=lambda: self.test_inputs(places),
        )

    def part_path(self, part: Part) -> Path:
        """The file of a part, as safetensors."""
        return self.folder / part_file(part)


@dataclass(frozen=True)
class PreparedData(Prepared):
    """A prepared data set of labelled series."""

    dates: int
    sampling: Sampling

    @property
    def sizes(self) -> dict[str, int]:
        """See Prepared."""
        return {"bands": len(self.info.bands), "dates": self.dates, "classes": len(self.info.class_names)}

    @property
    def shared(self) -> tuple[str, ...]:
        """Inputs that are given once for all samples."""
        return ()

    def test_inputs(self, places: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """See Prepared."""
        return {"x": np.ascontiguousarray(read_tensors(self.part_path("test"))["x"][places])}

    def test_target(self, places: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """See Prepared: labels."""
        return {"y": read_tensors(self.part_path("test"))["y"][places]}

    def part(self, part: Part) -> PreparedPart:
        """Read a part. Raises DataError where its file is missing or truncated."""
        arrays = read_tensors(self.part_path(part))
        regions = _json(self.folder / REGIONS_FILE)[part]
        names = ("y", "ids", "groups", "x", "values", "offsets")
        return PreparedPart(regions=tuple(regions), **{name: arrays[name] for name in names if name in arrays})


_AGAIN = "remove the folder and run again"


@contextmanager
def _renamed_when_whole(path: Path) -> Iterator[Path]:
    scratch = path.with_name(f".{path.name}.part")
    with explained(path):
        try:
            yield scratch
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


def save_tensors(tensors: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Write tensors by name as safetensors, whole or not at all. Raises StoreError where the folder cannot be written."""
    from safetensors.numpy import save_file

    # The NumPy writer copies memory as it lies: anything but row-major would come back scrambled.
    with _renamed_when_whole(path) as scratch:
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, scratch)


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """All tensors of a safetensors file by name. Raises DataError where it is missing or not whole."""
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


def common_fields(folder: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of :class:`Prepared` from ``dataset.json``; raises KeyError, TypeError or ValueError where it is none."""
    return {
        "folder": folder,
        "info": DatasetInfo(
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
            variables=tuple(Variable(**variable) for variable in record.get("variables", ())),
            allow_nan=bool(record.get("allow_nan", False)),
        ),
        "seed": record["seed"],
        "normalisation": Normalisation(**record["normalisation"]),
        "counts": record["counts"],
        "probe": ProbeRecord(**record["probe"] | {"indices": tuple(record["probe"]["indices"])}),
    }


def read_prepared(folder: Path) -> PreparedData:
    """Read a prepared data set of series. Raises DataError where a file is missing or ``dataset.json`` cannot be read."""
    record = read_record(folder, (REGIONS_FILE,))
    try:
        return PreparedData(**common_fields(folder, record), dates=record["dates"], sampling=record["sampling"])
    except (KeyError, TypeError, ValueError) as error:
        raise not_a_record(folder, error) from error


def read_record(folder: Path, others: tuple[str, ...] = ()) -> dict[str, Any]:
    """``dataset.json``, where all files of a prepared data set are there, ``others`` among them. Raises DataError."""
    record: dict[str, Any] = _json(folder / DATASET_FILE)
    for name in (*(part_file(part) for part in PARTS), *others, PROBE_FILE, PROBE_LABELS_FILE):
        if not (folder / name).is_file():
            raise DataError("the file does not exist", where=str(folder / name), hint=_AGAIN)
    return record


def not_a_record(folder: Path, error: Exception) -> DataError:
    """What to raise where ``dataset.json`` lacks what it must hold."""
    return DataError(f"not the record of a data set ({error!r})", where=str(folder / DATASET_FILE), hint=_AGAIN)
