"""Time kept as ONNX Scan: one copy of a recurrent layer in the file, which then fits any length of time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

from asked import Asked  # noqa: E402
from random_parameters import random_parameters  # noqa: E402

from harness.compare.parameters import compare_parameters  # noqa: E402
from harness.compare.records import Verdict  # noqa: E402
from harness.models import convlstm  # noqa: E402
from harness.workers.onnx.file import stored  # noqa: E402
from harness.workers.onnx.structure import structure  # noqa: E402
from harness.workers.tensors import read_tensors, write_tensors  # noqa: E402

SPEC = convlstm.build(
    bands=1, history=3, horizon=3, rows=6, columns=5, hyperparameters={"filters": (3, 2, 2), "kernels": (3, 1, 1)}
)
WEIGHTS = random_parameters(SPEC)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("scan")
    write_tensors(folder / "weights.safetensors", WEIGHTS)
    (folder / "model.json").write_text(SPEC.to_json())
    record = Asked("python/pytorch")(
        "export", weights=folder / "weights.safetensors", out=folder, route="torch-scan", opset=18, fold=True
    )
    return folder, record


def test_every_recurrent_layer_is_one_scan(scanned: tuple[Path, dict[str, Any]]) -> None:
    folder, record = scanned
    assert record["operators"]["Scan"] == 3
    assert record["exporter"] == "torch.onnx (torch.export) with 3 loops as scan"
    model = onnx.load(folder / "model.onnx")
    bodies = [node.attribute for node in model.graph.node if node.op_type == "Scan"]
    convolutions = [
        node.op_type for attributes in bodies for entry in attributes if entry.name == "body" for node in entry.g.node
    ].count("Conv")
    assert convolutions == 3


def test_the_file_computes_what_the_source_does_at_any_length_of_time(
    scanned: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    folder, record = scanned
    assert "the file leaves the size of axis time of input 'x' open" in record["warnings"]
    x = np.random.default_rng(3).random((4, 1, 3, 6, 5), np.float32)
    write_tensors(tmp_path / "x", {"x": x})
    source, target = Asked("python/pytorch"), Asked("python/onnxruntime")
    source("load", path=folder / "weights.safetensors", precision="float32")
    source("predict", inputs=tmp_path / "x", outputs=tmp_path / "y", batch_size=None)
    target("load", path=folder / "model.onnx", precision="float32")
    target("predict", inputs=tmp_path / "x", outputs=tmp_path / "z", batch_size=2)
    wanted, found = (read_tensors(tmp_path / name)["forecast"] for name in ("y", "z"))
    assert np.abs(found - wanted).max() < 1e-6
    # Frames that follow do not change the steps before them, but for what the last convolution sees of them.
    write_tensors(tmp_path / "x", {"x": np.concatenate([x, x[:, :, :2]], axis=2)})
    target("predict", inputs=tmp_path / "x", outputs=tmp_path / "z", batch_size=2)
    longer = read_tensors(tmp_path / "z")["forecast"]
    assert longer.shape == (4, 1, 5, 6, 5)
    assert np.abs(longer[:, :, :2] - wanted[:, :, :2]).max() < 1e-6


def test_a_model_without_a_loop_is_refused_in_one_line(source: Path, ask: Callable[[str], Any]) -> None:
    (source / "out").mkdir()
    message = ask("python/pytorch").refused(
        "unsupported",
        "export",
        weights=source / "weights.safetensors",
        out=source / "out",
        route="torch-scan",
        opset=18,
    )
    assert message == (
        "torch-scan keeps loops over time as Scan, and tempcnn has none in PyTorch; torch-dynamo exports it"
    )
    assert not list((source / "out").iterdir())


def test_parameters_used_in_the_bodies_are_those_of_the_source(scanned: tuple[Path, dict[str, Any]]) -> None:
    model = onnx.load(scanned[0] / "model.onnx")
    held = {name: onnx.numpy_helper.to_array(tensor) for name, tensor in stored(model).items()}
    described = structure(model, scanned[0] / "model.onnx")
    assert compare_parameters(SPEC, WEIGHTS, described, held).verdict is Verdict.IDENTICAL
    held["lstm2.weight"] = held["lstm2.weight"].copy()
    held["lstm2.weight"].flat[3] = np.nextafter(held["lstm2.weight"].flat[3], np.float32(9))
    found = compare_parameters(SPEC, WEIGHTS, described, held)
    assert found.verdict is Verdict.DIVERGENT
    assert [row.name for row in found.rows if row.relation == "unequal"] == ["lstm2.weight"]
