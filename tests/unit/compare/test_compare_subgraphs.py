"""Bodies of loops and branches of conditions as parts of the graph around them: small graphs, node by node."""

from __future__ import annotations

from typing import Any

import pytest
from small_graphs import Written, floats, structure

from harness.compare.graph import Graph
from harness.compare.subgraphs import all_nodes, bodies, flattened, stated, stored


def body(*nodes: Written, inputs: str, outputs: str, values: Any = None) -> dict[str, Any]:
    return {"graph": structure(*nodes, inputs=inputs, outputs=outputs, values=values)}


def lines(written: Any) -> list[str]:
    """``operator: inputs -> outputs`` of every node of the flat graph, in its order."""
    return [
        f"{node['operator']}: {' '.join(node['inputs'])} -> {' '.join(node['outputs'])}"
        for node in flattened(written)["nodes"]
    ]


def initializers(written: Any) -> list[str]:
    return [entry["name"] for entry in flattened(written)["initializers"]]


#: A step takes number, condition, state s and weight k, gives condition, new state, weight and what it shows.
STEP = body(
    ("Add", "s k", "s2"),
    ("Identity", "on", "on2"),
    ("Identity", "k", "k2"),
    ("Mul", "s2 r", "v"),
    inputs="step on s k",
    outputs="on2 s2 k2 v",
)
LOOP: Written = ("Loop", "n - z w", "a b y", {"body": STEP})


def test_bodies_are_told_in_the_order_of_their_attributes() -> None:
    one, two, three = ({"graph": structure(inputs=name)} for name in "abc")
    node = {"attributes": {"then": one, "axis": 1, "else": two, "many": [three, 4, {"tensor": {}}, {"graph": 7}]}}
    assert [(name, found["inputs"][0]["name"]) for name, found in bodies(node)] == [
        ("else", "b"),
        ("many", "c"),
        ("then", "a"),
    ]
    assert list(bodies({})) == list(bodies({"attributes": None})) == []


def test_every_node_and_initializer_is_told_however_deep() -> None:
    inner = body(("Relu", "e", "f"), inputs="e", outputs="f", values={"deep": 0})
    outer = body(("If", "c", "g", {"then": inner}), ("Neg", "g", "h"), inputs="c", outputs="h", values={"w": 0})
    written = structure(("Exp", "x", "t"), ("Loop", "t", "y", {"body": outer}), values={"top": 0})
    assert [node["operator"] for node in all_nodes(written)] == ["Exp", "Loop", "If", "Relu", "Neg"]
    assert [entry["name"] for entry in stored(written)] == ["top", "w", "deep"]


def test_weights_in_constant_nodes_are_told_with_type_and_shape() -> None:
    def constant(operator: str, name: str, value: Any) -> Written:
        return operator, "", name, {"value": value}

    def tensor(dtype: str, *shape: int) -> dict[str, Any]:
        return {"tensor": {"dtype": dtype, "shape": list(shape), "values": []}}

    inside = body(constant("Constant", "deep", tensor("float16", 3)), inputs="", outputs="")
    written = structure(
        constant("Constant", "w", tensor("float32", 2, 3)),
        constant("ConstantOfShape", "other", tensor("float32", 2)),
        constant("Constant", "scalar", tensor("float32")),
        constant("Constant", "count", tensor("int64", 2)),
        constant("Constant", "number", 3.0),
        constant("Constant", "bare", {"tensor": 5}),
        ("Constant", "", "nothing"),
        constant("Constant", "typeless", {"tensor": {"shape": [2]}}),
        ("If", "c", "y", {"then": inside}),
        constant("Constant", "last", tensor("float64", 1)),
    )
    del written["nodes"][6]["attributes"]
    assert list(stated(written)) == [
        {"name": "w", "dtype": "float32", "shape": [2, 3]},
        {"name": "deep", "dtype": "float16", "shape": [3]},
        {"name": "last", "dtype": "float64", "shape": [1]},
    ]


def test_a_graph_without_inner_ones_is_given_back_as_it_is() -> None:
    written = structure(("Relu", "x", "y"))
    assert flattened(written) is written


def test_a_loop_hands_over_states_and_what_it_shows() -> None:
    written = structure(("Exp", "x", "r"), LOOP, ("Neg", "y", "o"), values={"w": 0, "z": 0}, outputs="o", more=7)
    assert lines(written) == [
        "Exp: x -> r",
        "Add: s k -> s2",
        "Identity: on -> on2",
        "Identity: k -> k2",
        "Mul: s2 r -> v",
        # Everything that the loop reads: what it starts from, and what its body takes from around it.
        "Carried: z n z w r -> s",
        "Identity: w -> k",
        "Carried: s2 -> a",
        "Identity: k2 -> b",
        "Stacked: v -> y",
        "Neg: y -> o",
    ]
    flat = flattened(written)
    assert (flat["inputs"], flat["outputs"], flat["more"]) == (written["inputs"], written["outputs"], 7)
    made = {node["outputs"][0]: node for node in flat["nodes"]}
    assert made["s"] == {
        "name": "Loop_1",
        "operator": "Carried",
        "domain": "harness.loop",
        "inputs": ["z", "n", "z", "w", "r"],
        "outputs": ["s"],
        "attributes": {},
    }
    assert (made["k"]["domain"], made["y"]["domain"], made["k"]["name"]) == ("", "harness.loop", "Loop_1")
    graph = Graph(flat, {"w": floats(2)})
    assert [graph.flows(name) for name in ("s", "y", "o", "k", "b")] == [True, True, True, False, False]
    constant = graph.constant("b")
    assert constant is not None
    assert constant.name == "w"


def test_what_joins_a_loop_without_a_name_is_called_as_its_operator() -> None:
    written = structure(LOOP, values={"w": 0, "z": 0, "r": 0})
    del written["nodes"][0]["name"]
    assert {node["name"] for node in flattened(written)["nodes"][4:]} == {"Loop"}


@pytest.mark.parametrize(
    ("attributes", "inputs", "joined"),
    [
        (
            {"num_scan_inputs": 1},
            "z w x",
            ["Carried: z z w x r -> s", "Identity: w -> k", "Sliced: x -> e", "Carried: s2 -> a"],
        ),
        # Before opset 9 the lengths of the sequences came first.
        (
            {"num_scan_inputs": 1},
            "l z w x",
            ["Carried: z z w x r -> s", "Identity: w -> k", "Sliced: x -> e", "Carried: s2 -> a"],
        ),
        (
            {"num_scan_inputs": 2},
            "z w x",
            ["Carried: z z w x r -> s", "Sliced: w -> k", "Sliced: x -> e", "Carried: s2 -> a"],
        ),
        ({}, "z w x", ["Carried: z z w x r -> s", "Identity: w -> k", "Carried: x z w x r -> e", "Carried: s2 -> a"]),
    ],
)
def test_a_scan_goes_along_its_last_inputs(attributes: dict[str, Any], inputs: str, joined: list[str]) -> None:
    step = body(("Add", "s e", "s2"), ("Identity", "k", "k2"), ("Mul", "s2 r", "v"), inputs="s k e", outputs="s2 k2 v")
    written = structure(
        ("Scan", inputs, "a b y", {"body": step} | attributes), values=dict.fromkeys(["z", "w", "l", "r"], 0)
    )
    found = lines(written)
    assert found[:3] == ["Add: s e -> s2", "Identity: k -> k2", "Mul: s2 r -> v"]
    assert found[3 : 3 + len(joined)] == joined
    last = {1: ["Identity: k2 -> b", "Stacked: v -> y"], 2: ["Stacked: k2 -> b", "Stacked: v -> y"]}
    sliced = attributes.get("num_scan_inputs", 0)
    assert found[3 + len(joined) :] == last.get(sliced, ["Identity: k2 -> b", "Carried: v -> y"])


def test_a_weight_that_is_handed_on_without_a_node_is_the_same() -> None:
    """As a result that is an input, or through several Identity nodes; not where another state is given back."""
    step = body(
        ("Identity", "k", "k2"),
        ("Identity", "k2", "k3"),
        ("Identity", "p", "q2"),
        ("Identity", "q", "p2"),
        inputs="step on j k p q",
        outputs="on j k3 p2 q2",
    )
    written = structure(("Loop", "n c w1 w2 w3 w4", "a b d e", {"body": step}), values=dict.fromkeys("nc", 0))
    assert lines(written)[4:] == [
        "Identity: w1 -> j",
        "Identity: w2 -> k",
        "Carried: w3 n c w1 w2 w3 w4 -> p",
        "Carried: w4 n c w1 w2 w3 w4 -> q",
        "Identity: j -> a",
        "Identity: k3 -> b",
        "Carried: p2 -> d",
        "Carried: q2 -> e",
    ]


def test_outputs_and_inputs_that_are_left_out_stay_so() -> None:
    step = body(("Add", "s k", "s2"), inputs="step on s k", outputs="on s2 k")
    found = flattened(structure(("Loop", "n - z -", "- b", {"body": step}), values={"z": 0}))["nodes"]
    assert [(node["operator"], node["inputs"], node["outputs"]) for node in found[1:]] == [
        ("Carried", ["z", "n", "z"], ["s"]),
        ("Identity", [], ["k"]),
        ("Carried", ["s2"], [""]),
        ("Identity", ["k"], ["b"]),
    ]


def branch(*nodes: Written, outputs: str, values: Any = None) -> dict[str, Any]:
    return body(*nodes, inputs="", outputs=outputs, values=values)


def test_branches_are_chosen_from() -> None:
    written = structure(
        (
            "If",
            "c",
            "y z",
            {
                "then_branch": branch(("Mul", "x w", "p"), ("Neg", "p", "q"), outputs="p q", values={"w": 1}),
                "else_branch": branch(("Add", "x w", "p"), outputs="p", values={"w": 1}),
            },
        ),
        values={"top": 0},
    )
    assert lines(written) == [
        "Add: x w -> p",
        "Mul: x w#2 -> p#2",
        "Neg: p#2 -> q",
        "Chosen: c p p#2 -> y",
        "Chosen: c q -> z",
    ]
    assert initializers(written) == ["top", "w", "w#2"]
    assert [entry["name"] for entry in written["initializers"]] == ["top"]


def test_a_node_with_several_bodies_is_no_loop_that_is_known() -> None:
    written = structure(
        ("Loop", "n c x", "y", {"body": branch(outputs="x"), "other": branch(outputs="n")}), values={"n": 0, "c": 0}
    )
    assert lines(written) == ["Chosen: n c x x n -> y"]
    unknown = structure(("Repeat", "x", "y", {"body": branch(("Neg", "x", "t"), outputs="t")}))
    assert lines(unknown) == ["Neg: x -> t", "Chosen: x t -> y"]


def test_names_are_unique_from_the_outermost_graph_on() -> None:
    """An inner name that stands outside too is another tensor; names from outside are read by all within."""
    deep = branch(("Neg", "t", "t2"), ("Neg", "k", "k"), outputs="t2")
    middle = branch(("Exp", "x", "t"), ("If", "c", "k", {"then": deep}), outputs="k")
    written = structure(("If", "c", "k", {"then": middle}), ("Neg", "k", "t"), ("Neg", "t", "y"), inputs="x c")
    assert lines(written) == [
        "Exp: x -> t#2",
        "Neg: t#2 -> t2",
        "Neg: k#3 -> k#3",
        "Chosen: c t2 -> k#2",
        "Chosen: c k#2 -> k",
        "Neg: k -> t",
        "Neg: t -> y",
    ]


def test_what_a_body_reads_from_around_it_is_told_however_deep() -> None:
    """Also as a result that it only hands out; names of its own, and of graphs within it, are not from around it."""
    deep = branch(("Add", "p s", "q"), ("Add", "q own", "o"), outputs="g")
    step = body(
        ("Exp", "s", "own"),
        ("If", "c", "s2", {"then": deep}),
        ("Mul", "s2 - p", "v"),
        inputs="step on s",
        outputs="on s2 v h",
    )
    written = structure(("Loop", "n - z", "a b d", {"body": step}), values=dict.fromkeys("nzpgch", 0))
    carried = next(line for line in lines(written) if line.startswith("Carried: z"))
    # In the order in which they are first read.
    assert carried == "Carried: z n z c p g h -> s"


def test_bodies_read_renamed_tensors_by_their_new_names() -> None:
    step = body(("Add", "s r", "s2"), inputs="step on s", outputs="on s2")
    inner = branch(("Exp", "x", "r"), ("Loop", "n - z", "a", {"body": step}), outputs="a")
    written = structure(("Neg", "x", "r"), ("If", "r", "y", {"then": inner}), values={"n": 0, "z": 0})
    assert "Carried: z n z r#2 -> s" in lines(written)
    assert "Add: s r#2 -> s2" in lines(written)


def test_weights_are_handed_on_by_bodies_whose_tensors_are_renamed() -> None:
    """Two loops with one and the same body: the names of the second are others, the weight is the weight."""
    step = body(("Add", "s k", "s2"), ("Identity", "k", "k2"), inputs="step on s k", outputs="on s2 k2")
    loop = {"body": step}
    written = structure(
        ("Loop", "n - x w", "a b", loop), ("Loop", "n - a v", "y d", loop), values=dict.fromkeys("nwv", 0)
    )
    assert lines(written)[8:] == [
        "Carried: a n a v -> s#2",
        "Identity: v -> k#2",
        "Carried: s2#2 -> y",
        "Identity: k2#2 -> d",
    ]


def test_an_output_that_the_body_does_not_give_is_made_by_nothing() -> None:
    step = body(("Neg", "s", "s2"), inputs="step on s", outputs="on s2")
    written = structure(("Loop", "n - x", "y more", {"body": step}), values={"n": 0})
    assert lines(written) == ["Neg: s -> s2", "Carried: x n x -> s", "Carried: s2 -> y"]
