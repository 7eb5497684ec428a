"""A probe of many samples: read, computed and written batch by batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.workers import requests
from harness.workers.batches import predict
from harness.workers.engine import Array, BadInput
from harness.workers.requests import Requests
from harness.workers.tensors import read_tensors, write_tensors
from tests.unit.workers.test_worker_engine import Doubling

X = np.arange(30, dtype=np.float32).reshape(10, 3)


def asked(model: Doubling, folder: Path, batch_size: int | None) -> bytes:
    """The file that the request ``predict`` leaves."""
    write_tensors(folder / "x", {"x": X})
    handlers = Requests(None)  # type: ignore[arg-type]
    handlers._model = model
    handlers.predict(str(folder / "x"), str(folder / "y"), batch_size)
    return (folder / "y").read_bytes()


def test_a_streamed_file_is_that_of_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = asked(Doubling(), tmp_path, None)
    monkeypatch.setattr(requests, "STREAMED", 0)
    streaming = Doubling(widened=True)
    streamed = asked(streaming, tmp_path, 4)
    # Each batch is widened by itself, and an array of its own.
    assert [batch["x"].dtype.name for batch in streaming.batches] == ["float64"] * 3
    assert all(batch["x"].flags.writeable for batch in streaming.batches)
    assert asked(Doubling(), tmp_path, 4) == whole
    assert len(streamed) > len(whole)
    assert not list(tmp_path.glob(".*"))


def test_outputs_of_several_batches_are_not_held(tmp_path: Path) -> None:
    done = predict(Doubling(), {"x": X}, 4, into=tmp_path / "y")
    assert done.outputs == {}
    assert np.array_equal(read_tensors(tmp_path / "y")["y"], X * 2)


def test_nothing_is_left_of_a_prediction_that_breaks(tmp_path: Path) -> None:
    class Changing(Doubling):
        def run(self, feeds: dict[str, Array], watch: object) -> dict[str, Array]:
            self.batches.append(feeds)
            return {"y": np.zeros((len(feeds["x"]), len(self.batches)))}

    with pytest.raises(BadInput, match="output 'y'"):
        predict(Changing(), {"x": X}, 4, into=tmp_path / "y")
    assert not list(tmp_path.iterdir())
