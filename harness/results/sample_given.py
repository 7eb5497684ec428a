"""A probe for a given file, written so that the harness and any framework read the same numbers."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness.data.named_arrays import read_given
from harness.data.prepared import probe_hash
from harness.data.sample_axes import sentences
from harness.data.sample_probe import Wanted, draw_from_data, draw_from_ranges
from harness.errors import DataError
from harness.files.arrays import Array, stored_arrays
from harness.files.atomic import write_atomically
from harness.files.store import Store
from harness.pipeline.execution import Execution, Listener, availabilities, step_keys
from harness.pipeline.given_plan import structure_plan
from harness.scenario.sections import LimitsSection


@dataclass(frozen=True)
class SampledProbe:
    """What was written: by input the shape, dtype, lowest and highest value; and what is told of it."""

    path: Path
    sha256: str
    samples: int
    inputs: Mapping[str, Mapping[str, object]]
    said: tuple[str, ...] = field(default=())


def sample_given(
    model: Path, wanted: Wanted, data: Mapping[str, Path], *, out: Path, store: Path, listener: Listener
) -> SampledProbe:
    """Draw a probe for a model file and write it to ``out``: ``.npz``, ``.safetensors``, or ``.npy`` for a single input.

    ``data``: files to draw from, by input name, or one under "" that holds all; else values are drawn from ranges. Raises
    HarnessError on a model, data or options that cannot be used.
    """
    if out.suffix not in (".npz", ".safetensors", ".npy"):
        raise DataError(f"is {out.suffix or 'without an ending'}", where="--out", hint="name a .npz file")
    plan = structure_plan(model)
    finished = Execution(
        plan, step_keys(plan), availabilities(plan, listener), Store(store), listener, limits=LimitsSection(), threads=1
    ).all_steps()
    for failure in finished.failures.values():
        raise failure.of_the_run()
    loaded = json.loads((finished.folders["structure"] / "load.json").read_text())
    inputs, outputs = loaded["inputs"], loaded["outputs"]
    names = [str(entry["name"]) for entry in inputs]
    said = []
    if data:
        arrays, found = draw_from_data(wanted, read_given(data, names, "input", "--from-data"), inputs, outputs)
        if found.samples < wanted.samples:
            said.append(f"the data hold {found.samples} samples, {wanted.samples} were wanted")
    else:
        arrays, found = draw_from_ranges(wanted, inputs, outputs)
    if out.suffix == ".npy" and len(arrays) != 1:
        raise DataError(
            f"the model has {len(arrays)} inputs", where="--out", hint="name a .npz file, which holds them all"
        )
    write_atomically(out, _stored(arrays, out.suffix))
    return SampledProbe(
        out,
        probe_hash(arrays),
        found.samples,
        {name: _described(array) for name, array in arrays.items()},
        (*said, *sentences(found)),
    )


def _stored(arrays: Mapping[str, Array], suffix: str) -> bytes:
    """The bytes of the file; equal arrays give equal bytes."""
    if suffix == ".safetensors":
        return stored_arrays(arrays)
    if suffix == ".npy":
        return _npy(next(iter(arrays.values())))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in arrays.items():
            # The date that numpy.savez writes, too: none.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), _npy(array))
    return content.getvalue()


def _npy(array: Array) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array(content, np.require(array, requirements="C"), allow_pickle=False)
    return content.getvalue()


def _described(array: Array) -> dict[str, object]:
    return {
        "shape": list(array.shape),
        "dtype": array.dtype.name,
        "lowest": array.min().item() if array.size else None,
        "highest": array.max().item() if array.size else None,
    }
