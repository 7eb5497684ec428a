"""The frames of one sequence: what was seen, what followed, and what was forecast, as ``frames.safetensors`` holds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError

Array = NDArray[Any]

#: How the name of a forecast begins in the file; what follows is who made it.
FORECAST = "forecast."

_AGAIN = "run the scenario again"


@dataclass(frozen=True)
class ExampleFrames:
    """One test sequence, scaled to 0..1.

    ``seen`` float32 and ``seen_measured`` bool (time, row, column); ``truth`` float32 and ``measured`` bool (step, row,
    column); ``forecasts`` by who made them, float32 (step, row, column), the source's first; ``last_seen`` in seconds since
    1970 UTC.
    """

    seen: Array
    seen_measured: Array
    truth: Array
    measured: Array
    forecasts: dict[str, Array]
    last_seen: int

    def tensors(self) -> dict[str, Array]:
        """What the file holds, by name."""
        return {
            "seen": self.seen,
            "seen_measured": self.seen_measured,
            "truth": self.truth,
            "measured": self.measured,
            "last_seen": np.asarray([self.last_seen], dtype=np.int64),
            # Names sort in a file; the number keeps the order.
            **{f"{FORECAST}{index:03}.{who}": array for index, (who, array) in enumerate(self.forecasts.items())},
        }


def read_frames(path: Path) -> ExampleFrames | None:
    """The frames of a results folder, None where there is no such file.

    Raises DataError, naming the file, where it is damaged or its arrays do not fit each other.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise DataError("is cut short or damaged", where=str(path), hint=_AGAIN) from error
    missing = [name for name in ("seen", "seen_measured", "truth", "measured", "last_seen") if name not in arrays]
    if missing:
        raise DataError(f"has no array '{missing[0]}'", where=str(path), hint=_AGAIN)
    forecasts = {
        name.removeprefix(FORECAST).partition(".")[2]: arrays[name]
        for name in sorted(arrays)
        if name.startswith(FORECAST)
    }
    found = ExampleFrames(
        arrays["seen"],
        arrays["seen_measured"],
        arrays["truth"],
        arrays["measured"],
        forecasts,
        int(arrays["last_seen"].ravel()[0]),
    )
    steps = {found.truth.shape, found.measured.shape, *(array.shape for array in forecasts.values())}
    same = found.seen.shape == found.seen_measured.shape
    if not same or len(steps) != 1 or found.truth.ndim != 3 or found.seen.shape[1:] != found.truth.shape[1:]:
        raise DataError("holds frames of several sizes", where=str(path), hint=_AGAIN)
    return found
