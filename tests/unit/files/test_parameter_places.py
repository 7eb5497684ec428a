"""Parameters that lie in a given model file are not kept again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.files.arrays import load_arrays, save_arrays
from harness.files.copies import copy_file
from harness.files.parameter_places import load_parameters, refer_to_model

onnx = pytest.importorskip("onnx", reason="it writes the files that are read: pip install onnx")

DRAWN = np.random.default_rng(0)
HELD = {
    "weight": DRAWN.standard_normal((70, 33), np.float32),
    "half": DRAWN.standard_normal((64, 64)).astype(np.float16),
    "places": np.arange(4096),
    "bias": DRAWN.standard_normal(3, np.float32),
    "changed": DRAWN.standard_normal((64, 32), np.float32),
}


@pytest.fixture(params=["in one piece", "weights beside it"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in HELD.items()]
    graph = onnx.helper.make_graph([], "held", [], [], tensors)
    path = tmp_path / "given" / "model.onnx"
    path.parent.mkdir()
    beside = request.param != "in one piece"
    onnx.save(onnx.helper.make_model(graph), path, save_as_external_data=beside, location="weights", size_threshold=0)
    return path


def test_what_lies_in_the_model_is_not_kept_again(model: Path, tmp_path: Path) -> None:
    loaded = HELD | {"changed": HELD["changed"].copy(), "own": np.zeros((40, 40), np.float32)}
    loaded["changed"][5, 7] = np.nextafter(loaded["changed"][5, 7], np.float32(9))
    stored = tmp_path / "parameters.safetensors"
    save_arrays(stored, loaded)
    refer_to_model(stored, model)
    # What the runtime has otherwise than the file, what is its own, and what is too small to matter.
    assert set(load_arrays(stored)) == {"changed", "own", "bias"}
    found = load_parameters(stored, model.parent)
    assert found.keys() == loaded.keys()
    for name, array in loaded.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_a_copy_does_not_change_with_the_original(tmp_path: Path) -> None:
    original, copy = tmp_path / "model.onnx", tmp_path / "copy"
    original.write_bytes(b"as it was")
    copy_file(original, copy)
    with original.open("r+b") as file:
        file.write(b"AS")
    assert copy.read_bytes() == b"as it was"
