"""A recurrence unrolled by an exporter: every step's convolution uses the same weight, or copies of it."""

from __future__ import annotations

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
from harness.compare.structure import compare_structure  # noqa: E402
from harness.models import convlstm  # noqa: E402
from harness.workers.onnx.structure import structure  # noqa: E402
from harness.workers.tensors import write_tensors  # noqa: E402

SPEC = convlstm.build(
    bands=1, history=3, horizon=3, rows=6, columns=5, hyperparameters={"filters": (3, 2, 2), "kernels": (3, 1, 1)}
)
WEIGHTS = random_parameters(SPEC)


def exported(folder: Path, route: str) -> tuple[Any, dict[str, Any]]:
    write_tensors(folder / "weights.safetensors", WEIGHTS)
    (folder / "model.json").write_text(SPEC.to_json())
    (folder / "out").mkdir()
    asked = Asked("python/pytorch")
    record = asked(
        "export", weights=folder / "weights.safetensors", out=folder / "out", route=route, opset=18, fold=True
    )
    return onnx.load(folder / "out" / "model.onnx"), record


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, Any]]:
    return exported(tmp_path_factory.mktemp("script"), "torch-script")


def compared(model: Any, folder: Path, changed: dict[str, np.ndarray] | None = None) -> Any:
    path = folder / "model.onnx"
    onnx.save(model, path)
    held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return compare_parameters(SPEC, WEIGHTS, structure(model, path), held | (changed or {}))


def copied(model: Any) -> Any:
    """The same graph with a copy of the recurrent weights for every step, as some converters leave it."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    seen: dict[str, int] = {}
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if node.op_type == "Conv" and name in stored and name.startswith("lstm"):
                seen[name] = seen.get(name, 0) + 1
                node.input[place] = f"{name}_{seen[name]}"
                copy = model.graph.initializer.add()
                copy.CopyFrom(stored[name])
                copy.name = node.input[place]
    for name in seen:
        model.graph.initializer.remove(stored[name])
    return model


def test_shared_weights_are_one(script: tuple[Any, dict[str, Any]], tmp_path: Path) -> None:
    found = compared(script[0], tmp_path)
    assert found.verdict is Verdict.IDENTICAL
    assert {row.name: row.relation for row in found.rows} == {p.name: "equal" for p in SPEC.parameters}
    assert found.source_count == found.target_count == sum(value.size for value in WEIGHTS.values())
    notes = {row.name: row.note for row in found.rows}
    assert notes["lstm1.weight"] == notes["lstm3.weight"] == "used by 3 nodes"
    assert notes["output.weight"] == ""


def test_dynamo_unrolls_to_shared_weights_too(tmp_path: Path) -> None:
    model, record = exported(tmp_path, "torch-dynamo")
    assert compared(model, tmp_path).verdict is Verdict.IDENTICAL
    assert record["operators"]["Conv"] == 3 * 3 + 1
    # Each stands behind a recurrence and an activation: there is no layer that could take it in.
    assert record["batch_normalisations"] == {"model": 2, "file": 2}
    assert not record["folded"]


def test_copies_per_step_are_counted_and_are_one(script: tuple[Any, dict[str, Any]], tmp_path: Path) -> None:
    found = compared(copied(script[0]), tmp_path)
    assert found.verdict is Verdict.IDENTICAL
    assert {row.note for row in found.rows if row.name == "lstm2.weight"} == {"used by 3 nodes in 3 copies"}
    assert found.copies == 3
    assert found.target_count - found.copied_count == found.source_count < found.target_count


def test_one_step_with_other_weights_is_found(script: tuple[Any, dict[str, Any]], tmp_path: Path) -> None:
    model = copied(script[0])
    for step in (1, 2, 3):
        name = f"lstm2.weight_{step}"
        (tensor,) = (one for one in model.graph.initializer if one.name == name)
        value = onnx.numpy_helper.to_array(tensor).copy()
        value.flat[4] = np.nextafter(value.flat[4], np.float32(9))
        found = compared(model, tmp_path, {name: value})
        assert found.verdict is Verdict.DIVERGENT
        assert any("lstm2.weight" in finding.message for finding in found.findings)


def test_a_shared_weight_that_is_wrong_is_found(script: tuple[Any, dict[str, Any]], tmp_path: Path) -> None:
    wrong = WEIGHTS["lstm3.weight"].copy()
    # Gates in Keras' order.
    wrong = wrong.reshape(4, 2, *wrong.shape[1:])[[0, 1, 3, 2]].reshape(wrong.shape)
    found = compared(script[0], tmp_path, {"lstm3.weight": wrong})
    assert found.verdict is Verdict.DIVERGENT
    (row,) = (row for row in found.rows if row.name == "lstm3.weight")
    assert row.relation in ("permuted", "unequal")


def test_the_file_leaves_no_axis_open_unsaid_and_ends_in_a_sigmoid(
    script: tuple[Any, dict[str, Any]], tmp_path: Path
) -> None:
    model, record = script
    onnx.save(model, tmp_path / "model.onnx")
    assert "the file leaves the size of axis row and column of output 'forecast' open" in record["warnings"]
    described = structure(model, tmp_path / "model.onnx")
    assert compare_structure(SPEC, {}, {}, described) == []
    last = described["nodes"][-1]
    assert last["operator"] == "Sigmoid"
    last["operator"] = "Relu"
    (finding,) = compare_structure(SPEC, {}, {}, described)
    assert finding.message == "the graph ends without sigmoid, which the model declares"
