"""Reads the frames of one sequence: what was seen, what followed, and what was forecast, from ``frames.safetensors``."""

from __future__ import annotations

from pathlib import Path

from harness.errors import DataError
from harness.tasks.example_frames import FORECAST, ExampleFrames

_AGAIN = "run the scenario again"


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
