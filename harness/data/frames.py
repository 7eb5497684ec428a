"""From files of frames to parts: in the order of time, gaps refused or kept apart, split by time without leakage."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.data.composites import Calibration, Counts, read_composite, stamped_time
from harness.data.dataset import PARTS, Frames, Part
from harness.data.resample import COVERAGE, RESAMPLER, Rounding, resample
from harness.errors import DataError

#: Gaps that a message or a note names one by one.
_NAMED_GAPS = 5


class SequenceOptions(BaseModel):
    """How frames become sequences and sequences become parts: options that all sources of frames share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    history: int = Field(default=18, ge=1, le=288, description="frames that the model sees")
    horizon: int = Field(default=18, ge=1, le=288, description="frames that it forecasts")
    stride: int | None = Field(
        default=None, ge=1, description="frames from one sequence to the next; a whole sequence if left out"
    )
    valid: float = Field(default=0.2, gt=0, lt=1, description="share of the frames, in time, of the validation part")
    test: float = Field(default=0.2, gt=0, lt=1, description="share of the frames, the last ones, of the test part")
    separation: int = Field(
        default=12, ge=0, description="frames left out before the validation and before the test part"
    )
    gaps: Literal["refuse", "split"] = Field(
        default="refuse",
        description="refuse: a missing frame is an error; split: no sequence spans it, and a note says so",
    )
    size: tuple[int, int] | None = Field(
        default=None, description="rows and columns that frames are resampled to; as they are if left out"
    )
    rounding: Rounding = Field(
        default="each-pass", description="of resampled counts: each-pass (as Pillow and torchvision do), once or none"
    )
    bottom: float | None = Field(default=None, description="physical value that becomes 0")
    top: float | None = Field(default=None, description="physical value that becomes 1; larger ones are cut off there")
    thresholds: tuple[float, ...] | None = Field(
        default=None, min_length=1, description="physical values whose exceedance is decided, ascending"
    )

    @property
    def length(self) -> int:
        """Frames of one sequence."""
        return self.history + self.horizon

    @model_validator(mode="after")
    def _consistent(self) -> SequenceOptions:
        if self.valid + self.test >= 1:
            raise ValueError("valid and test leave no frames for training")
        if self.size is not None and min(self.size) < 1:
            raise ValueError(f"size must be positive, not {list(self.size)}")
        if self.thresholds is not None and list(self.thresholds) != sorted(set(self.thresholds)):
            raise ValueError(f"thresholds must ascend, not {list(self.thresholds)}")
        if self.bottom is not None and self.top is not None and self.bottom >= self.top:
            raise ValueError(f"bottom must lie below top, not {self.bottom} and {self.top}")
        return self


def runs_of(files: Sequence[Path], interval: timedelta, gaps: str) -> tuple[list[list[Path]], tuple[str, ...]]:
    """Files in the order of their times, cut where a frame is missing; and notes on the gaps.

    Raises DataError where two files are of one time, where times lie off the rhythm of ``interval``, and, unless ``gaps`` is
    ``split``, where a frame is missing.
    """
    ordered = sorted((stamped_time(path), path) for path in files)
    runs, missing, absent = [[ordered[0][1]]], [], 0
    for (before, earlier), (now, path) in pairwise(ordered):
        if now == before:
            raise DataError(f"two files are of {now:%Y-%m-%d %H:%M}: {earlier.name} too", where=str(path))
        steps = (now - before) / interval
        if steps != int(steps):
            raise DataError(
                f"lies {(now - before) / timedelta(minutes=1):g} minutes after {earlier.name}, no multiple of "
                f"{interval / timedelta(minutes=1):g}",
                where=str(path),
                hint="state the option minutes as the files have it",
            )
        if steps == 1:
            runs[-1].append(path)
            continue
        absent += int(steps) - 1
        first, last = before + interval, now - interval
        missing.append(f"{first:%Y-%m-%d %H:%M}" + (f" to {last:%Y-%m-%d %H:%M}" if last > first else ""))
        runs.append([path])
    if not missing:
        return runs, ()
    named = ", ".join(missing[:_NAMED_GAPS]) + (f" and {len(missing) - _NAMED_GAPS} more" if missing[5:] else "")
    if gaps == "refuse":
        raise DataError(
            f"{absent} of {absent + len(ordered)} frames are missing: {named} (UTC)",
            where=str(ordered[0][1].parent),
            hint="fetch them, or state gaps: split, so that no sequence spans a gap",
        )
    return runs, (f"{absent} frames are missing ({named} UTC); no sequence spans a gap.",)


class FrameReader:
    """Reads files one after the other into resampled counts, holding that all of them are of one kind."""

    def __init__(self, size: tuple[int, int] | None, rounding: Rounding) -> None:
        self._size, self._rounding = size, rounding
        self._first: tuple[Path, tuple[int, ...], Any] | None = None
        self.calibration: Calibration | None = None

    def read(self, path: Path) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Resampled counts (row, column) float64, and where they are measurements.

        Raises DataError where the file is no composite, or of another size, type or calibration than the first.
        """
        found = read_composite(path)
        shape, kind = found.counts.shape, found.counts.dtype
        if self._first is None or self.calibration is None:
            self._first, self.calibration = (path, shape, kind), found.calibration
        first, expected, expected_kind = self._first
        if (shape, kind) != (expected, expected_kind):
            raise DataError(
                f"has {shape[0]} x {shape[1]} pixels of {kind}, {first.name} has {expected[0]} x {expected[1]} of "
                f"{expected_kind}",
                where=str(path),
                hint="keep each product in a folder of its own",
            )
        if found.calibration != self.calibration:
            raise DataError(
                f"is calibrated as {_shown(found.calibration)}, {first.name} as {_shown(self.calibration)}",
                where=str(path),
                hint="keep each product and period of one calibration in a folder of its own",
            )
        counts: Counts = found.counts
        return resample(counts, found.calibration.valid(counts), self._size or (shape[0], shape[1]), self._rounding)

    @property
    def resampling(self) -> dict[str, Any]:
        """What was done to the frames, as data sets state it. There must have been one."""
        if self._first is None:
            raise ValueError("no frame was read")
        size = list(self._first[1])
        return {
            "from": size,
            "to": list(self._size or size),
            "resampler": RESAMPLER if self._size is not None and list(self._size) != size else "none",
            "rounding": self._rounding if self._size is not None and list(self._size) != size else "none",
            "coverage": COVERAGE,
        }


def _shown(calibration: Calibration) -> str:
    return (
        f"{calibration.gain:g} x count + {calibration.offset:g} {calibration.unit} "
        f"(missing {calibration.missing}, out of image {calibration.out_of_image})"
    )


def split_by_time(total: int, options: SequenceOptions, where: str) -> dict[Part, slice]:
    """Places of the frames of each part, of ``total`` frames in order: training first, test last, frames left out between.

    Raises DataError where a part is shorter than one sequence.
    """
    tested, validated = round(total * options.test), round(total * options.valid)
    begins = {"test": total - tested, "valid": total - tested - validated}
    places: dict[Part, slice] = {
        "train": slice(0, max(0, begins["valid"] - options.separation)),
        "valid": slice(begins["valid"], max(begins["valid"], begins["test"] - options.separation)),
        "test": slice(begins["test"], total),
    }
    for part in PARTS:
        length = places[part].stop - places[part].start
        if length < options.length:
            raise DataError(
                f"{total} frames are too few: the {part} part has {length}, a sequence {options.length}",
                where=where,
                hint="take more frames, a shorter history and horizon, less separation, or other shares of valid and test",
            )
    return places


def cut(
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
    times: Sequence[datetime],
    options: SequenceOptions,
    interval: timedelta,
    where: str,
) -> dict[Part, Frames]:
    """Parts with their sequences from frames (frame, row, column) in the order of time.

    Raises DataError where a part has no sequence: too few frames, or gaps everywhere.
    """
    seconds = np.array([int(time.timestamp()) for time in times], dtype=np.int64)
    # A sequence may begin where as many frames follow without a gap as it is long.
    breaks = np.flatnonzero(np.diff(seconds) != int(interval.total_seconds())) + 1
    parts: dict[Part, Frames] = {}
    for part, place in split_by_time(len(seconds), options, where).items():
        edges = [place.start, *(int(at) for at in breaks if place.start < at < place.stop), place.stop]
        starts = [
            start - place.start
            for first, last in pairwise(edges)
            for start in range(first, last - options.length + 1, options.stride or options.length)
        ]
        if not starts:
            raise DataError(
                f"the {part} part has no {options.length} frames in a row",
                where=where,
                hint="take a period without gaps, or a shorter history and horizon",
            )
        parts[part] = Frames(values[place], valid[place], seconds[place], np.array(starts, dtype=np.int64))
    return parts


def described(parts: dict[Part, Frames], options: SequenceOptions) -> tuple[str, ...]:
    """Notes on the split and on no-data, in whole sentences."""
    spans = [f"{part} {_span(parts[part].times)}" for part in PARTS]
    pixels = sum(frames.valid.size for frames in parts.values())
    masked = 1.0 - sum(int(frames.valid.sum()) for frames in parts.values()) / pixels
    return (
        f"Split by time: {', '.join(spans)} (UTC); {options.separation} frames before the validation and before the test "
        "part are in no part.",
        f"{masked:.1%} of the pixels are no-data: they are 0 in what a model sees, and count in no loss and no metric.",
    )


def _span(times: NDArray[np.int64]) -> str:
    first, last = (datetime.fromtimestamp(int(second), UTC) for second in (times[0], times[-1]))
    return f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}"
