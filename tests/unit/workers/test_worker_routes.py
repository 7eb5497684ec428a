from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

from random_parameters import random_parameters  # noqa: E402

from harness.models.spec import ModelSpec  # noqa: E402
from harness.workers.engine import Failed, Unsupported  # noqa: E402
from harness.workers.onnx.export import Routes  # noqa: E402
from harness.workers.tensors import read_tensors, write_tensors  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
X = np.random.default_rng(1).standard_normal((9, 3, 8)).astype(np.float32)

CASES = [
    ("torch-script", 11, True),
    ("torch-script", 17, True),
    ("torch-script", 17, False),
    ("torch-script", 20, False),
    ("torch-dynamo", 11, True),
    ("torch-dynamo", 18, True),
    ("torch-dynamo", 20, False),
]


@pytest.mark.parametrize(("route", "opset", "fold"), CASES)
def test_an_export_is_what_its_record_says(
    source: Path, small_spec: ModelSpec, ask: Callable[[str], Any], route: str, opset: int, fold: bool
) -> None:
    asked = ask("python/pytorch")
    out = source / "export"
    out.mkdir()
    record = asked("export", weights=source / "weights.safetensors", out=out, route=route, opset=opset, fold=fold)
    assert sorted(path.name for path in out.iterdir()) == ["export.json", "model.onnx"]
    assert json.loads((out / "export.json").read_text()) == record
    model = onnx.load(out / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert record["asked"] == {"opset": opset, "fold": fold}
    assert record["opset"] == model.opset_import[0].version
    # The new exporter writes no opset below what it can convert down to.
    assert record["opset"] == (18 if (route, opset) == ("torch-dynamo", 11) else opset)
    kept = sum(node.op_type == "BatchNormalization" for node in model.graph.node)
    assert record["batch_normalisations"] == {"model": 3, "file": kept}
    assert record["folded"] is fold
    assert kept == (0 if route == "torch-dynamo" else 1) if fold else kept == 3
    assert record["bytes"] == (out / "model.onnx").stat().st_size
    assert record["nodes"] == len(model.graph.node)
    assert ("torch.export" in record["exporter"]) == (route == "torch-dynamo")
    assert record["warnings"]
    assert all("\n" not in line and str(ROOT) not in line for line in record["warnings"])
    # One file, with the metadata, no trace of this machine, and a batch of any size.
    assert {entry.key: entry.value for entry in model.metadata_props} == json.loads(
        (source / "metadata.json").read_text()
    )
    content = (out / "model.onnx").read_bytes()
    assert str(ROOT).encode() not in content
    assert b".py" not in content
    dimensions = model.graph.input[0].type.tensor_type.shape.dim
    assert (dimensions[0].dim_param, dimensions[1].dim_value, dimensions[2].dim_value) == ("sample", 3, 8)
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["x", "logits"]
    write_tensors(source / "x", {"x": X})
    asked("load", path=source / "weights.safetensors", precision="float64")
    asked("predict", inputs=source / "x", outputs=source / "y", batch_size=None)
    reference = ask("python/onnx-reference")
    reference("load", path=out / "model.onnx", precision="float64")
    reference("predict", inputs=source / "x", outputs=source / "z", batch_size=4)
    expected, found = read_tensors(source / "y")["logits"], read_tensors(source / "z")["logits"]
    assert np.sqrt(np.mean((found - expected) ** 2)) / expected.std() < (1e-6 if fold else 1e-8)
    if not fold:
        held = {tensor.name: onnx.numpy_helper.to_array(tensor).tobytes() for tensor in model.graph.initializer}
        for name, array in random_parameters(small_spec).items():
            assert held[name] == array.tobytes()


@pytest.mark.parametrize(("route", "fold"), [("torch-script", True), ("torch-script", False), ("torch-dynamo", True)])
def test_two_exports_have_the_same_bytes(source: Path, ask: Callable[[str], Any], route: str, fold: bool) -> None:
    arguments = {"weights": str(source / "weights.safetensors"), "route": route, "opset": 18, "fold": fold}
    asked, digests = ask("python/pytorch"), []
    for name in ("a", "b"):
        (source / name).mkdir()
        asked("export", out=source / name, **arguments)
        digests.append(hashlib.sha256((source / name / "model.onnx").read_bytes()).hexdigest())
    (source / "c").mkdir()
    line = json.dumps({"id": 1, "request": "export", "out": str(source / "c"), **arguments})
    code = f"from harness.workers.serve import Server; Server('python/pytorch', 'harness.workers.pytorch.engine').handle({line!r})"
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "5"},
        capture_output=True,
    )
    digests.append(hashlib.sha256((source / "c" / "model.onnx").read_bytes()).hexdigest())
    assert len(set(digests)) == 1


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"route": "tf2onnx"}, "unsupported", "route 'tf2onnx' is not supported by python/pytorch"),
        ({"opset": 99}, "unsupported", "99"),
        ({"opset": "18"}, "bad-input", "opset must be an integer"),
        ({"fold": 1}, "bad-input", "fold true or false"),
        ({"out": "/nowhere"}, "bad-input", "out: /nowhere: no such folder"),
        ({"weights": "/nowhere"}, "bad-input", "/nowhere: no such file"),
        ({"metadata": "/nowhere"}, "bad-input", "/nowhere: no such file"),
    ],
)
def test_wrong_arguments_are_refused(
    source: Path, ask: Callable[[str], Any], change: dict[str, Any], kind: str, message: str
) -> None:
    arguments = {
        "weights": source / "weights.safetensors",
        "out": source,
        "route": "torch-script",
        "opset": 17,
        "fold": True,
    } | change
    assert message in ask("python/pytorch").refused(kind, "export", **arguments)
    assert not (source / "model.onnx").exists()


def exported(spec: ModelSpec, write: Any) -> dict[str, Any]:
    return Routes("python/test", lambda *_: None, {"test": write}, ()).export_model(None, spec, "test", 18, True, {})[1]


def test_axes_that_an_exporter_fixes_are_told(small_spec: ModelSpec) -> None:
    def write(model: Any, spec: ModelSpec, opset: int, fold: bool, path: Path) -> str:
        shape = onnx.numpy_helper.from_array(np.array(spec.outputs[0].shape[1:], np.int64), "shape")
        ends = [
            onnx.helper.make_tensor_value_info(tensor.name, onnx.TensorProto.FLOAT, [1, *tensor.shape[1:]])
            for tensor in (*spec.inputs, *spec.outputs)
        ]
        nodes = [
            onnx.helper.make_node("ReduceSum", ["x", "axes"], ["sum"], keepdims=0),
            onnx.helper.make_node("Unsqueeze", ["sum", "last"], ["one"]),
            onnx.helper.make_node("Expand", ["one", "shape"], ["logits"]),
        ]
        constants = [
            onnx.numpy_helper.from_array(np.array(values, np.int64), name)
            for name, values in (("axes", [1, 2]), ("last", [1]))
        ]
        graph = onnx.helper.make_graph(nodes, "graph", ends[:1], ends[1:], [shape, *constants])
        file = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
        onnx.save(file, path)
        return "a test"

    assert exported(small_spec, write)["warnings"] == [
        "the file fixes the size of axis sample of input 'x'",
        "the file fixes the size of axis sample of output 'logits'",
    ]


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            ValueError("onnx memory_format support is not implemented [Caused by the value '1' defined in a graph"),
            Unsupported,
            "test refuses opset 18: onnx memory_format support is not implemented",
        ),
        (NotImplementedError("no scan here"), Unsupported, "test refuses opset 18: no scan here"),
        (KeyError("lost"), Failed, "test: KeyError: 'lost'"),
    ],
)
def test_what_an_exporter_raises_is_one_line(
    small_spec: ModelSpec, error: Exception, kind: type[Exception], message: str
) -> None:
    def write(*_: Any) -> str:
        raise error

    with pytest.raises(kind) as caught:
        exported(small_spec, write)
    assert str(caught.value) == message


def test_what_the_newer_exporter_could_not_do_is_told_and_not_at_which_step_it_was():
    from harness.workers.onnx.export import _refusal

    class ConversionError(Exception):
        pass

    cause = RuntimeError("No ONNX function found for <OpOverload(op='aten.convolution', overload='default')>.")
    step = ConversionError(
        "Failed to convert the exported program. \x1b[96mThis is step 3/3\x1b[0m. Next steps:\n- ..."
    )
    step.__cause__ = ConversionError("Error when translating node %convolution")
    step.__cause__.__cause__ = cause
    found = _refusal(step, "torch-dynamo", 13)
    assert isinstance(found, Unsupported)
    assert str(found).startswith(
        "torch-dynamo refuses opset 13: No ONNX function found for <OpOverload(op='aten.convolution'"
    )
