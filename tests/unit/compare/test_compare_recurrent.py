"""Parameters of recurrent layers in the bodies of loops, gate by gate, against the canonical ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from recurrent_graphs import COLUMNS, FRAMES, ROWS, draw_parameters, export, specification  # noqa: E402

from harness.compare.graph import Graph  # noqa: E402
from harness.compare.parameters import compare_parameters  # noqa: E402
from harness.compare.records import Verdict  # noqa: E402
from harness.compare.subgraphs import flattened  # noqa: E402
from harness.workers.onnx.file import stored  # noqa: E402
from harness.workers.onnx.reference import ReferenceModel, run_model  # noqa: E402
from harness.workers.onnx.structure import structure  # noqa: E402

SPEC = specification()
WEIGHTS = draw_parameters(SPEC)
HELD = pytest.mark.parametrize("inside", [False, True], ids=["handed-on", "in-the-body"])


def compared(model: Any, spec: Any = SPEC, source: Any = None) -> Any:
    held = {name: onnx.numpy_helper.to_array(tensor) for name, tensor in stored(model).items()}
    return compare_parameters(spec, WEIGHTS if source is None else source, structure(model, Path(__file__)), held)


def relations(found: Any) -> dict[str, str]:
    return {row.name: row.relation for row in found.rows}


@HELD
def test_gates_that_are_convolved_apart_are_one_weight_bit_for_bit(inside: bool) -> None:
    found = compared(export(SPEC, WEIGHTS, inside=inside))
    norm = {f"norm1.{part}": "folded" for part in ("weight", "bias", "running_mean", "running_var")}
    assert relations(found) == {parameter.name: "equal" for parameter in SPEC.parameters} | norm
    assert found.verdict is Verdict.EQUIVALENT
    row = next(row for row in found.rows if row.name == "lstm1.weight")
    assert row.note == "convolved gate by gate, frame and hidden state apart; joined in the order ifog"


@pytest.mark.parametrize("activation", ["linear", "tanh"])
@pytest.mark.parametrize("order", ["ifog", "iofg"])
def test_gates_are_told_by_the_part_they_play(order: str, activation: str) -> None:
    spec = specification(cell_activation=activation, gate_order=order)

    def reordered(value: np.ndarray) -> np.ndarray:
        parts = dict(zip("ifog", np.split(value, 4), strict=True))
        return np.concatenate([parts[gate] for gate in order])

    source = {name: reordered(value) if name.startswith("lstm") else value for name, value in WEIGHTS.items()}
    assert relations(compared(export(spec, WEIGHTS), spec, source))["lstm1.weight"] == "equal"


def test_gates_are_in_the_order_ifog_where_the_model_names_none() -> None:
    unnamed = {name: value for name, value in SPEC.hyperparameters.items() if name != "gate_order"}
    found = compared(export(SPEC, WEIGHTS), SPEC.model_copy(update={"hyperparameters": unnamed}))
    assert relations(found)["lstm1.weight"] == relations(found)["lstm2.weight"] == "equal"


@HELD
@pytest.mark.parametrize("name", ["lstm1.weight", "lstm2.weight", "lstm2.bias", "output.weight"])
def test_one_weight_off_by_one_ulp_in_a_body_is_found(name: str, inside: bool) -> None:
    wrong = {key: value.copy() for key, value in WEIGHTS.items()}
    wrong[name].flat[-1] = np.nextafter(wrong[name].flat[-1], np.float32(9))
    found = compared(export(SPEC, wrong, inside=inside))
    assert found.verdict is Verdict.DIVERGENT
    (row,) = (row for row in found.rows if row.relation == "unequal")
    assert (row.name, row.differing, row.max_ulp) == (name, 1, 1)


def test_gates_of_another_order_are_found() -> None:
    wrong = dict(WEIGHTS)
    i, f, o, g = np.split(WEIGHTS["lstm1.weight"], 4)
    wrong["lstm1.weight"] = np.concatenate([i, f, g, o])
    found = compared(export(SPEC, wrong))
    (row,) = (row for row in found.rows if row.name == "lstm1.weight")
    assert found.verdict is Verdict.DIVERGENT
    assert row.relation in ("permuted", "unequal")


def test_epsilon_of_another_framework_is_found_in_arithmetic_after_an_activation() -> None:
    wrong = {**WEIGHTS, "norm1.running_var": WEIGHTS["norm1.running_var"] + np.float32(1e-2)}
    found = compared(export(SPEC, wrong))
    assert found.verdict is Verdict.DIVERGENT
    assert relations(found)["norm1.weight"] == "unequal"
    assert "does not hold" in next(row.note for row in found.rows if row.name == "norm1.weight")


@HELD
def test_the_reference_runs_the_loop_in_both_precisions_and_tells_what_a_body_holds(inside: bool) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model = export(SPEC, WEIGHTS, inside=inside)
    x = np.random.default_rng(2).random((2, 1, FRAMES, ROWS, COLUMNS), np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    wanted = session.run(None, {"x": x})[0]
    single, double = run_model(model, "float32", {"x": x}), run_model(model, "float64", {"x": x.astype(np.float64)})
    assert single["forecast"].dtype == np.float32
    assert double["forecast"].dtype == np.float64
    assert np.abs(single["forecast"] - wanted).max() < 1e-6
    assert np.abs(double["forecast"] - wanted).max() < 1e-6
    for precision in ("float32", "float64"):
        held = ReferenceModel(model, precision).parameters()
        assert set(held) == set(stored(model))
        for name, tensor in stored(model).items():
            assert held[name].tobytes() == onnx.numpy_helper.to_array(tensor).tobytes()


def test_equal_names_beside_each_other_are_told_apart() -> None:
    branches = [
        onnx.helper.make_graph(
            [onnx.helper.make_node("Mul", ["x", "w"], [f"{place}.y"])],
            place,
            [],
            [onnx.helper.make_tensor_value_info(f"{place}.y", onnx.TensorProto.FLOAT, None)],
            [onnx.numpy_helper.from_array(np.full(2, value, np.float32), "w")],
        )
        for place, value in (("then", 1), ("else", 2))
    ]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1])],
        "graph",
        [
            onnx.helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, []),
            onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2]),
        ],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    held = {name: float(onnx.numpy_helper.to_array(tensor)[0]) for name, tensor in stored(model).items()}
    assert held == {"w": 1.0, "w#2": 2.0} or held == {"w": 2.0, "w#2": 1.0}
    flat = Graph(flattened(structure(model, Path(__file__))), {name: np.array([value]) for name, value in held.items()})
    products = {node.inputs[1]: node.outputs[0] for node in flat.nodes if node.operator == "Mul"}
    first = model.graph.node[0].attribute[0].name.removesuffix("_branch")
    assert products == {"w": f"{first}.y", "w#2": f"{'else' if first == 'then' else 'then'}.y"}
    chosen = next(node for node in flat.nodes if node.operator == "Chosen")
    assert set(chosen.inputs) == {"c", "then.y", "else.y"}
    assert flat.flows("y")


def test_a_scan_hands_over_states_and_slices() -> None:
    inner = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Add", ["s", "e"], ["s2"]),
            onnx.helper.make_node("Identity", ["k"], ["k2"]),
            onnx.helper.make_node("Mul", ["s2", "k"], ["v"]),
        ],
        "body",
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("s", "k", "e")],
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("s2", "k2", "v")],
    )
    node = onnx.helper.make_node("Scan", ["zero", "weight", "x"], ["a", "b", "y"], body=inner, num_scan_inputs=1)
    graph = onnx.helper.make_graph(
        [node],
        "graph",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [3, 2])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [3, 2])],
        [onnx.numpy_helper.from_array(np.ones(2, np.float32), name) for name in ("zero", "weight")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    flat = Graph(flattened(structure(model, Path(__file__))), {"weight": np.ones(2), "zero": np.zeros(2)})
    by_output = {node.outputs[0]: (node.operator, set(node.inputs)) for node in flat.nodes}
    assert by_output["s"] == ("Carried", {"zero", "weight", "x"})
    assert by_output["k"] == ("Identity", {"weight"})
    assert by_output["e"] == ("Sliced", {"x"})
    assert by_output["y"] == ("Stacked", {"v"})
    assert by_output["a"][0] == "Carried"
    # What is handed on as it came is a constant still, and has the name that it is stored under.
    constant = flat.constant("k")
    assert constant is not None
    assert constant.name == "weight"
    assert flat.flows("s")
    assert not flat.flows("b")
