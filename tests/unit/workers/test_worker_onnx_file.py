from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_models import FLOAT, batch_normalisation, external, model, saved

from harness.compare.older_opsets import meanings
from harness.workers.engine import BadInput, Unsupported
from harness.workers.onnx.file import inputs_of, outputs_of, plain_value, read_model, read_sorted
from harness.workers.onnx.structure import structure

RUNTIME = "python/onnx-reference"
W = np.arange(16, dtype=np.float32).reshape(4, 4)


def product(**arguments: object) -> onnx.ModelProto:
    return model([helper.make_node("MatMul", ["x", "w"], ["y"])], weights={"w": W}, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("keep", [0, 1, 10, 60, -1])
def test_a_truncated_file_is_bad_input(tmp_path: Path, keep: int) -> None:
    path = saved(product(), tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadInput, match=r"model\.onnx"):
        read_model(path, RUNTIME)


def test_anything_else_is_no_onnx_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"PK\x03\x04" + os.urandom(4000))
    with pytest.raises(BadInput, match="not an ONNX file"):
        read_model(path, RUNTIME)


def test_external_data_beside_the_model_is_read(tmp_path: Path) -> None:
    read = read_model(external(product(), tmp_path), RUNTIME)
    assert np.array_equal(numpy_helper.to_array(read.graph.initializer[0]), W)


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/hostname", "a/../../weights.bin", ""])
def test_external_data_elsewhere_is_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "weights.bin").write_bytes(W.tobytes())
    path = external(product(), folder, "x/weights.bin")
    made = onnx.ModelProto.FromString(path.read_bytes())
    made.graph.initializer[0].external_data[0].value = location
    saved(made, folder)
    with pytest.raises(BadInput, match="points outside of the model's folder"):
        read_model(path, RUNTIME)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    path = external(product(), folder)
    (folder / "weights.bin").rename(tmp_path / "secret.bin")
    (folder / "weights.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(BadInput, match="points outside of the model's folder"):
        read_model(path, RUNTIME)


def test_external_data_that_is_missing_or_short_is_refused(tmp_path: Path) -> None:
    path = external(product(), tmp_path)
    (tmp_path / "weights.bin").write_bytes(W.tobytes()[:-1])
    with pytest.raises(BadInput, match=r"ends at byte 64 of 'weights\.bin', which has 63"):
        read_model(path, RUNTIME)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(BadInput, match=r"'weights\.bin', which is missing beside the model"):
        read_model(path, RUNTIME)


@pytest.mark.parametrize("dims", [[10**12], [4, 5], [2**40, 2**40], [-4, -4]])
def test_a_tensor_that_claims_more_than_it_holds_is_refused(tmp_path: Path, dims: list[int]) -> None:
    made = product()
    del made.graph.initializer[0].dims[:]
    made.graph.initializer[0].dims.extend(dims)
    with pytest.raises(BadInput, match="tensor 'w'"):
        read_model(saved(made, tmp_path), RUNTIME)


@pytest.mark.parametrize("as_constant", [True, False])
def test_a_shape_that_fills_the_memory_is_refused(tmp_path: Path, as_constant: bool) -> None:
    shape = np.array([10**6, 10**6])
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["y"], name="bomb")]
    if as_constant:
        nodes.insert(0, helper.make_node("Constant", [], ["shape"], value=numpy_helper.from_array(shape)))
    made = model(nodes, weights={} if as_constant else {"shape": shape})
    with pytest.raises(BadInput, match=r"'bomb'.* asks for 1000000000000 elements"):
        read_model(saved(made, tmp_path), RUNTIME)


def test_an_operator_that_nobody_knows_is_refused_by_name(tmp_path: Path) -> None:
    made = model([helper.make_node("Frobnicate", ["x"], ["y"], name="frob_1")])
    with pytest.raises(
        Unsupported, match=r"operator Frobnicate \(opset 17, node 'frob_1'\) is not supported by python/onnx-reference"
    ):
        read_model(saved(made, tmp_path), RUNTIME)


def test_an_operator_in_a_subgraph_is_found_too(tmp_path: Path) -> None:
    def branch(operator: str) -> onnx.GraphProto:
        info = helper.make_tensor_value_info("z", FLOAT, None)
        return helper.make_graph([helper.make_node(operator, ["x"], ["z"], name=operator)], "branch", [], [info])

    node = helper.make_node("If", ["c"], ["y"], then_branch=branch("Relu"), else_branch=branch("Frobnicate"))
    made = model([node], weights={"c": np.array(True)})
    with pytest.raises(Unsupported, match="operator Frobnicate"):
        read_model(saved(made, tmp_path), RUNTIME)


def test_an_operator_of_a_later_opset_is_refused(tmp_path: Path) -> None:
    made = model([helper.make_node("Gelu", ["x"], ["y"])], opset=13)
    with pytest.raises(Unsupported, match=r"operator Gelu \(opset 13"):
        read_model(saved(made, tmp_path), RUNTIME)


@pytest.mark.parametrize(
    ("arguments", "message"), [({"opset": 999}, "opset 999 is newer"), ({"ir_version": 99}, "IR version 99 is newer")]
)
def test_versions_of_the_future_are_refused(tmp_path: Path, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        read_model(saved(product(**arguments), tmp_path), RUNTIME)


def test_an_invalid_graph_is_bad_input_in_one_line(tmp_path: Path) -> None:
    made = model([helper.make_node("Relu", ["nothing"], ["y"])])
    with pytest.raises(BadInput, match=r"not a valid ONNX model: .*nothing") as caught:
        read_model(saved(made, tmp_path), RUNTIME)
    assert "\n" not in str(caught.value)


def test_initializers_that_are_listed_as_inputs_need_not_be_given(tmp_path: Path) -> None:
    made, _ = batch_normalisation(9)
    made.graph.input.append(helper.make_tensor_value_info("s", FLOAT, (3,)))
    read = read_model(saved(made, tmp_path), RUNTIME)
    assert [info.name for info in inputs_of(read)] == ["x"]


def test_inputs_that_are_no_tensors_are_refused() -> None:
    info = helper.make_tensor_sequence_value_info("x", FLOAT, None)
    graph = helper.make_graph([helper.make_node("SequenceLength", ["x"], ["y"])], "g", [info], [])
    with pytest.raises(Unsupported, match="'x' is a sequence, not a tensor"):
        inputs_of(helper.make_model(graph))


def test_an_output_without_a_stated_shape_is_read(tmp_path: Path) -> None:
    made = product()
    made.graph.output[0].type.tensor_type.ClearField("shape")
    read = read_model(saved(made, tmp_path), RUNTIME)
    assert outputs_of(read)[0].shape is None


def test_a_sequence_of_maps_is_known_as_the_array_of_its_values() -> None:
    made = product()
    values = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    made.graph.output.append(helper.make_value_info("maps", helper.make_sequence_type_proto(values)))
    info = outputs_of(made)[-1]
    assert (info.name, info.dtype, info.shape) == ("maps", "float32", (None, None))
    assert plain_value(info, [{2: 0.25, 1: 0.75}, {1: 0.5, 2: 0.5}]).tolist() == [[0.75, 0.25], [0.5, 0.5]]
    assert plain_value(info, [{1: 0.5}], widened=True).dtype == "float64"
    with pytest.raises(Unsupported, match="different keys"):
        plain_value(info, [{1: 0.5}, {2: 0.5}])


def test_nodes_out_of_order_are_sorted_and_told(tmp_path: Path) -> None:
    body = helper.make_graph(
        [helper.make_node("Neg", ["h"], ["b"], name="inner")], "body", [], [onnx.ValueInfoProto(name="b")]
    )
    nodes = [
        helper.make_node("If", ["c"], ["y"], name="last", then_branch=body, else_branch=body),
        helper.make_node("MatMul", ["x", "w"], ["h"], name="product"),
        helper.make_node("Cast", ["s"], ["c"], name="cast", to=onnx.TensorProto.BOOL),
        helper.make_node("ReduceMax", ["h"], ["s"], name="largest", keepdims=0),
    ]
    made = model(nodes, weights={"w": W})
    read, moved = read_sorted(saved(made, tmp_path), RUNTIME)
    assert [node.name for node in read.graph.node] == ["product", "largest", "cast", "last"]
    assert moved == ["last", "cast"]
    told = meanings(structure(read, tmp_path / "model.onnx", moved))
    assert [one.message for one in told] == [
        "its nodes are out of order and were sorted: 'last' and 1 more before what is read there"
    ]
    assert meanings(structure(product(), tmp_path / "model.onnx")) == []


def test_nodes_that_read_each_other_are_refused(tmp_path: Path) -> None:
    made = model([helper.make_node("Add", ["x", "y"], ["h"]), helper.make_node("Neg", ["h"], ["y"])])
    with pytest.raises(BadInput, match="topologically sorted"):
        read_model(saved(made, tmp_path), RUNTIME)
