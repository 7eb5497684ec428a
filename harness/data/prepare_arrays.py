"""Prepares samples that come as arrays by name: checks and normalises them, draws the probe, writes ``data-<hash>/``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.checks import check_groups, check_probe_fits
from harness.data.dataset import PARTS, ArrayDataset, NormalisationKind, Served
from harness.data.draw import draw
from harness.data.normalisation import Normalisation, fit
from harness.data.open_prepared import open_prepared
from harness.data.prepared import (
    DATASET_FILE,
    PROBE_FILE,
    PROBE_LABELS_FILE,
    REGIONS_FILE,
    ProbeRecord,
    part_file,
    probe_hash,
    save_tensors,
)
from harness.data.prepared_arrays import INPUT, SAMPLES, TARGET, PreparedArrays
from harness.errors import DataError
from harness.files.atomic import to_json, write_atomically
from harness.models.spec import TaskName

#: Makes this draw differ from others of the same seed.
_PROBE_KEY = -0x617272617973


def prepare_arrays(
    dataset: ArrayDataset,
    task: TaskName,
    kind: NormalisationKind | None,
    seed: int,
    probe_samples: int,
    folder: Path,
) -> PreparedArrays:
    """Normalise what has bands, draw the probe, and write the files of ``data-<hash>/`` for a task into ``folder``.

    ``kind``: the normalisation, the data set's own where it is None; it is fitted on the training part. Raises DataError
    where the data set does not keep its promises, and on a probe larger than the test part; StoreError where ``folder`` cannot be
    written.
    """
    served = dataset.serves[task]
    check_arrays(dataset, served)
    tests = len(dataset.parts["test"])
    check_probe_fits(dataset.info.name, tests, probe_samples, "take a larger test part, or a smaller probe")
    normalisation, notes = _fitted(dataset, served, kind or dataset.normalisation)
    for part in PARTS:
        held = dataset.parts[part]
        inputs = {name: _normalised(dataset, name, held.arrays[name], normalisation) for name in served.inputs}
        targets = {name: held.arrays[array] for name, array in served.targets.items()}
        tensors = {INPUT + name: array for name, array in inputs.items()}
        tensors |= {TARGET + name: array for name, array in targets.items()}
        save_tensors(tensors | {"ids": held.ids, "groups": held.groups}, folder / part_file(part))
        if part == "test":
            indices = draw(len(held), probe_samples, seed, _PROBE_KEY)
            of_probe = {name: array if name in served.shared else array[indices] for name, array in inputs.items()}
            save_tensors(of_probe, folder / PROBE_FILE)
            truth = {name: array[indices] for name, array in targets.items()}
            save_tensors(truth | {"ids": held.ids[indices]}, folder / PROBE_LABELS_FILE)
            probe = ProbeRecord(probe_samples, probe_hash(of_probe), seed, tuple(indices.tolist()))
    regions = {part: dataset.parts[part].regions.tolist() for part in PARTS}
    write_atomically(folder / REGIONS_FILE, json.dumps(regions, ensure_ascii=False) + "\n")
    info = dataclasses.replace(
        dataset.info,
        class_names=served.class_names,
        variables=served.variables,
        notes=(*dataset.info.notes, *notes),
    )
    record = info.record() | {
        "dates": None,
        "sampling": "frozen",
        "seed": seed,
        "normalisation": normalisation.model_dump(mode="json"),
        "counts": {part: {SAMPLES: len(dataset.parts[part])} for part in PARTS},
        "probe": dataclasses.asdict(probe),
        "arrays": {
            "task": task,
            "inputs": list(served.inputs),
            "targets": list(served.targets),
            "sizes": dict(served.sizes),
            **({"shared": list(served.shared)} if served.shared else {}),
        },
    }
    write_atomically(folder / DATASET_FILE, to_json(record))
    prepared = open_prepared(folder)
    assert isinstance(prepared, PreparedArrays)
    return prepared


def _fitted(dataset: ArrayDataset, served: Served, kind: NormalisationKind) -> tuple[Normalisation, tuple[str, ...]]:
    banded = [name for name in served.inputs if name in dataset.band_axes]
    if len(banded) != 1:
        raise DataError(f"{len(banded)} inputs have bands, and the normalisation is of one", where=dataset.info.name)
    values = dataset.parts["train"].arrays[banded[0]]
    bands = np.moveaxis(values, dataset.band_axes[banded[0]], -1)
    return fit(kind, bands.reshape(-1, bands.shape[-1]), dataset.info.bands, dataset.factor)


def _normalised(dataset: ArrayDataset, name: str, values: NDArray[Any], normalisation: Normalisation) -> NDArray[Any]:
    if (axis := dataset.band_axes.get(name)) is None:
        return values
    return np.ascontiguousarray(np.moveaxis(normalisation.apply(np.moveaxis(values, axis, -1)), -1, axis))


def check_arrays(dataset: ArrayDataset, served: Served) -> None:
    """Raise DataError unless the data set keeps the promises of :class:`ArrayDataset` and :class:`Arrays` for a task."""
    name = dataset.info.name
    names = dict.fromkeys((*served.inputs, *served.targets.values()))
    for part in PARTS:
        where = f"{name}, {part} part"
        if part not in dataset.parts or not len(dataset.parts[part]):
            raise DataError("there is no sample", where=where)
        held = dataset.parts[part]
        if missing := [array for array in names if array not in held.arrays]:
            raise DataError(f"there is no array '{missing[0]}'", where=where)
        of_part = {array: held.arrays[array] for array in names} | {"groups": held.groups, "regions": held.regions}
        for array, values in of_part.items():
            if array not in served.shared and len(values) != len(held):
                raise DataError(f"'{array}' has {len(values)} samples, the part {len(held)}", where=where)
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                of = ""
                if array not in served.shared:
                    of = f" of sample {held.ids[int(np.argwhere(~np.isfinite(values))[0][0])]}"
                raise DataError(f"'{array}'{of} holds a value that is not finite", where=where)
            first = dataset.parts["train"].arrays.get(array, values)
            own = 0 if array in served.shared else 1
            if (values.shape[own:], values.dtype) != (first.shape[own:], first.dtype):
                raise DataError(
                    f"'{array}' is {values.dtype} {values.shape[own:]}, that of the train part {first.dtype} "
                    f"{first.shape[own:]}",
                    where=where,
                )
        for array, axis in dataset.band_axes.items():
            if array in names and held.arrays[array].shape[axis] != len(dataset.info.bands):
                raise DataError(
                    f"'{array}' has {held.arrays[array].shape[axis]} bands, not {len(dataset.info.bands)}", where=where
                )
    check_groups(name, {part: dataset.parts[part].groups for part in PARTS})
