from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from harness.data.prepare import DataConfig, prepare  # noqa: E402
from harness.models import convlstm  # noqa: E402
from harness.models.spec import ModelSpec  # noqa: E402
from harness.tasks import task  # noqa: E402
from harness.tasks.losses import losses_of  # noqa: E402
from harness.workers.engine import BadInput, Failed  # noqa: E402
from harness.workers.pytorch.learner import PytorchLearner  # noqa: E402
from harness.workers.pytorch.losses import mean_loss  # noqa: E402
from harness.workers.tensors import read_tensors, write_tensors  # noqa: E402
from harness.workers.training.frames_part import FramesPart  # noqa: E402
from harness.workers.training.parts import read_record  # noqa: E402
from harness.workers.training.train import train  # noqa: E402

OPTIONS = {"frames": 70, "rows": 10, "columns": 8, "history": 2, "horizon": 2, "separation": 2, "stride": 2}


def said(*_: Any) -> None:
    pass


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = DataConfig(source="synthetic-radar", options={**OPTIONS, "test": 0.3})
    return prepare(config, 5, 8, tmp_path_factory.mktemp("radar")).folder


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return convlstm.build(
        bands=1, history=2, horizon=2, rows=10, columns=8, hyperparameters={"filters": (4, 3), "kernels": (3, 1)}
    )


@pytest.fixture
def out(tmp_path: Path, spec: ModelSpec) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.json").write_text(spec.to_json())
        (folder / "metadata.json").write_text("{}")
        return folder

    return make


def trained(data: Path, folder: Path, **changes: Any) -> dict[str, Any]:
    settings = {"epochs": 3, "batch_size": 4, "seed": 1, "learning_rate": 0.02, "weight_decay": 0.0, **changes}
    return train(str(data), str(folder), learner=PytorchLearner, progress=said, **settings)


@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_it_learns_and_logs_errors_in_the_physical_unit(data: Path, out: Callable[[str], Path], loss: str) -> None:
    record = trained(data, folder := out(loss), loss=loss, epochs=8)
    assert record["loss"] == {"bce": "binary-cross-entropy"}.get(loss, loss)
    with (folder / "training.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert set(task("forecast").columns) < set(rows[0])
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert 0 < float(rows[-1]["mae"]) <= float(rows[-1]["rmse"]) < 50


def test_the_same_request_gives_the_same_bits_also_after_an_interruption(
    data: Path, out: Callable[[str], Path]
) -> None:
    trained(data, whole := out("whole"))
    trained(data, again := out("again"))
    weights = (whole / "weights.safetensors").read_bytes()
    assert (again / "weights.safetensors").read_bytes() == weights

    def stop(done: int, total: int, text: str) -> None:
        if text.startswith("epoch 3"):
            raise KeyboardInterrupt

    broken = out("broken")
    with pytest.raises(KeyboardInterrupt):
        train(
            str(data),
            str(broken),
            epochs=3,
            batch_size=4,
            seed=1,
            learning_rate=0.02,
            weight_decay=0.0,
            learner=PytorchLearner,
            progress=stop,
        )
    record = trained(data, broken)
    assert record["resumed_at"] == 2
    assert (broken / "weights.safetensors").read_bytes() == weights


def test_no_data_has_no_part_in_loss_and_gradient() -> None:
    random = np.random.default_rng(0)
    truth = random.random((2, 1, 2, 4, 3)).astype(np.float32)
    mask = random.random(truth.shape) < 0.6
    output = torch.from_numpy(random.random(truth.shape).astype(np.float32)).requires_grad_()
    for name in task("forecast").losses:
        loss = mean_loss(name, "sigmoid", output, {"y": truth, "mask": mask})
        other = np.where(mask, truth, 1 - truth).astype(np.float32)
        assert mean_loss(name, "sigmoid", output, {"y": other, "mask": mask}).item() == loss.item()
        (gradient,) = torch.autograd.grad(loss, output)
        assert (gradient.numpy()[~mask] == 0).all()
        assert (gradient.numpy()[mask] != 0).any()
    values = output.detach().numpy().astype(np.float64)
    squared = mean_loss("mse", "sigmoid", output, {"y": truth, "mask": mask}).item()
    assert squared == pytest.approx(((values - truth)[mask] ** 2).mean(), rel=1e-5)
    crossed = -(truth * np.log(values) + (1 - truth) * np.log(1 - values))
    found = mean_loss("binary-cross-entropy", "sigmoid", output, {"y": truth, "mask": mask}).item()
    assert found == pytest.approx(crossed[mask].mean(), rel=1e-5)
    # The validation says the same of the same values.
    arrays = output.detach().numpy()
    assert losses_of("mse", "sigmoid", arrays, {"y": truth, "mask": mask}).mean() == pytest.approx(squared, rel=1e-5)
    assert losses_of("binary-cross-entropy", "sigmoid", arrays, {"y": truth, "mask": mask}).mean() == pytest.approx(
        found, rel=1e-5
    )
    nothing = np.zeros_like(mask)
    assert mean_loss("mse", "sigmoid", output, {"y": truth, "mask": nothing}).item() == 0


def test_validation_pools_over_all_batches(data: Path, spec: ModelSpec) -> None:
    part, known = FramesPart(data, "train", spec), task("forecast")
    validation = known.validation(spec.problem(read_record(data)), "mse")
    batch = part.batches(0)
    for start in range(0, len(part), 3):
        inputs, target = batch(slice(start, start + 3))
        validation.add(inputs, target, np.repeat(inputs["x"][:, :, -1:], 2, axis=2))
    found = validation.result()
    inputs, target = batch(slice(None))
    error = (np.repeat(inputs["x"][:, :, -1:], 2, axis=2) - target["y"])[target["mask"]].astype(np.float64)
    assert len(part) > 3
    assert found["valid_loss"] == pytest.approx((error**2).mean(), rel=1e-4)
    assert found["rmse"] == pytest.approx(50 * np.sqrt((error**2).mean()), rel=1e-4)
    assert found["mae"] == pytest.approx(50 * np.abs(error).mean(), rel=1e-4)
    assert found["skill"] == pytest.approx(0, abs=1e-9)


def test_what_does_not_fit_is_refused(data: Path, out: Callable[[str], Path], spec: ModelSpec, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="loss must be mse or binary-cross-entropy for forecast, not 'cross-entropy'"):
        trained(data, out("loss"), loss="cross-entropy")
    other = convlstm.build(bands=1, history=3, horizon=3, rows=10, columns=8)
    with pytest.raises(BadInput, match=r"'x' must have shape \(None, 1, 3, 10, 8\)"):
        FramesPart(data, "train", other)
    with pytest.raises(Failed, match="the loss is nan in epoch 1, batch 1"):
        tensors = read_tensors(data / "train.safetensors")
        spoilt = tmp_path / "spoilt"
        spoilt.mkdir()
        write_tensors(spoilt / "train.safetensors", {**tensors, "frames": tensors["frames"] * np.float32(np.nan)})
        for name in ("valid.safetensors", "dataset.json"):
            (spoilt / name).write_bytes((data / name).read_bytes())
        trained(spoilt, out("nan"))
    record = json.loads((data / "dataset.json").read_text())
    del record["forecast"]
    (spoilt / "dataset.json").write_text(json.dumps(record))
    with pytest.raises(BadInput, match="lacks 'forecast'"):
        FramesPart(spoilt, "valid", spec)
