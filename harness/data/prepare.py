"""From a data source to the arrays of a run: draw of dates, normalisation, probe; written as ``data-<hash>/``."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import tempfile
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.data.checks import check, check_probe_fits
from harness.data.dataset import (
    PARTS,
    ArrayDataset,
    Dataset,
    DatasetInfo,
    FrameDataset,
    NormalisationKind,
    Part,
    Series,
)
from harness.data.draw import draw, drawn_series
from harness.data.normalisation import Normalisation, fit
from harness.data.prepare_arrays import prepare_arrays
from harness.data.prepare_frames import prepare_frames
from harness.data.prepared import (
    DATASET_FILE,
    PROBE_FILE,
    PROBE_LABELS_FILE,
    REGIONS_FILE,
    PreparedData,
    ProbeRecord,
    Sampling,
    part_file,
    probe_hash,
    read_prepared,
    save_tensors,
)
from harness.data.prepared_arrays import PreparedArrays
from harness.data.prepared_frames import PreparedFrames
from harness.data.sources import source
from harness.errors import DataError
from harness.files.atomic import to_json, write_atomically
from harness.files.disk_errors import explained
from harness.models.spec import TaskName

__all__ = ["MINIMUM_PROBE", "DataConfig", "PreparedData", "fingerprint", "prepare", "read_prepared"]

#: The smallest probe: fewer samples say too little of an error's RMS.
MINIMUM_PROBE = 64

#: The name of the model's one input.
INPUT = "x"

#: Makes the draw of the probe differ from the draws of dates, which are keyed by sample ids.
_PROBE_KEY = -0x70726F6265

#: Samples that are drawn and normalised at once.
_CHUNK = 4096


class DataConfig(BaseModel):
    """Which data, how dates are drawn and how values are normalised."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    options: dict[str, Any] = Field(default_factory=dict)
    dates: int | None = Field(default=None, gt=0)
    sampling: Sampling = "frozen"
    normalisation: NormalisationKind | None = None


def options_of(config: DataConfig) -> BaseModel:
    """The source's own options, checked. Raises DataError on an unknown source, an unknown key or a wrong value."""
    found = source(config.source)
    try:
        return found.options.model_validate(config.options)
    except ValidationError as error:
        first = error.errors()[0]
        known = list(found.options.model_fields)
        where = ".".join(["data", "options", *(str(part) for part in first["loc"])])
        if first["type"] == "extra_forbidden":
            near = get_close_matches(str(first["loc"][-1]), known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"it takes {', '.join(known)}"
            raise DataError(f"{config.source} has no option '{first['loc'][-1]}'", where=where, hint=hint) from error
        raise DataError(first["msg"].removeprefix("Value error, "), where=where) from error


def fingerprint(config: DataConfig) -> str:
    """SHA-256 over what the prepared data depend on beside seed and code: options, defaults filled in, and files.

    Of an option that names a place, only whether it is given counts: what lies there counts by its content. Raises DataError
    on bad options and, for sources that read files, on files that are missing.
    """
    options = options_of(config)
    found = source(config.source)
    values = options.model_dump(mode="json")
    record = config.model_dump(mode="json", exclude={"options"}) | {
        "options": {name: value for name, value in values.items() if name not in found.places},
        "given": [name for name in found.places if values[name] is not None],
        "files": found.fingerprint(options),
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def prepare(
    config: DataConfig, seed: int, probe_samples: int, folder: Path, task: TaskName | None = None
) -> PreparedData | PreparedFrames | PreparedArrays:
    """Read a source, draw dates, normalise, draw the probe, and write the files of ``data-<hash>/`` into ``folder``.

    ``task``: that of the model, where a source of arrays serves several; else its only one. Frames have no dates to draw, and
    a scale and a smallest probe of their own: see :func:`harness.data.prepare_frames.prepare_frames`. Equal arguments give
    byte-equal files. Raises DataError on bad options or data, on a probe below :data:`MINIMUM_PROBE` samples, and on a test part
    smaller than the probe; StoreError where ``folder`` cannot be written.
    """
    options = options_of(config)
    if source(config.source).kind != "frames" and probe_samples < MINIMUM_PROBE:
        raise DataError(
            f"a probe of {probe_samples} samples is too small", where="probe", hint=f"take {MINIMUM_PROBE} or more"
        )
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".source-", dir=folder))
        try:
            dataset = source(config.source).read(options, scratch, seed)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    if isinstance(dataset, FrameDataset):
        if config.dates is not None or config.sampling != "frozen" or config.normalisation is not None:
            raise DataError(
                "frames have no dates to draw and are scaled from bottom to top",
                where="data",
                hint="leave out dates, sampling and normalisation; history, horizon, bottom and top are options",
            )
        return prepare_frames(dataset, seed, probe_samples, folder)
    if isinstance(dataset, ArrayDataset):
        if config.dates is not None or config.sampling != "frozen":
            raise DataError("arrays by name have no dates to draw", where="data", hint="leave out dates and sampling")
        wanted = task or source(config.source).tasks[0]
        return prepare_arrays(dataset, wanted, config.normalisation, seed, probe_samples, folder)
    check(dataset)
    smaller = f"make the probe smaller, but not below {MINIMUM_PROBE}"
    check_probe_fits(dataset.info.name, len(dataset.parts["test"]), probe_samples, smaller)
    dates = config.dates or dataset.dates
    normalisation, notes = fit(
        config.normalisation or dataset.normalisation,
        dataset.parts["train"].values,
        dataset.info.bands,
        dataset.factor,
    )
    info = dataclasses.replace(
        dataset.info, notes=(*dataset.info.notes, *_draw_notes(dataset, dates, config.sampling, seed), *notes)
    )
    probe = _write_arrays(dataset, dates, config.sampling, normalisation, seed, probe_samples, folder)
    regions = {part: dataset.parts[part].regions.tolist() for part in PARTS}
    write_atomically(folder / REGIONS_FILE, json.dumps(regions, ensure_ascii=False) + "\n")
    record = _record(info, dataset, dates, config.sampling, normalisation, seed, probe)
    write_atomically(folder / DATASET_FILE, to_json(record))
    return read_prepared(folder)


def _draw_notes(dataset: Dataset, dates: int, sampling: Sampling, seed: int) -> tuple[str, ...]:
    lengths = np.concatenate([np.diff(series.offsets) for series in dataset.parts.values()])
    if (lengths == dates).all():
        return ()
    short = int((lengths < dates).sum())
    often = "once per series" if sampling == "frozen" else "anew for every epoch of training, once otherwise"
    drawn = f"{dates} dates were drawn at random from the {lengths.min()} to {lengths.max()} of a series"
    replaced = f"{short} of {len(lengths)} series are shorter and were drawn with replacement"
    return (f"{drawn}, {often}, seed {seed}; {replaced}.",)


def _normalised(series: Series, dates: int, seed: int, normalisation: Normalisation) -> NDArray[np.float32]:
    """Drawn and normalised: float32 (sample, band, time)."""
    x = np.empty((len(series), series.values.shape[1], dates), dtype=np.float32)
    for start in range(0, len(series), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        offsets = series.offsets[start : start + _CHUNK + 1]
        drawn = drawn_series(
            series.values[offsets[0] : offsets[-1]], offsets - offsets[0], series.ids[chunk], dates, seed
        )
        x[chunk] = normalisation.apply(drawn.transpose(0, 2, 1)).transpose(0, 2, 1)
    return x


def _write_arrays(
    dataset: Dataset,
    dates: int,
    sampling: Sampling,
    normalisation: Normalisation,
    seed: int,
    probe_samples: int,
    folder: Path,
) -> ProbeRecord:
    """Write the parts and the probe, one part in memory at a time."""
    for part in PARTS:
        series = dataset.parts[part]
        tensors: dict[str, NDArray[Any]] = {"y": series.labels, "ids": series.ids, "groups": series.groups}
        if part == "train" and sampling == "per-epoch":
            tensors |= {"values": normalisation.apply(series.values), "offsets": series.offsets}
        else:
            tensors[INPUT] = _normalised(series, dates, seed, normalisation)
        save_tensors(tensors, folder / part_file(part))
        if part != "test":
            continue
        indices = draw(len(series), probe_samples, seed, _PROBE_KEY)
        inputs = {INPUT: tensors[INPUT][indices]}
        save_tensors(inputs, folder / PROBE_FILE)
        save_tensors({"y": series.labels[indices], "ids": series.ids[indices]}, folder / PROBE_LABELS_FILE)
    return ProbeRecord(probe_samples, probe_hash(inputs), seed, tuple(indices.tolist()))


def _counts(dataset: Dataset) -> dict[Part, dict[str, int]]:
    names = dataset.info.class_names
    return {
        part: dict(zip(names, np.bincount(dataset.parts[part].labels, minlength=len(names)).tolist(), strict=True))
        for part in PARTS
    }


def _record(
    info: DatasetInfo,
    dataset: Dataset,
    dates: int,
    sampling: Sampling,
    normalisation: Normalisation,
    seed: int,
    probe: ProbeRecord,
) -> dict[str, Any]:
    return (
        info.record()
        | {
            "dates": dates,
            "sampling": sampling,
            "seed": seed,
            "normalisation": normalisation.model_dump(mode="json"),
            "counts": _counts(dataset),
            "probe": dataclasses.asdict(probe),
        }
        | ({"extras": dataset.extras} if dataset.extras else {})
    )
