"""Which files a model's tensors lie in: as ONNX's own library sees it, and never outside of the model's folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")

from harness.errors import ModelError  # noqa: E402
from harness.files.onnx_external_data import external_files  # noqa: E402


def elsewhere(name: str, location: str) -> onnx.TensorProto:
    tensor = onnx.numpy_helper.from_array(np.zeros(4, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("offset", "0"), ("location", location), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def graph(name: str, *initializers: onnx.TensorProto, nodes: tuple[onnx.NodeProto, ...] = ()) -> onnx.GraphProto:
    return onnx.helper.make_graph(list(nodes), name, [], [], list(initializers))


def everywhere(locations: list[str]) -> onnx.ModelProto:
    """Tensors with external data in every place that a model has for one."""
    one, two, three, four, five = (elsewhere(f"t{index}", location) for index, location in enumerate(locations))
    sparse = onnx.SparseTensorProto(values=two, indices=onnx.numpy_helper.from_array(np.zeros(1, np.int64)), dims=[4])
    constant = onnx.helper.make_node("Constant", [], ["c"], value=three)
    inner = onnx.helper.make_node("If", ["c"], ["d"], then_branch=graph("g", four), else_branch=graph("h"))
    model = onnx.helper.make_model(graph("main", one, nodes=(constant, inner)))
    model.graph.sparse_initializer.append(sparse)
    function = model.functions.add(name="f", domain="own")
    function.node.append(onnx.helper.make_node("Constant", [], ["e"], value=five))
    return model


def test_every_place_of_a_tensor_is_found(tmp_path: Path) -> None:
    names = ["a.bin", "b.data", "c/d.bin", "e f.bin", "ä.bin"]
    (tmp_path / "c").mkdir()
    for name in names:
        (tmp_path / name).write_bytes(bytes(16))
    path = tmp_path / "m.onnx"
    path.write_bytes(everywhere(names).SerializeToString())
    assert external_files(path) == {name: tmp_path / name for name in sorted(names)}


def test_a_model_in_one_piece_has_none(tmp_path: Path) -> None:
    model = onnx.helper.make_model(graph("main", onnx.numpy_helper.from_array(np.arange(9.0), "w")))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert external_files(tmp_path / "m.onnx") == {}


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("../secret", "outside of its folder"),
        ("/etc/hostname", "outside of its folder"),
        ("link", "outside of its folder"),
        ("", "outside of its folder"),
        ("nix.bin", "'nix.bin', which is missing beside it"),
        ("m.onnx", "a name that cannot be copied"),
        ("step.json", "a name that cannot be copied"),
    ],
)
def test_no_file_elsewhere_is_ever_taken(location: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(16))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "step.json").write_bytes(bytes(16))
    model = onnx.helper.make_model(graph("main", elsewhere("w", location)))
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError) as caught:
        external_files(folder / "m.onnx")
    assert expected in caught.value.what


MODEL = everywhere(["a.bin", "b.bin", "c.bin", "d.bin", "e.bin"]).SerializeToString()


@given(content=st.binary(max_size=200) | st.integers(0, len(MODEL)).map(lambda cut: MODEL[:cut]))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_no_onnx_file_is_left_to_the_workers(content: bytes, tmp_path: Path) -> None:
    for name in ("a.bin", "b.bin", "c.bin", "d.bin", "e.bin"):
        (tmp_path / name).write_bytes(bytes(16))
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    assert set(external_files(path)) <= {"a.bin", "b.bin", "c.bin", "d.bin", "e.bin"}
