"""Prepares frames that are to be forecast: checks and scales them, draws the probe, writes the folder ``data-<hash>/``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data.dataset import PARTS, FrameDataset, Frames, Part
from harness.data.draw import draw
from harness.data.normalisation import Normalisation
from harness.data.open_prepared import open_prepared
from harness.data.prepared import (
    DATASET_FILE,
    PROBE_FILE,
    PROBE_LABELS_FILE,
    ProbeRecord,
    part_file,
    probe_hash,
    save_tensors,
)
from harness.data.prepared_frames import FRAMES, INPUT, SEQUENCES, PreparedFrames
from harness.data.sequences import inputs_of, targets_of
from harness.errors import DataError
from harness.files.atomic import to_json, write_atomically
from harness.tasks.forecast_frames import Forecast

#: The smallest probe of sequences. One holds thousands of values, so that fewer than of series are enough for an RMS.
MINIMUM_PROBE = 8

#: Makes this draw differ from others of the same seed.
_PROBE_KEY = -0x6672616D65


def prepare_frames(dataset: FrameDataset, seed: int, probe_samples: int, folder: Path) -> PreparedFrames:
    """Scale the frames, draw the probe, and write the files of ``data-<hash>/`` into ``folder``.

    Raises DataError where the data set does not keep its promises, and on a probe that is too small or larger than the test
    part; StoreError where ``folder`` cannot be written.
    """
    check_frames(dataset)
    if probe_samples < MINIMUM_PROBE:
        raise DataError(
            f"a probe of {probe_samples} sequences is too small", where="probe", hint=f"take {MINIMUM_PROBE} or more"
        )
    tests = dataset.parts["test"]
    if probe_samples > len(tests):
        raise DataError(
            f"the test part holds {len(tests)} sequences, the probe wants {probe_samples}",
            where=f"{dataset.info.name}, test part",
            hint="take a smaller stride, a larger test part, or a smaller probe",
        )
    normalisation = Normalisation(kind="scale", offset=(dataset.bottom,), scale=(1 / (dataset.top - dataset.bottom),))
    history, horizon = dataset.history, dataset.horizon
    for part in PARTS:
        sequences = dataset.parts[part]
        frames = _scaled(sequences, normalisation)
        ids = sequences.times[sequences.starts + history - 1]
        tensors = {
            "frames": frames,
            "valid": sequences.valid,
            "times": sequences.times,
            "starts": sequences.starts,
            "ids": ids,
        }
        save_tensors(tensors, folder / part_file(part))
        if part == "test":
            indices = draw(len(sequences), probe_samples, seed, _PROBE_KEY)
            starts = sequences.starts[indices]
            inputs = {INPUT: inputs_of(frames, starts, history)}
            save_tensors(inputs, folder / PROBE_FILE)
            y, mask = targets_of(frames, sequences.valid, starts, history, horizon)
            save_tensors({"y": y, "mask": mask, "ids": ids[indices]}, folder / PROBE_LABELS_FILE)
            probe = ProbeRecord(probe_samples, probe_hash(inputs), seed, tuple(indices.tolist()))
    rows, columns = tests.values.shape[1:]
    forecast = Forecast(
        history=history,
        horizon=horizon,
        rows=rows,
        columns=columns,
        interval=dataset.interval,
        unit=dataset.info.bands[0].unit,
        bottom=dataset.bottom,
        top=dataset.top,
        thresholds=dataset.thresholds,
        resampling=dataset.resampling,
    )
    record = dataset.info.record() | {
        # Series have dates that may be drawn; frames are taken as they follow one another.
        "dates": None,
        "sampling": "frozen",
        "seed": seed,
        "normalisation": normalisation.model_dump(mode="json"),
        "counts": {part: {SEQUENCES: len(dataset.parts[part])} for part in PARTS},
        "probe": dataclasses.asdict(probe),
        FRAMES: forecast.model_dump(mode="json"),
    }
    write_atomically(folder / DATASET_FILE, to_json(record))
    prepared = open_prepared(folder)
    assert isinstance(prepared, PreparedFrames)
    return prepared


def _scaled(sequences: Frames, normalisation: Normalisation) -> NDArray[np.float32]:
    scaled = normalisation.apply(sequences.values[..., None])[..., 0]
    # What was not measured is 0 to the model, whatever the physical value of 0 is.
    scaled[~sequences.valid] = 0.0
    return scaled


def check_frames(dataset: FrameDataset) -> None:
    """Raise DataError unless the data set keeps the promises of :class:`FrameDataset` and :class:`Frames`."""
    name, length = dataset.info.name, dataset.history + dataset.horizon
    seen: dict[int, Part] = {}
    for part in PARTS:
        where = f"{name}, {part} part"
        if part not in dataset.parts or not len(dataset.parts[part]):
            raise DataError("there is no sequence", where=where)
        sequences = dataset.parts[part]
        if (
            sequences.values.ndim != 3
            or sequences.valid.shape != sequences.values.shape
            or len(sequences.times) != len(sequences.values)
        ):
            raise DataError(
                f"frames, no-data and times of shapes {sequences.values.shape}, {sequences.valid.shape} and "
                f"{sequences.times.shape} do not belong together",
                where=where,
            )
        if sequences.values.shape[1:] != dataset.parts["train"].values.shape[1:]:
            raise DataError(
                f"frames are {sequences.values.shape[1:]}, those of the train part another size", where=where
            )
        if sequences.starts.min() < 0 or sequences.starts.max() + length > len(sequences.values):
            raise DataError("a sequence begins or ends outside of the frames", where=where)
        for start in sequences.starts:
            steps = np.diff(sequences.times[start : start + length])
            if (steps != dataset.interval).any():
                raise DataError(f"the sequence at frame {start} spans a gap", where=where)
        if not np.isfinite(sequences.values).all():
            raise DataError(
                f"frame {np.argwhere(~np.isfinite(sequences.values))[0][0]} holds a value that is not finite",
                where=where,
            )
        for time in sequences.times.tolist():
            if seen.setdefault(time, part) != part:
                raise DataError(f"a frame is in the {seen[time]} and in the {part} part", where=name)
