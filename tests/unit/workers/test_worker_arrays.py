"""Training from arrays by name: several inputs, a mask, several outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.data.prepare import DataConfig, prepare
from harness.models import build_for, model
from harness.models.spec import ModelSpec
from harness.workers.engine import BadInput
from harness.workers.tensors import read_tensors, write_tensors
from harness.workers.training.arrays_part import ArraysPart

PATCHES = {"train": 90, "valid": 25, "test": 64, "rows": 9, "columns": 7}
SOURCES = {
    "patchcnn": DataConfig(source="synthetic-patches", options=PATCHES),
    "fieldseg": DataConfig(source="synthetic-patches", options=PATCHES),
    "spectralnet": DataConfig(source="synthetic-spectra", options={"train": 120, "valid": 25, "test": 64, "bands": 12}),
}


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[[str], tuple[Path, ModelSpec]]:
    """Data prepared for a model, and its specification."""

    def make(name: str) -> tuple[Path, ModelSpec]:
        found = prepare(SOURCES[name], 5, 64, tmp_path / f"data-{name}", model(name).TASK)
        return found.folder, build_for(name, found.sizes, preset="small")

    return make


def test_a_batch_has_inputs_and_targets_by_name(prepared: Callable[[str], tuple[Path, ModelSpec]]) -> None:
    folder, spec = prepared("fieldseg")
    part = ArraysPart(folder, "train", spec)
    assert len(part) == 90
    tensors = read_tensors(folder / "train.safetensors")
    for chosen in (np.array([7, 2, 30]), slice(10, 14)):
        inputs, target = part.batches(3)(chosen)
        assert {name: array.tobytes() for name, array in inputs.items()} == {
            name: tensors[f"input.{name}"][chosen].tobytes() for name in ("x", "doy", "mask")
        }
        assert {name: array.tobytes() for name, array in target.items()} == {
            name: tensors[f"target.{name}"][chosen].tobytes() for name in ("y", "mask")
        }


def test_data_that_do_not_fit_the_model_are_one_line(prepared: Callable[[str], tuple[Path, ModelSpec]]) -> None:
    folder, spec = prepared("fieldseg")
    file = folder / "train.safetensors"
    good = read_tensors(file)

    def refused(spec: ModelSpec = spec, **changed: np.ndarray | None) -> str:
        tensors = {**good, **{name.replace("__", "."): array for name, array in changed.items()}}
        write_tensors(file, {name: array for name, array in tensors.items() if array is not None})
        with pytest.raises(BadInput) as caught:
            ArraysPart(folder, "train", spec)
        assert str(file) in str(caught.value)
        return str(caught.value)

    assert "lacks the input 'doy'" in refused(input__doy=None)
    assert "has the input 'extra', which fieldseg does not take" in refused(input__extra=good["input.doy"])
    assert "'mask' must be bool, not float32" in refused(input__mask=good["input.mask"].astype(np.float32))
    assert "'x' must have shape (None, 4, 9, 7), not (90, 4, 9, 6)" in refused(
        input__x=np.ascontiguousarray(good["input.x"][..., :6])
    )
    assert "differ in their number of samples: {'x': 90, 'doy': 89" in refused(input__doy=good["input.doy"][1:])
    other = build_for("fieldseg", {"bands": 4, "rows": 9, "columns": 8, "classes": 5}, preset="small")
    assert "'x' must have shape (None, 4, 9, 8)" in refused(other)
