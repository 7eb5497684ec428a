"""The folder ``data-<hash>/`` of frames that are to be forecast: how it is read.

As for series (:mod:`harness.data.prepared`), but a part holds its frames once, scaled, and where its sequences start in
them; ``dataset.json`` says under ``forecast`` what the frames are.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.dataset import Part
from harness.data.prepared import (
    Prepared,
    read_tensors,
)
from harness.data.sequences import inputs_of, targets_of
from harness.tasks.forecast_frames import Forecast

#: The name of the model's one input.
INPUT = "x"

#: Under which ``dataset.json`` says what the frames are; other data have no such key.
FRAMES = "forecast"

#: Under which ``counts`` names what there is of each part.
SEQUENCES = "sequences"


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

    def test_target(self, places: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """See Prepared: the frames that follow, where they were measured, and where those that are seen were."""
        test, known = self.part("test"), self.forecast
        starts = test.starts[places]
        truth, measured = targets_of(test.frames, test.valid, starts, known.history, known.horizon)
        return {"y": truth, "mask": measured, "seen_mask": inputs_of(test.valid, starts, known.history)}

    def part(self, part: Part) -> PreparedPart:
        """Read a part. Raises DataError where its file is missing or truncated."""
        arrays = read_tensors(self.part_path(part))
        return PreparedPart(**{field.name: arrays[field.name] for field in dataclasses.fields(PreparedPart)})
