"""Training from arrays by name: several inputs, a mask, several outputs."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from random_parameters import random_parameters

from harness.data.prepare import DataConfig, prepare
from harness.errors import BadInputError
from harness.models import build_for, model
from harness.models.spec import ModelSpec
from harness.runtimes.process import Worker
from harness.tasks import task
from harness.tasks.losses import losses_of
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


TRAINERS = ("python/pytorch", "python/keras-tensorflow")


def asked(folder: Path, name: str, data: Path, spec: ModelSpec, **changes: object) -> dict[str, object]:
    out = folder / name
    out.mkdir()
    (out / "model.json").write_text(spec.to_json())
    settings = {"epochs": 4, "batch_size": 16, "seed": 1, "learning_rate": 0.01, "weight_decay": 1e-5}
    return {"data": str(data), "out": str(out), **settings, **changes}


def log_of(folder: Path) -> list[dict[str, float]]:
    with (folder / "training.csv").open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


@pytest.mark.parametrize("runtime", TRAINERS)
@pytest.mark.parametrize("name", SOURCES)
def test_it_learns_and_the_same_request_gives_the_same_bits(
    workers: Callable[[str], Worker],
    prepared: Callable[[str], tuple[Path, ModelSpec]],
    tmp_path: Path,
    name: str,
    runtime: str,
) -> None:
    data, spec = prepared(name)
    for run in ("one", "two"):
        record = workers(runtime).request("train", **asked(tmp_path, run, data, spec))
        assert record["loss"] == task(spec.task).losses[0]
    one, two = (tmp_path / run / "weights.safetensors" for run in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    rows = log_of(tmp_path / "one")
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert set(task(spec.task).columns) < set(rows[0])
    # What the log says of the validation part is what the weights do.
    worker = workers(runtime)
    worker.request("load", path=str(one))
    tensors = read_tensors(data / "valid.safetensors")
    write_tensors(
        tmp_path / "inputs", {key: tensors[f"input.{key}"] for key in (tensor.name for tensor in spec.inputs)}
    )
    worker.request("predict", inputs=str(tmp_path / "inputs"), outputs=str(tmp_path / "outputs"), batch_size=25)
    output = read_tensors(tmp_path / "outputs")[spec.decided_output.name]
    target = {key.removeprefix("target."): array for key, array in tensors.items() if key.startswith("target.")}
    expected = losses_of(str(record["loss"]), spec.head, output, target).mean()
    assert rows[-1]["valid_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", SOURCES)
def test_frameworks_take_the_same_loss_of_the_same_weights(
    workers: Callable[[str], Worker], prepared: Callable[[str], tuple[Path, ModelSpec]], tmp_path: Path, name: str
) -> None:
    data, spec = prepared(name)
    begun = tmp_path / "begun.safetensors"
    write_tensors(begun, random_parameters(spec))
    losses, means = [], []
    for runtime in TRAINERS:
        run = runtime.rpartition("/")[2]
        # One step on all samples.
        request = asked(tmp_path, run, data, spec, epochs=1, batch_size=200, start=str(begun))
        workers(runtime).request("train", **request)
        losses.append(log_of(tmp_path / run)[0]["loss"])
        held = read_tensors(tmp_path / run / "weights.safetensors")
        means.append({key: array for key, array in held.items() if key.endswith("running_mean")})
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert means[0]
    assert all(np.abs(means[1][key] - array).max() < 1e-5 for key, array in means[0].items())


def test_a_target_that_is_none_of_the_task_is_one_line(
    workers: Callable[[str], Worker], prepared: Callable[[str], tuple[Path, ModelSpec]], tmp_path: Path
) -> None:
    data, spec = prepared("fieldseg")
    file = data / "valid.safetensors"
    good = read_tensors(file)
    wrong = good["target.y"].copy()
    wrong[good["target.mask"]] = 5
    for index, (changed, words) in enumerate(
        (
            ({"target.y": wrong}, "labels must lie in 0 .. 4"),
            ({"target.mask": np.ascontiguousarray(good["target.mask"][:, :8])}, "'mask' must have shape"),
            ({"target.y": good["target.y"].astype(np.float32)}, "'y' must not be float32"),
        )
    ):
        write_tensors(file, {**good, **changed})
        with pytest.raises(BadInputError) as caught:
            workers("python/pytorch").request("train", **asked(tmp_path, f"out{index}", data, spec))
        assert words in caught.value.line()
        assert str(file) in caught.value.line()
        assert "\n" not in caught.value.line()
