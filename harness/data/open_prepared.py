"""Opens a prepared data set, whichever kind it is."""

from __future__ import annotations

from pathlib import Path

from harness.data.prepared import PreparedData, common_fields, not_a_record, read_prepared, read_record
from harness.data.prepared_arrays import PreparedArrays
from harness.data.prepared_frames import FRAMES, PreparedFrames
from harness.tasks.forecast_frames import Forecast


def open_prepared(folder: Path) -> PreparedData | PreparedFrames | PreparedArrays:
    """Read a prepared data set of any kind. Raises DataError where it is none."""
    record = read_record(folder)
    if FRAMES not in record and "arrays" not in record:
        return read_prepared(folder)
    try:
        if "arrays" in record:
            arrays = record["arrays"]
            return PreparedArrays(
                **common_fields(folder, record),
                array_sizes=dict(arrays["sizes"]),
                shared_inputs=tuple(arrays.get("shared", ())),
            )
        return PreparedFrames(**common_fields(folder, record), forecast=Forecast(**record[FRAMES]))
    except (KeyError, TypeError, ValueError) as error:
        raise not_a_record(folder, error) from error
