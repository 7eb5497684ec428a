"""Faults planted in one node of a target: the local error must name that node, and no other one before it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from asked import Asked
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx_models import FLOAT, model, saved

from harness.compare.layers import past_gate
from harness.compare.records import LayersComparison
from harness.errors import BadInputError, UnsupportedError, WorkerError
from harness.pipeline.layers import walk_layers
from harness.runtimes.table import RUNTIMES

Mutate = Callable[[ModelProto], None]
RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(16, 3, 12)).astype(np.float32)
KINDS = {"unsupported": UnsupportedError, "bad-input": BadInputError}


def weight(*shape: int) -> np.ndarray:
    return (RANDOM.normal(size=shape) / np.sqrt(np.prod(shape[1:]) or 1)).astype(np.float32)


WEIGHTS = {
    "w1": weight(8, 3, 3),
    "b1": weight(8),
    **{name: RANDOM.uniform(0.5, 1.5, 8).astype(np.float32) for name in ("s", "t", "m", "v")},
    "w2": weight(8, 8, 3),
    "b2": weight(8),
    "wd": weight(5, 8 * 8),
    "bd": weight(5),
    "axes": np.array([0, -1], np.int64),
}


def net() -> ModelProto:
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], name="first", kernel_shape=[3]),
        helper.make_node("BatchNormalization", ["c1", "s", "t", "m", "v"], ["n1"], name="norm", epsilon=1e-3),
        helper.make_node("LeakyRelu", ["n1"], ["a1"], name="leaky", alpha=0.01),
        helper.make_node("Conv", ["a1", "w2", "b2"], ["c2"], name="second", kernel_shape=[3]),
        helper.make_node("Relu", ["c2"], ["a2"], name="relu"),
        helper.make_node("Shape", ["a2"], ["size"], name="size"),
        helper.make_node("Constant", [], ["zero"], name="zero", value=numpy_helper.from_array(np.array([0]))),
        helper.make_node("Gather", ["size", "zero"], ["batch"], name="batch"),
        helper.make_node("Constant", [], ["rest"], name="rest", value=numpy_helper.from_array(np.array([-1]))),
        helper.make_node("Concat", ["batch", "rest"], ["flat"], name="flat", axis=0),
        helper.make_node("Reshape", ["a2", "flat"], ["r"], name="reshape"),
        helper.make_node("Gemm", ["r", "wd", "bd"], ["y"], name="dense", transB=1),
        helper.make_node("ArgMax", ["y"], ["label"], name="label", axis=1, keepdims=0),
        helper.make_node("Greater", ["y", "bd"], ["above"], name="above"),
    ]
    made = model(
        nodes,
        inputs=[("x", FLOAT, ("n", 3, 12))],
        outputs=[
            ("y", FLOAT, ("n", 5)),
            ("label", TensorProto.INT64, ("n",)),
            ("above", TensorProto.BOOL, ("n", 5)),
        ],
        weights=WEIGHTS,
    )
    onnx.checker.check_model(made)
    return made


class Target:
    """A runtime that, whatever file it loads, whole graph or single node, loads it as ``mutate`` leaves it."""

    def __init__(self, runtime: str, folder: Path, mutate: Mutate = lambda made: None) -> None:
        self._asked = Asked(runtime)
        self._mutate = mutate
        self._file = folder / "mutated.onnx"
        self.requests: list[str] = []

    def __call__(self, request: str, **arguments: Any) -> dict[str, Any]:
        self.requests.append(request)
        if request == "load":
            made = onnx.load(arguments["path"])
            self._mutate(made)
            self._file.write_bytes(made.SerializeToString())
            arguments["path"] = str(self._file)
        answer = self._asked.answer(request, **arguments)
        if not answer["ok"]:
            raise KINDS.get(answer["error"]["kind"], WorkerError)(answer["error"]["message"])
        result: dict[str, Any] = answer["result"]
        return result


def walk(made: ModelProto, folder: Path, target: Any, reference: Any = None, **options: Any) -> LayersComparison:
    path = saved(made, folder)
    reference = reference or Asked("python/onnx-reference")
    structure = folder / "structure.json"
    reference("structure", path=path, outputs=structure)
    scratch = folder / "scratch"
    scratch.mkdir()
    options = {"probe": {"x": X}, "samples": 8} | options
    found = walk_layers(
        target=target,
        reference=reference,
        model=path,
        structure=json.loads(structure.read_text()),
        scratch=scratch,
        **options,
    )
    assert list(scratch.iterdir()) == []
    return found


def attribute(node_name: str, name: str, value: float) -> Mutate:
    def mutate(made: ModelProto) -> None:
        for node in made.graph.node:
            for entry in node.attribute:
                if (node.name, entry.name) == (node_name, name):
                    entry.CopyFrom(helper.make_attribute(name, value))

    return mutate


def flipped(name: str) -> Mutate:
    def mutate(made: ModelProto) -> None:
        for tensor in made.graph.initializer:
            if tensor.name == name:
                turned = np.ascontiguousarray(numpy_helper.to_array(tensor)[..., ::-1])
                tensor.CopyFrom(numpy_helper.from_array(turned, name))

    return mutate


def lowest(made: ModelProto) -> None:
    """The smallest in place of the largest."""
    for node in made.graph.node:
        if node.name == "label":
            node.op_type = "ArgMin"


def test_a_clean_graph_names_no_node(tmp_path: Path) -> None:
    found = walk(net(), tmp_path, Target("python/onnxruntime", tmp_path))
    assert found.culprit is None
    assert found.past_gate == 0
    assert found.not_examined == []
    assert found.samples == 8
    rows = {row.tensor: row for row in found.rows}
    # Everything that computes, in the order of the graph; constants are no question.
    assert list(rows) == ["c1", "n1", "a1", "c2", "a2", "size", "batch", "flat", "r", "y", "label", "above"]
    assert {name for name, row in rows.items() if row.exact} == {"size", "batch", "flat", "label", "above"}
    for row in found.rows:
        assert row.local is not None
        assert row.accumulated is not None
        if row.exact:
            assert (row.floor_rms, row.local.unequal, row.local.rms_ratio) == (None, 0, None)
        else:
            assert row.local.rms_ratio <= 4
            assert row.accumulated.rms_ratio <= 4
    assert rows["r"].shape == (8, 64)
    assert rows["r"].local.rms_ratio == 0.0


@pytest.mark.parametrize(
    ("mutate", "node", "clean_before"),
    [
        (attribute("leaky", "alpha", 0.3), "leaky", ["c1", "n1"]),
        (attribute("norm", "epsilon", 1e-5), "norm", ["c1"]),
        (flipped("w2"), "second", ["c1", "n1", "a1"]),
        (flipped("w1"), "first", []),
    ],
)
def test_a_fault_is_placed_at_its_node_and_later_nodes_only_carry_it(
    tmp_path: Path, mutate: Mutate, node: str, clean_before: list[str]
) -> None:
    found = walk(net(), tmp_path, Target("python/onnxruntime", tmp_path, mutate))
    assert found.culprit is not None
    assert found.culprit.node == node
    # The one node alone is at fault, though all the tensors behind it are off.
    assert [row.node for row in found.rows if past_gate(row.local)] == [node]
    floating = [row for row in found.rows if not row.exact]
    off = [row.tensor for row in floating if past_gate(row.accumulated)]
    assert off == [row.tensor for row in floating if row.tensor not in clean_before]


def test_an_integer_node_is_held_to_equality(tmp_path: Path) -> None:
    found = walk(net(), tmp_path, Target("python/onnxruntime", tmp_path, lowest))
    assert found.culprit is not None
    assert (found.culprit.node, found.culprit.operator) == ("label", "ArgMax")
    (row,) = (row for row in found.rows if row.node == "label")
    assert row.local is not None
    assert row.local.unequal == 8


def test_the_culprit_comes_with_attributes_and_neighbours(tmp_path: Path) -> None:
    found = walk(net(), tmp_path, Target("python/onnxruntime", tmp_path, attribute("norm", "epsilon", 1e-5)))
    culprit = found.culprit
    assert culprit is not None
    assert culprit.operator == "BatchNormalization"
    assert float(culprit.attributes["epsilon"]) == pytest.approx(1e-3)
    assert [(entry.tensor, entry.operator) for entry in culprit.before][:2] == [("c1", "Conv"), ("s", "stored tensor")]
    assert [(entry.tensor, entry.operator, entry.node) for entry in culprit.after] == [("n1", "LeakyRelu", "leaky")]


def test_in_small_parts_nothing_changes_and_little_is_held(tmp_path: Path) -> None:
    """Streamed: no more tensors on disk than one part has."""
    folders = [tmp_path / name for name in ("whole", "parts")]
    for folder in folders:
        folder.mkdir()
    whole = walk(net(), folders[0], Target("python/onnxruntime", folders[0]))
    reference, most, held = Asked("python/onnx-reference"), 0, []

    def watched(request: str, **arguments: Any) -> dict[str, Any]:
        nonlocal most
        answer = reference(request, **arguments)
        if request == "cut":
            held.append(answer["held"])
            most = max(most, len(list(Path(arguments["out"]).glob("*.tensors.safetensors"))))
        return answer

    target = Target("python/onnxruntime", folders[1])
    told: list[dict[str, Any]] = []
    parts = walk(net(), folders[1], target, watched, tensors=2, progress=told.append)
    assert [entry["done"] for entry in told] == sorted({entry["done"] for entry in told})
    assert told[-1]["done"] == told[-1]["total"]
    # onnxruntime may fuse what is not asked for in this part, so that accumulated errors differ in their last bits.
    assert [row.model_copy(update={"accumulated": None}) for row in parts.rows] == [
        row.model_copy(update={"accumulated": None}) for row in whole.rows
    ]
    assert not any(past_gate(row.accumulated) for row in parts.rows)
    assert most == 2
    assert len(held) == 6
    # Of the graph's 15 tensors at most what later nodes still read.
    assert max(held) <= 4
    assert target.requests.count("activations") == 6


def test_a_long_chain_holds_one_tensor(tmp_path: Path) -> None:
    names = ["x", *(f"t{index}" for index in range(40)), "y"]
    nodes = [helper.make_node("Tanh", [before], [after], name=after) for before, after in itertools.pairwise(names)]
    made = model(nodes, inputs=[("x", FLOAT, ("n", 3, 12))], outputs=[("y", FLOAT, ("n", 3, 12))])
    reference, held = Asked("python/onnx-reference"), []

    def watched(request: str, **arguments: Any) -> dict[str, Any]:
        answer = reference(request, **arguments)
        held.extend([answer["held"]] if request == "cut" else [])
        return answer

    found = walk(made, tmp_path, Target("python/onnxruntime", tmp_path), watched, tensors=8)
    assert len(found.rows) == 41
    assert held == [1, 1, 1, 1, 1, 0]


def recurrence(steps: int) -> ModelProto:
    """Unrolled: every step reads the whole input, one weight and the state of the step before; the first state is stored."""
    nodes, state = [], "start"
    for step in range(steps):
        at = numpy_helper.from_array(np.array(step % 12, np.int64))
        nodes += [
            helper.make_node("Constant", [], [f"at{step}"], name=f"at{step}", value=at),
            helper.make_node("Gather", ["x", f"at{step}"], [f"g{step}"], name=f"pick{step}", axis=2),
            helper.make_node("Gemm", [f"g{step}", "w", state], [f"m{step}"], name=f"mix{step}"),
            helper.make_node("LeakyRelu", [f"m{step}"], [f"h{step}"], name=f"act{step}", alpha=0.9),
        ]
        state = f"h{step}"
    nodes.append(helper.make_node("Add", [state, "h0"], ["y"], name="last"))
    return model(
        nodes,
        inputs=[("x", FLOAT, ("n", 3, 12))],
        outputs=[("y", FLOAT, ("n", 3))],
        weights={"w": weight(3, 3), "start": np.zeros((1, 3), np.float32)},
    )


def test_a_long_graph_is_run_once_and_not_once_for_each_of_its_parts(tmp_path: Path) -> None:
    target, loaded = Target("python/onnxruntime", tmp_path), []

    def watched(request: str, **arguments: Any) -> dict[str, Any]:
        loaded.extend([Path(arguments["path"]).name] if request == "load" else [])
        return target(request, **arguments)

    found = walk(recurrence(60), tmp_path, watched, tensors=20)
    assert len(found.rows) == 181
    assert target.requests.count("activations") == 10
    assert loaded.count("model.onnx") == 1
    assert loaded.count("segment.onnx") == 10
    assert found.culprit is None
    assert all(row.accumulated is not None and row.accumulated.rms_ratio <= 4 for row in found.rows)
    assert not any("not known" in note for note in found.notes)


def test_a_fault_goes_on_from_part_to_part(tmp_path: Path) -> None:
    target = Target("python/onnxruntime", tmp_path, attribute("act20", "alpha", 0.5))
    made = recurrence(60)
    found = walk(made, tmp_path, target, tensors=20)
    assert found.culprit is not None
    assert found.culprit.node == "act20"
    off = [row.node for row in found.rows if past_gate(row.accumulated)]
    # Far beyond the part that it is in, and with what the target made of it, not the oracle.
    assert off[0] == "act20"
    assert {"act21", "mix25", "act30"} <= set(off)
    whole = tmp_path / "whole"
    whole.mkdir()
    other = Target("python/onnxruntime", whole, attribute("act20", "alpha", 0.5))
    rows = {row.node: row for row in walk(made, whole, other, tensors=1000).rows}
    for row in found.rows:
        assert row.accumulated is not None
        expected = rows[row.node].accumulated
        assert expected is not None
        assert row.accumulated.rms_ratio == pytest.approx(expected.rms_ratio, rel=0.3, abs=2)


def test_where_a_part_cannot_go_on_the_whole_model_is_run_for_it(tmp_path: Path) -> None:
    target = Target("python/onnxruntime", tmp_path)
    number = 0

    def refusing(request: str, **arguments: Any) -> dict[str, Any]:
        nonlocal number
        if request == "load" and Path(arguments["path"]).name == "segment.onnx":
            number += 1
            if number == 2:
                raise UnsupportedError("not in this mood")
        return target(request, **arguments)

    found = walk(recurrence(60), tmp_path, refusing, tensors=40)
    assert number == 2
    assert all(row.accumulated is not None and row.accumulated.rms_ratio <= 4 for row in found.rows)


def sharpened(made: ModelProto) -> None:
    """Another slope in the branch of an If."""
    for node in made.graph.node:
        for entry in node.attribute:
            if node.op_type == "If" and entry.name == "then_branch":
                entry.g.node[0].attribute[0].f = 0.5


def test_a_node_with_a_subgraph_is_one_node_with_what_it_reads_around_it(tmp_path: Path) -> None:
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node("LeakyRelu", ["h"], [name], alpha=alpha)],
            name,
            [],
            [helper.make_tensor_value_info(name, FLOAT, None)],
        )
        for name, alpha in (("then", 0.25), ("else", 0.75))
    }
    nodes = [
        helper.make_node("Tanh", ["x"], ["h"], name="before"),
        helper.make_node("If", ["switch"], ["i"], name="choose", **branches),
        helper.make_node("Exp", ["i"], ["y"], name="after"),
    ]
    made = model(
        nodes,
        inputs=[("x", FLOAT, ("n", 3, 12))],
        outputs=[("y", FLOAT, ("n", 3, 12))],
        weights={"switch": np.array(True)},
    )
    found = walk(made, tmp_path, Target("python/onnxruntime", tmp_path))
    assert found.not_examined == []
    assert found.culprit is None
    assert all(row.local is not None and row.local.rms_ratio <= 4 for row in found.rows)
    (tmp_path / "faulty").mkdir()
    found = walk(made, tmp_path / "faulty", Target("python/onnxruntime", tmp_path, sharpened))
    assert found.culprit is not None
    assert (found.culprit.node, found.culprit.operator) == ("choose", "If")


def test_the_note_of_the_targets_row_stands_with_its_errors(tmp_path: Path) -> None:
    note = RUNTIMES["python/onnxruntime"].inner_values_note
    assert "fused" in note
    assert {row.inner_values_note for row in RUNTIMES.values() if row.engine == "onnxruntime"} == {note}
    found = walk(net(), tmp_path, Target("python/onnxruntime", tmp_path), note=note)
    assert found.notes == [note]


def test_a_node_that_the_target_refuses_is_named_and_the_others_are_examined(tmp_path: Path) -> None:
    target = Target("python/onnxruntime", tmp_path)

    def refusing(request: str, **arguments: Any) -> dict[str, Any]:
        if request == "load" and "00003" in str(arguments["path"]):
            raise UnsupportedError("operator Conv is not supported here")
        return target(request, **arguments)

    found = walk(net(), tmp_path, refusing)
    assert found.not_examined == ["Conv 'second': operator Conv is not supported here"]
    assert [row.node for row in found.rows if row.local is None] == ["second"]
    assert found.culprit is None


@pytest.mark.parametrize(("bad", "survives"), [({"00003"}, True), ({"00001", "00003", "00004"}, False)])
def test_a_worker_that_breaks_at_a_node_is_asked_again_but_not_for_ever(
    tmp_path: Path, bad: set[str], survives: bool
) -> None:
    target = Target("python/onnxruntime", tmp_path)

    def breaking(request: str, **arguments: Any) -> dict[str, Any]:
        if request == "predict" and Path(arguments["inputs"]).name.partition(".")[0] in bad:
            raise WorkerError("the worker died")
        return target(request, **arguments)

    if not survives:
        with pytest.raises(WorkerError, match="died"):
            walk(net(), tmp_path, breaking)
        return
    found = walk(net(), tmp_path, breaking)
    assert found.not_examined == ["Conv 'second': it broke there: the worker died"]
    assert [row.node for row in found.rows if row.local is None] == ["second"]
    assert all(row.accumulated is not None for row in found.rows)


def test_a_model_with_a_fixed_batch_gets_that_many_samples(tmp_path: Path) -> None:
    made = model(
        [helper.make_node("Tanh", ["x"], ["y"], name="only")],
        inputs=[("x", FLOAT, (5, 3, 12))],
        outputs=[("y", FLOAT, (5, 3, 12))],
    )
    found = walk(made, tmp_path, Target("python/onnxruntime", tmp_path))
    assert found.samples == 5
    assert found.rows[0].shape == (5, 3, 12)


def test_cut_refuses_what_it_cannot_use(tmp_path: Path, ask: Callable[[str], Asked]) -> None:
    path, reference = saved(net(), tmp_path), ask("python/onnx-reference")
    assert "no such file" in reference.refused("bad-input", "cut", path=path, inputs="/none", out=tmp_path)
    assert "no such folder" in reference.refused("bad-input", "cut", path=path, inputs=path, out="/none")
    assert "tensors" in reference.refused("bad-input", "cut", path=path, inputs=path, out=tmp_path, tensors=0)
