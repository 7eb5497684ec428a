"""The folder ``data-<hash>/`` of frames that are to be forecast: how it is made and how it is read.

As for series (:mod:`harness.data.prepared`), but a part holds its frames once, scaled, and where its sequences start in
them; ``dataset.json`` says under ``forecast`` what the frames are.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from harness.data.dataset import PARTS, FrameDataset, Frames, Part
from harness.data.draw import draw
from harness.data.normalisation import Normalisation
from harness.data.prepared import (
    DATASET_FILE,
    PROBE_FILE,
    PROBE_LABELS_FILE,
    Prepared,
    PreparedData,
    ProbeRecord,
    common_fields,
    not_a_record,
    part_file,
    probe_hash,
    read_prepared,
    read_record,
    read_tensors,
    save_tensors,
)
from harness.data.sequences import inputs_of, targets_of
from harness.errors import DataError
from harness.files.atomic import to_json, write_atomically

#: The smallest probe of sequences. One holds thousands of values, so that fewer than of series are enough for an RMS.
MINIMUM_PROBE = 8

#: The name of the model's one input.
INPUT = "x"

_PROBE_KEY = -0x6672616D65

#: Under which ``counts`` names what there is of each part.
SEQUENCES = "sequences"


class Forecast(BaseModel):
    """What is forecast, as ``dataset.json`` states it under ``forecast``.

    ``bottom`` and ``top`` are the physical values that are 0 and 1; ``thresholds`` are physical too. ``interval`` is in
    seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    history: int
    horizon: int
    rows: int
    columns: int
    interval: int
    unit: str
    bottom: float
    top: float
    thresholds: tuple[float, ...]
    resampling: dict[str, Any]

    @property
    def scaled_thresholds(self) -> tuple[float, ...]:
        """Thresholds on the scale of the model's output, 0 to 1, rounded to float32 as the frames are.

        A measurement that lies on a threshold thus exceeds it on either scale.
        """
        scale = 1 / (self.top - self.bottom)
        return tuple(float(np.float32((value - self.bottom) * scale)) for value in self.thresholds)

    @property
    def threshold_names(self) -> tuple[str, ...]:
        """Thresholds in words: ``2 mm/h``."""
        return tuple(f"{value:g} {self.unit}" for value in self.thresholds)

    def physical(self, scaled: NDArray[np.floating]) -> NDArray[np.float64]:
        """Scaled values in the physical unit, float64 of the same shape."""
        values: NDArray[np.float64] = np.asarray(scaled, dtype=np.float64) * (self.top - self.bottom) + self.bottom
        return values


@dataclass(frozen=True)
class PreparedPart:
    """One part: scaled ``frames`` float32 (frame, row, column), 0 where ``valid`` is False, and its sequences.

    ``ids`` int64 (sample,) are the seconds since 1970-01-01 UTC of the last frame that the model sees.
    """

    frames: NDArray[np.float32]
    valid: NDArray[np.bool_]
    times: NDArray[np.int64]
    starts: NDArray[np.int64]
    ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)


@dataclass(frozen=True)
class PreparedFrames(Prepared):
    """A prepared data set of frames."""

    forecast: Forecast

    @property
    def sizes(self) -> dict[str, int]:
        """See Prepared."""
        known = self.forecast
        return {
            "bands": len(self.info.bands),
            "history": known.history,
            "horizon": known.horizon,
            "rows": known.rows,
            "columns": known.columns,
        }

    def test_inputs(self, places: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """See Prepared."""
        test = self.part("test")
        return {INPUT: inputs_of(test.frames, test.starts[places], self.forecast.history)}

    def part(self, part: Part) -> PreparedPart:
        """Read a part. Raises DataError where its file is missing or truncated."""
        arrays = read_tensors(self.part_path(part))
        return PreparedPart(**{field.name: arrays[field.name] for field in dataclasses.fields(PreparedPart)})

    def probe_truth(self) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]]:
        """What the probe is to forecast, where it was measured (both sample, band, step, row, column), and ids (sample,)."""
        arrays = read_tensors(self.probe_labels_path)
        return arrays["y"], arrays["mask"], arrays["ids"]


def open_prepared(folder: Path) -> PreparedData | PreparedFrames:
    """Read a prepared data set of either kind. Raises DataError where it is none."""
    record = read_record(folder)
    if "forecast" not in record:
        return read_prepared(folder)
    try:
        return PreparedFrames(**common_fields(folder, record), forecast=Forecast(**record["forecast"]))
    except (KeyError, TypeError, ValueError) as error:
        raise not_a_record(folder, error) from error


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
        held = dataset.parts[part]
        frames = _scaled(held, normalisation)
        ids = held.times[held.starts + history - 1]
        tensors = {"frames": frames, "valid": held.valid, "times": held.times, "starts": held.starts, "ids": ids}
        save_tensors(tensors, folder / part_file(part))
        if part == "test":
            indices = draw(len(held), probe_samples, seed, _PROBE_KEY)
            starts = held.starts[indices]
            inputs = {INPUT: inputs_of(frames, starts, history)}
            save_tensors(inputs, folder / PROBE_FILE)
            y, mask = targets_of(frames, held.valid, starts, history, horizon)
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
    record = dataclasses.asdict(dataset.info) | {
        # Series have dates that may be drawn; frames are taken as they follow one another.
        "dates": None,
        "sampling": "frozen",
        "seed": seed,
        "normalisation": normalisation.model_dump(mode="json"),
        "counts": {part: {SEQUENCES: len(dataset.parts[part])} for part in PARTS},
        "probe": dataclasses.asdict(probe),
        "forecast": forecast.model_dump(mode="json"),
    }
    write_atomically(folder / DATASET_FILE, to_json(record))
    prepared = open_prepared(folder)
    assert isinstance(prepared, PreparedFrames)
    return prepared


def _scaled(held: Frames, normalisation: Normalisation) -> NDArray[np.float32]:
    scaled = normalisation.apply(held.values[..., None])[..., 0]
    # What was not measured is 0 to the model, whatever the physical value of 0 is.
    scaled[~held.valid] = 0.0
    return scaled


def check_frames(dataset: FrameDataset) -> None:
    """Raise DataError unless the data set keeps the promises of :class:`FrameDataset` and :class:`Frames`."""
    name, length = dataset.info.name, dataset.history + dataset.horizon
    seen: dict[int, Part] = {}
    for part in PARTS:
        where = f"{name}, {part} part"
        if part not in dataset.parts or not len(dataset.parts[part]):
            raise DataError("there is no sequence", where=where)
        held = dataset.parts[part]
        if held.values.ndim != 3 or held.valid.shape != held.values.shape or len(held.times) != len(held.values):
            raise DataError(
                f"frames, no-data and times of shapes {held.values.shape}, {held.valid.shape} and {held.times.shape} do not "
                "belong together",
                where=where,
            )
        if held.values.shape[1:] != dataset.parts["train"].values.shape[1:]:
            raise DataError(f"frames are {held.values.shape[1:]}, those of the train part another size", where=where)
        if held.starts.min() < 0 or held.starts.max() + length > len(held.values):
            raise DataError("a sequence begins or ends outside of the frames", where=where)
        for start in held.starts:
            steps = np.diff(held.times[start : start + length])
            if (steps != dataset.interval).any():
                raise DataError(f"the sequence at frame {start} spans a gap", where=where)
        if not np.isfinite(held.values).all():
            raise DataError(
                f"frame {np.argwhere(~np.isfinite(held.values))[0][0]} holds a value that is not finite", where=where
            )
        for time in held.times.tolist():
            if seen.setdefault(time, part) != part:
                raise DataError(f"a frame is in the {seen[time]} and in the {part} part", where=name)
