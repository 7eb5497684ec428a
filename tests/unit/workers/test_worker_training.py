from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from harness.data.draw import drawn_series  # noqa: E402
from harness.models.spec import ModelSpec  # noqa: E402
from harness.tasks import losses, task  # noqa: E402
from harness.workers.pytorch.losses import mean_loss  # noqa: E402
from harness.workers.tensors import read_tensors, write_tensors  # noqa: E402
from harness.workers.training import checkpoint  # noqa: E402
from harness.workers.training import train as training  # noqa: E402
from harness.workers.training.series_part import SeriesPart  # noqa: E402

FIRST = {"epochs": 3, "batch_size": 16, "seed": 11}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four classes that can be told apart, 3 bands, 8 dates: 97 to train on (so that a batch of 16 leaves one over)."""
    folder = tmp_path / "data"
    folder.mkdir()
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((4, 3, 8))
    for part, count in (("train", 97), ("valid", 30)):
        y = generator.integers(0, 4, count)
        x = (centres[y] + generator.standard_normal((count, 3, 8))).astype(np.float32)
        write_tensors(folder / f"{part}.safetensors", {"x": x, "y": y, "ids": np.arange(count)})
    return folder


@pytest.fixture
def out(tmp_path: Path, small_spec: ModelSpec) -> Callable[[str], Path]:
    """A fresh folder with what the harness puts into it before training."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.json").write_text(small_spec.to_json())
        (folder / "metadata.json").write_text("{}")
        return folder

    return make


def weights(folder: Path) -> bytes:
    return (folder / "weights.safetensors").read_bytes()


def log(folder: Path) -> list[dict[str, str]]:
    with (folder / "training.csv").open() as file:
        return list(csv.DictReader(file))


def test_training_learns_and_writes_the_artifact(
    data: Path, out: Callable[[str], Path], ask: Callable[[str], Any], small_spec: ModelSpec
) -> None:
    folder, asked = out("a"), ask("python/pytorch")
    record = asked("train", data=data, out=folder, epochs=30, batch_size=16, seed=1, learning_rate=0.01)
    assert sorted(path.name for path in folder.iterdir()) == [
        "metadata.json",
        "model.json",
        "training.csv",
        "training.json",
        "weights.safetensors",
    ]
    rows = log(folder)
    assert [int(row["epoch"]) for row in rows] == list(range(1, 31))
    around = ("epoch", "loss"), ("iterations_per_second", "seconds", "learning_rate")
    assert tuple(rows[0]) == (*around[0], *task("classification").columns, *around[1])
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"]) / 2
    assert float(rows[-1]["accuracy"]) > 0.8
    assert rows[-1]["accuracy"] == rows[-1]["f1_micro"]
    assert json.loads((folder / "training.json").read_text()) == record
    assert record["samples"] == {"train": 97, "valid": 30}
    assert record["iterations_per_epoch"] == 6
    assert record["resumed_at"] is None
    held = read_tensors(folder / "weights.safetensors")
    assert {name: array.shape for name, array in held.items()} == {p.name: p.shape for p in small_spec.parameters}
    asked("load", path=folder / "weights.safetensors")
    # The log's accuracy is that of the weights that were written.
    write_tensors(folder / "x", {"x": read_tensors(data / "valid.safetensors")["x"]})
    asked("predict", inputs=folder / "x", outputs=folder / "y", batch_size=7)
    decided = read_tensors(folder / "y")["logits"].argmax(axis=1)
    truth = read_tensors(data / "valid.safetensors")["y"]
    assert float(rows[-1]["accuracy"]) == pytest.approx(float((decided == truth).mean()))


def test_progress_is_told(data: Path, out: Callable[[str], Path], ask: Callable[[str], Any]) -> None:
    asked = ask("python/pytorch")
    asked("train", data=data, out=out("a"), **FIRST)
    told = [line["progress"] for line in asked.progress]
    assert told[-1]["done"] == told[-1]["total"] == 18
    assert [entry["done"] for entry in told] == sorted(entry["done"] for entry in told)
    assert told[-1]["text"].startswith("epoch 3 of 3, loss ")


def test_the_same_seed_gives_the_same_bits_and_another_does_not(
    data: Path, out: Callable[[str], Path], ask: Callable[[str], Any]
) -> None:
    asked = ask("python/pytorch")
    folders = [out(name) for name in "abc"]
    for folder, seed in zip(folders, (11, 11, 12), strict=True):
        torch.manual_seed(np.random.default_rng().integers(1000))
        asked("train", data=data, out=folder, **(FIRST | {"seed": seed}))
    assert weights(folders[0]) == weights(folders[1])
    assert weights(folders[0]) != weights(folders[2])


@pytest.mark.parametrize("interrupted_after", [1, 2])
def test_an_interrupted_training_ends_in_the_same_bits(
    data: Path,
    out: Callable[[str], Path],
    ask: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    interrupted_after: int,
) -> None:
    asked, whole, parts = ask("python/pytorch"), out("whole"), out("parts")
    asked("train", data=data, out=whole, **FIRST)
    save = checkpoint.save

    def saved_then_killed(folder: Path, epoch: int, *rest: Any) -> None:
        save(folder, epoch, *rest)
        if epoch == interrupted_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", saved_then_killed)
    with pytest.raises(KeyboardInterrupt):
        asked.answer("train", data=data, out=parts, **FIRST)
    monkeypatch.undo()
    assert not (parts / "weights.safetensors").exists()
    record = asked("train", data=data, out=parts, **FIRST)
    assert record["resumed_at"] == interrupted_after
    assert weights(parts) == weights(whole)
    keep = ["epoch", "loss", *task("classification").columns, "learning_rate"]
    assert [[row[n] for n in keep] for row in log(parts)] == [[row[n] for n in keep] for row in log(whole)]
    assert not list(parts.glob("checkpoint*"))


@pytest.mark.parametrize("damage", ["truncated", "other seed", "no tensors", "nonsense"])
def test_a_checkpoint_that_does_not_fit_is_not_gone_on_from(
    data: Path, out: Callable[[str], Path], ask: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    asked, whole, parts = ask("python/pytorch"), out("whole"), out("parts")
    asked("train", data=data, out=whole, **FIRST)
    monkeypatch.setattr(checkpoint, "remove", lambda folder: None)
    asked("train", data=data, out=parts, **(FIRST | {"seed": 5} if damage == "other seed" else FIRST))
    monkeypatch.undo()
    (tensors,) = parts.glob("checkpoint-2.safetensors")
    if damage == "truncated":
        tensors.write_bytes(tensors.read_bytes()[:-8])
    if damage == "no tensors":
        tensors.unlink()
    if damage == "nonsense":
        (parts / "checkpoint.json").write_text("[]")
    (parts / "weights.safetensors").unlink()
    assert asked("train", data=data, out=parts, **FIRST)["resumed_at"] is None
    assert weights(parts) == weights(whole)


def test_dates_drawn_per_epoch_differ_from_epoch_to_epoch(
    data: Path, out: Callable[[str], Path], ask: Callable[[str], Any]
) -> None:
    generator = np.random.default_rng(3)
    frozen = read_tensors(data / "train.safetensors")
    offsets = np.concatenate([[0], np.cumsum(generator.integers(9, 20, 97))])
    series = {
        "values": generator.standard_normal((offsets[-1], 3)).astype(np.float32),
        "offsets": offsets,
        "y": frozen["y"],
        "ids": np.arange(97),
    }
    write_tensors(data / "train.safetensors", series)
    (data / "dataset.json").write_text(json.dumps({"seed": 4, "dates": 8}))
    part = SeriesPart(data, "train", training.read_spec(out("spec") / "model.json"))
    first, again, second = (part.inputs(epoch)["x"] for epoch in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    expected = drawn_series(series["values"], offsets, series["ids"], 8, 4, epoch=1)
    assert np.array_equal(second, expected)
    asked = ask("python/pytorch")
    folders = [out("a"), out("b")]
    for folder in folders:
        asked("train", data=data, out=folder, **FIRST)
    assert weights(folders[0]) == weights(folders[1])


def test_a_loss_that_is_no_number_ends_the_training(
    data: Path, out: Callable[[str], Path], ask: Callable[[str], Any]
) -> None:
    tensors = read_tensors(data / "train.safetensors")
    tensors["x"][40, 1, 2] = np.nan
    write_tensors(data / "train.safetensors", tensors)
    folder = out("a")
    message = ask("python/pytorch").refused("failed", "train", data=data, out=folder, **FIRST)
    assert message.startswith("the loss is nan in epoch 1, batch ")
    assert not (folder / "weights.safetensors").exists()


def test_a_training_may_begin_from_given_weights_and_end_before_its_first_epoch(
    data: Path, out: Callable[[str], Path], ask: Callable[[str], Any]
) -> None:
    asked = ask("python/pytorch")
    first, second, third = out("a"), out("b"), out("c")
    record = asked("train", data=data, out=first, **FIRST | {"epochs": 0})
    assert record["epochs"] == 0
    assert (first / "training.csv").read_text().count("\n") == 1
    started = {"start": str(first / "weights.safetensors")}
    # Another seed would begin from other weights.
    asked("train", data=data, out=second, **FIRST | {"epochs": 0, "seed": FIRST["seed"] + 1})
    assert weights(second) != weights(first)
    asked("train", data=data, out=third, **FIRST | {"epochs": 0, "seed": FIRST["seed"] + 1} | started)
    assert weights(third) == weights(first)
    write_tensors(data / "other.safetensors", {"x": np.zeros(3, np.float32)})
    refused = {"start": str(data / "other.safetensors")}
    assert "other.safetensors" in asked.refused("bad-input", "train", data=data, out=second, **FIRST | refused)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": "/nowhere.safetensors"}, "/nowhere.safetensors: no such file"),
        ({"epochs": -1}, "epochs must be an integer of at least 0, not -1"),
        ({"batch_size": 1}, "batch_size must be an integer of at least 2"),
        ({"seed": -1}, "seed"),
        ({"learning_rate": "fast"}, "learning_rate must be a number"),
        ({"data": "/nowhere"}, "data: /nowhere: no such folder"),
        ({"out": "/nowhere"}, "out: /nowhere: no such folder"),
        ({"spec": "/nowhere.json"}, "/nowhere.json: no such file"),
        ({"momentum": 3}, "'momentum'"),
    ],
)
def test_wrong_arguments_are_refused(
    data: Path, out: Callable[[str], Path], ask: Callable[[str], Any], change: dict[str, Any], message: str
) -> None:
    arguments = {"data": data, "out": out("a"), **FIRST} | change
    assert message in ask("python/pytorch").refused("bad-input", "train", **arguments)


def test_data_that_do_not_fit_are_refused(data: Path, out: Callable[[str], Path], ask: Callable[[str], Any]) -> None:
    asked, folder = ask("python/pytorch"), out("a")
    whole = read_tensors(data / "train.safetensors")
    for change, message in (
        ({"y": whole["y"] + 1}, "labels must lie in 0 .. 3"),
        ({"x": whole["x"][:, :2]}, "'x' must have shape (None, 3, 8), not (97, 2, 8)"),
    ):
        write_tensors(data / "train.safetensors", whole | change)
        assert message in asked.refused("bad-input", "train", data=data, out=folder, **FIRST)
    write_tensors(data / "train.safetensors", {"y": whole["y"]})
    assert "lacks 'x'" in asked.refused("bad-input", "train", data=data, out=folder, **FIRST)
    (data / "train.safetensors").write_bytes(b"")
    assert "train.safetensors" in asked.refused("bad-input", "train", data=data, out=folder, **FIRST)


@pytest.mark.parametrize("head", ["logits", "log-softmax", "softmax"])
def test_the_loss_is_the_cross_entropy_for_every_head(head: str) -> None:
    logits = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    target = torch.arange(20) % 5
    output = {"logits": logits, "log-softmax": torch.log_softmax(logits, 1), "softmax": torch.softmax(logits, 1)}[head]
    expected = float(torch.nn.functional.cross_entropy(logits.double(), target))
    assert float(mean_loss("cross-entropy", head, output, {"y": target.numpy()})) == pytest.approx(expected, abs=1e-6)
    found = losses.cross_entropy(output.numpy(), target.numpy(), head)
    assert found.shape == (20,)
    assert found.mean() == pytest.approx(expected, abs=1e-6)


def test_a_probability_of_zero_costs_a_finite_loss() -> None:
    certain = np.array([[1.0, 0.0]], dtype=np.float32)
    assert np.isfinite(losses.cross_entropy(certain, np.array([1]), "softmax")).all()
