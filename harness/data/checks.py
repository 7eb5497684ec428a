"""What every data set must hold, checked before anything is fitted to it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from harness.data.dataset import PARTS, Dataset, Part, Series
from harness.errors import DataError

#: Dates that are tested at once.
_CHUNK = 1 << 18


def first_not_finite(values: NDArray[np.floating]) -> tuple[int, int] | None:
    """Date (row) and band (column) of the first NaN or infinite value of (date, band), or None."""
    for start in range(0, len(values), _CHUNK):
        finite = np.isfinite(values[start : start + _CHUNK])
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            return start + int(row), int(column)
    return None


def check(dataset: Dataset) -> None:
    """Raise DataError unless the data set keeps the promises of :class:`Dataset` and :class:`Series`."""
    name = dataset.info.name
    for part in PARTS:
        if part not in dataset.parts:
            raise DataError(f"the data set has no {part} part", where=name)
        _check_part(name, part, dataset.parts[part], len(dataset.info.bands), len(dataset.info.class_names))
        # What is trained on is finite, or no training ends.
        if part != "test" or not dataset.info.allow_nan:
            _check_finite(name, part, dataset.parts[part])
    check_groups(name, {part: dataset.parts[part].groups for part in PARTS})


def check_groups(name: str, groups: Mapping[Part, NDArray[np.int64]]) -> None:
    """Raise DataError where a group, (sample,) in every part of the data set ``name``, is in two parts."""
    seen: dict[int, Part] = {}
    for part, of_part in groups.items():
        for group in np.unique(of_part).tolist():
            if group in seen:
                raise DataError(
                    f"group {group} (polygon, parcel or scene) is in the {seen[group]} and in the {part} part",
                    where=name,
                    hint="samples of one group must not straddle a split: they are near copies of one another",
                )
            seen[group] = part


def check_probe_fits(name: str, tests: int, probe_samples: int, hint: str) -> None:
    """Raise DataError where the test part of the data set ``name`` has fewer samples than the probe."""
    if probe_samples > tests:
        raise DataError(
            f"the test part holds {tests} samples, the probe wants {probe_samples}",
            where=f"{name}, test part",
            hint=hint,
        )


def _check_part(name: str, part: Part, series: Series, bands: int, classes: int) -> None:
    where = f"{name}, {part} part"
    count = len(series)
    if count == 0:
        raise DataError("there is no sample", where=where)
    if series.values.ndim != 2 or series.values.shape[1] != bands:
        raise DataError(f"values have shape {series.values.shape}, not (date, {bands})", where=where)
    if any(len(array) != count for array in (series.ids, series.groups, series.regions)):
        raise DataError("labels, ids, groups and regions are not equally long", where=where)
    ends_right = len(series.offsets) == count + 1 and series.offsets[0] == 0
    if not ends_right or series.offsets[-1] != len(series.values) or np.any(np.diff(series.offsets) < 1):
        raise DataError("offsets do not cut the values into one series of at least one date per sample", where=where)
    if series.labels.min() < 0 or series.labels.max() >= classes:
        raise DataError(
            f"labels run from {series.labels.min()} to {series.labels.max()}, but there are {classes} classes",
            where=where,
        )


def _check_finite(name: str, part: Part, series: Series) -> None:
    at = first_not_finite(series.values)
    if at is not None:
        sample = int(np.searchsorted(series.offsets, at[0], side="right")) - 1
        raise DataError(
            f"sample {series.ids[sample]} holds a value that is not finite, band {at[1]}, "
            f"date {at[0] - int(series.offsets[sample])}",
            where=f"{name}, {part} part",
        )
