"""Gates of a recurrent cell as one convolution, and steps of an unrolled one as one operation: small graphs by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_graphs import Written, floats, graph

from harness.compare.graph import Graph, Node
from harness.compare.recurrent import join_gates, unrolled
from harness.compare.roles import Linear, StoredTensor, find_roles

# --- steps of a loop that is unrolled -----------------------------------------------------------------------------------


def operation(weight: StoredTensor, bias: StoredTensor | None = None, kind: Any = "dense", **more: Any) -> Linear:
    return Linear(Node("n", "Gemm", (), ()), kind, weight, bias, **more)


def stored(name: str, *values: float) -> StoredTensor:
    return StoredTensor(name, np.float32(values) if values else None)


def test_steps_with_the_same_bits_are_one_operation() -> None:
    steps = [operation(stored(f"w{step}", 1, 2), stored(f"b{step}", 3)) for step in range(3)]
    other = operation(stored("v", 1, 3), stored("b1", 3))
    once, left_out = unrolled([steps[0], other, *steps[1:]])
    assert once == [steps[0], other]
    assert (steps[0].notes, steps[0].copies) == (["used by 3 nodes in 3 copies"], 3)
    assert (other.notes, other.copies) == ([], 1)
    # One that another operation still uses is not left out.
    assert left_out == ["b2", "w1", "w2"]


def test_one_tensor_that_is_used_twice_has_no_copies() -> None:
    twice = [operation(stored("w", 1), notes=["turned"]) for _ in range(2)]
    once, left_out = unrolled(twice)
    assert (len(once), once[0].notes, once[0].copies, left_out) == (1, ["turned", "used by 2 nodes"], 1, [])


def test_two_copies_are_told() -> None:
    once, left_out = unrolled([operation(stored("a", 1)), operation(stored("b", 1))])
    assert (once[0].notes, once[0].copies, left_out) == (["used by 2 nodes in 2 copies"], 2, ["b"])


def test_operations_that_differ_in_anything_are_kept() -> None:
    linears = [
        operation(stored("a", 1), stored("b", 1)),
        operation(stored("c", 1), stored("d", 2)),
        operation(stored("e", 1)),
        operation(stored("f", 1), stored("g", 1), "convolution"),
        operation(StoredTensor("h", np.float64([1])), stored("i", 1)),
        operation(StoredTensor("j", np.float32([[1]])), stored("k", 1)),
    ]
    once, left_out = unrolled(linears)
    assert (once, left_out) == (linears, [])
    assert [one.copies for one in once] == [1] * 6


def test_what_is_not_reported_is_told_apart_by_name() -> None:
    named = [operation(stored("w")), operation(stored("v")), operation(stored("w"))]
    once, _ = unrolled(named)
    assert once == named[:2]
    assert named[0].notes == ["used by 2 nodes"]
    nameless = [operation(stored("")), operation(stored(""))]
    assert unrolled(nameless)[0] == nameless
    biases = [operation(stored("w", 1), stored(name)) for name in ("", "", "b", "b")]
    assert len(unrolled(biases)[0]) == 3


def test_the_parts_of_a_joined_copy_are_left_out() -> None:
    values = np.float32([1, 2])
    first, again = (operation(StoredTensor(name, values, stored=tuple(name))) for name in ("ab", "cd"))
    assert unrolled([first, again])[1] == ["c", "d"]


# --- gates of a cell ----------------------------------------------------------------------------------------------------

GATES = "ifog"
ACTIVATIONS = {"i": "Sigmoid", "f": "Sigmoid", "o": "Sigmoid", "g": "Tanh"}


def cell(mark: str = "", frame: str = "x", order: str = GATES, state: str = "Carried", **changed: Any) -> list[Written]:
    """One step: convolutions of frame and hidden state for every gate, and what becomes of their sums.

    ``changed``: other nodes by the name of what they give, with ``{m}`` in place of the mark.
    """
    nodes: list[Written] = [(state, "x x", "h{m}"), (state, "x x", "c{m}")]
    for gate in order:
        nodes.append(("Conv", f"{frame} u{gate}{{m}} b{gate}{{m}}", f"p{gate}{{m}}"))
        nodes.append(("Conv", f"h{{m}} v{gate}{{m}}", f"q{gate}{{m}}"))
        nodes.append(("Add", f"p{gate}{{m}} q{gate}{{m}}", f"s{gate}{{m}}"))
        nodes.append((ACTIVATIONS[gate], f"s{gate}{{m}}", f"a{gate}{{m}}"))
    nodes += [
        ("Mul", "ai{m} ag{m}", "new{m}"),
        ("Mul", "af{m} c{m}", "kept{m}"),
        ("Add", "kept{m} new{m}", "d{m}"),
        ("Tanh", "d{m}", "t{m}"),
        ("Mul", "ao{m} t{m}", "y{m}"),
    ]
    written: list[Written] = []
    for node in nodes:
        written += changed.get(node[2].replace("{m}", ""), [node])
    return [(operator, given.format(m=mark), made.format(m=mark), *rest) for operator, given, made, *rest in written]  # type: ignore[misc]


def weights(mark: str = "", start: int = 0) -> dict[str, Any]:
    """Of every gate: frame (2, 3, 1), state (2, 2, 1) and bias (2,), all numbers different."""
    held = {}
    for place, gate in enumerate(GATES):
        held[f"u{gate}{mark}"] = floats(2, 3, 1, start=start + 100 * place)
        held[f"v{gate}{mark}"] = floats(2, 2, 1, start=start + 100 * place + 10)
        held[f"b{gate}{mark}"] = floats(2, start=start + 100 * place + 20)
    return held


def joined(nodes: list[Written], values: dict[str, Any], order: str = GATES, **options: Any) -> list[Linear]:
    written = graph(*nodes, values=values, **options)
    return join_gates(written, find_roles(written).linears, order)


def unchanged(nodes: list[Written], values: dict[str, Any] | None = None, **options: Any) -> bool:
    written = graph(*nodes, values=weights() if values is None else values, **options)
    found = find_roles(written).linears
    assert len(found) >= 6
    return join_gates(written, found, GATES) == found


ROWS = {
    # Of the first filter: frame, then state; of the second the same.
    "i": [[0, 1, 2, 10, 11], [3, 4, 5, 12, 13]],
    "f": [[100, 101, 102, 110, 111], [103, 104, 105, 112, 113]],
    "o": [[200, 201, 202, 210, 211], [203, 204, 205, 212, 213]],
    "g": [[300, 301, 302, 310, 311], [303, 304, 305, 312, 313]],
}
BIASES = {"i": [20, 21], "f": [120, 121], "o": [220, 221], "g": [320, 321]}


def is_cell(one: Linear, order: str = GATES) -> bool:
    assert one.weight.value is not None
    return one.weight.value.squeeze(-1).tolist() == [row for gate in order for row in ROWS[gate]]


@pytest.mark.parametrize("order", ["ifog", "iofg", "gofi"])
@pytest.mark.parametrize("written", ["ifog", "gifo", "fgoi"])
def test_eight_convolutions_are_one_in_the_order_of_the_model(order: str, written: str) -> None:
    (one,) = joined(cell(order=written), weights(), order)
    assert one.weight.value is not None
    assert (one.weight.value.shape, one.weight.value.dtype) == ((8, 5, 1), np.float32)
    assert is_cell(one, order)
    names = [f"{part}{gate}" for gate in order for part in "uv"]
    assert (one.weight.name, one.weight.names) == (", ".join(names), tuple(names))
    assert one.weight.note == f"convolved gate by gate, frame and hidden state apart; joined in the order {order}"
    assert one.bias is not None
    assert one.bias.value is not None
    assert one.bias.value.tolist() == [number for gate in order for number in BIASES[gate]]
    assert (one.bias.name, one.bias.note) == (", ".join(f"b{gate}" for gate in order), "")
    assert one.bias.names == tuple(f"b{gate}" for gate in order)
    assert (one.kind, one.normaliser, one.affine, one.notes) == ("convolution", None, None, [])
    assert one.node.outputs == (f"p{order[0]}",)


def test_a_cell_stands_where_its_first_convolution_stood() -> None:
    nodes = [("Conv", "x w0", "before"), *cell(), ("Conv", "y w1", "z"), *cell("2", frame="z"), ("Conv", "y2 w2", "o")]
    values = weights() | weights("2", 1000) | {f"w{place}": floats(4, place + 2, 1) for place in range(3)}
    found = joined(nodes, values, outputs="o before")
    assert [one.weight.name.split(", ")[0] for one in found] == ["w0", "ui", "w1", "ui2", "w2"]
    assert is_cell(found[1])
    assert [len(one.weight.names) for one in found] == [1, 8, 1, 8, 1]


@pytest.mark.parametrize(
    "changed",
    [
        # The hidden state and the sums behind changes of layout; terms in another order; activations in two parts.
        {"h": [("Carried", "x x", "l{m}"), ("Transpose", "l{m}", "k{m}"), ("Identity", "k{m}", "h{m}")]},
        {"h": [("Mul", "x x", "h{m}")]},
        {"si": [("Cast", "pi{m}", "r{m}"), ("Add", "qi{m} r{m}", "l{m}"), ("Reshape", "l{m} -", "si{m}")]},
        {"new": [("Mul", "ag{m} ai{m}", "new{m}")], "d": [("Add", "new{m} kept{m}", "d{m}")]},
        {"new": [("Mul", "ai{m} ag{m}", "l{m}"), ("Identity", "l{m}", "new{m}")]},
        {"kept": [("Mul", "af{m} c{m}", "l{m}"), ("Cast", "l{m}", "new2{m}"), ("Transpose", "new2{m}", "kept{m}")]},
        {
            f"a{gate}": [("Mul", f"s{gate}{{m}} k", f"l{gate}{{m}}"), ("Clip", f"l{gate}{{m}} k k", f"a{gate}{{m}}")]
            for gate in "ifo"
        },
        {f"a{gate}": [("HardSigmoid", f"s{gate}{{m}}", f"a{gate}{{m}}")] for gate in "ifo"},
        # A linear cell.
        {"ag": [("Identity", "sg{m}", "ag{m}")]},
        {f"a{gate}": [("Identity", f"s{gate}{{m}}", f"a{gate}{{m}}")] for gate in "ifo"},
    ],
)
def test_a_cell_may_be_written_in_other_ways(changed: dict[str, list[Written]]) -> None:
    found = joined(cell(**changed), weights() | {"k": np.float32(0.2)})
    assert len(found) == 1
    assert is_cell(found[0])


@pytest.mark.parametrize("activation", ["Elu", "Relu", "LeakyRelu", "Max", "Min", "Sub", "Div"])
def test_a_candidate_has_an_activation_of_its_own(activation: str) -> None:
    found = joined(cell(ag=[(activation, "sg{m} k", "ag{m}")]), weights() | {"k": np.float32(0.2)})
    assert len(found) == 1


@pytest.mark.parametrize(
    "changed",
    [
        # All four activations alike: nothing tells gate and candidate apart.
        {"ag": [("Sigmoid", "sg{m}", "ag{m}")]},
        # Gate and candidate are both unlike the forget gate.
        {"af": [("Relu", "sf{m}", "af{m}")]},
        # A state that does not come from the step before.
        {"h": [("Relu", "x", "h{m}")]},
        # A product of one tensor, no product, and an operator that no activation is made of.
        {"new": [("Add", "ai{m} ag{m}", "new{m}")]},
        {"ao": [("Softmax", "so{m}", "ao{m}")]},
        {"y": [("Add", "ao{m} t{m}", "y{m}")]},
        # The products do not meet in a sum, or the forget gate's is not in it.
        {"d": [("Sub", "kept{m} new{m}", "d{m}")]},
        {"d": [("Add", "new{m} x", "d{m}"), ("Relu", "kept{m}", "z{m}")]},
        # Two products of two gates each.
        {"kept": [("Mul", "af{m} ao{m}", "kept{m}")], "y": [("Relu", "t{m}", "y{m}")]},
        # A gate less.
        {"ao": [("Relu", "t{m}", "ao{m}")]},
        # Another number of terms.
        {"si": [("Conv", "x uf", "l"), ("Add", "pi{m} qi{m}", "n{m}"), ("Add", "n{m} l", "si{m}")]},
        {"si": [("Identity", "pi{m}", "si{m}"), ("Relu", "qi{m}", "z{m}")]},
        # A sum that is looked at elsewhere.
        {"ai": [("Sigmoid", "si{m}", "ai{m}"), ("Relu", "si{m}", "z{m}")]},
        {"ai": [("Sigmoid", "si{m}", "ai{m}"), ("Tanh", "ai{m}", "z{m}")]},
        {"new": [("Mul", "ai{m} ag{m}", "new{m}"), ("Add", "new{m} x", "z{m}")]},
    ],
)
def test_what_is_no_cell_is_left_as_it_is(changed: dict[str, list[Written]]) -> None:
    assert unchanged(cell(**changed))


@pytest.mark.parametrize("name", ["pi", "si", "ai", "new"])
def test_what_a_graph_gives_away_is_in_no_cell(name: str) -> None:
    assert unchanged(cell(), outputs=f"y {name}")
    assert len(joined(cell(), weights(), outputs="y d")) == 1


@pytest.mark.parametrize(
    ("part", "shape"),
    [("v", (3, 2, 1)), ("v", (2, 3, 1)), ("v", (2, 2, 3)), ("u", (3, 3, 1)), ("u", (2, 3, 3))],
)
def test_kernels_of_frame_and_state_fit_together(part: str, shape: tuple[int, ...]) -> None:
    """(filters, channels, kernel) and (filters, filters, kernel); those of all gates are changed in the same way."""
    assert unchanged(cell(), weights() | {f"{part}{gate}": floats(*shape) for gate in GATES})
    # As many channels as filters make no state of a frame.
    square = weights() | {f"u{gate}": floats(2, 2, 1) for gate in GATES}
    assert len(joined(cell(), square)) == 1


@pytest.mark.parametrize(("frame", "state"), [((2, 2, 1), (2, 2, 1)), ((2, 3, 3), (2, 2, 3)), ((3, 2, 1), (3, 3, 1))])
@pytest.mark.parametrize("gate", GATES)
def test_gates_of_different_shapes_are_no_cell(gate: str, frame: tuple[int, ...], state: tuple[int, ...]) -> None:
    """The two convolutions of one gate fit together, and have other channels, another kernel or other filters than the rest."""
    assert unchanged(cell(), weights() | {f"u{gate}": floats(*frame), f"v{gate}": floats(*state)})


def test_of_a_frame_that_comes_from_a_loop_the_state_is_not_known() -> None:
    square = weights() | {f"u{gate}": floats(2, 2, 1) for gate in GATES}
    assert unchanged(cell(frame="c"), square)
    assert len(joined(cell(frame="c"), weights())) == 1


def test_weights_that_are_not_reported_and_dense_layers_are_in_no_cell() -> None:
    some = {name: value for name, value in weights().items() if name != "vf"}
    assert unchanged(cell(), some, unknown=["vf"])
    both = {f"p{gate}": [("MatMul", f"x u{gate}", f"p{gate}")] for gate in GATES}
    both |= {f"q{gate}": [("MatMul", f"h v{gate}", f"q{gate}")] for gate in GATES}
    matrices = {f"u{gate}": floats(3, 2) for gate in GATES} | {f"v{gate}": floats(2, 2) for gate in GATES}
    assert unchanged(cell(**both), matrices)
    dense = {f"q{gate}": [("MatMul", f"h{{m}} v{gate}", f"q{gate}{{m}}")] for gate in GATES}
    assert unchanged(cell(**dense), weights() | {f"v{gate}": floats(2, 2) for gate in GATES})


def test_three_gates_are_no_cell_and_do_not_hide_one() -> None:
    three = cell(order="ifg", y=[("Relu", "t{m}", "y{m}")])
    assert unchanged(three)
    found = joined([*three, *cell("2", frame="y")], weights() | weights("2", 1000))
    assert [len(one.weight.names) for one in found] == [1] * 6 + [8]


def test_gates_of_two_states_are_two_cells() -> None:
    """Four gates belong together by the hidden state that they read."""
    other = {"qi": [("Carried", "x x", "h2"), ("Conv", "h2 vi", "qi")]}
    assert unchanged(cell(**other))


@pytest.mark.parametrize("state", [False, True])
def test_the_bias_is_that_of_either_convolution(state: bool) -> None:
    moved: dict[str, Any] = {}
    if state:
        for gate in GATES:
            moved[f"p{gate}"] = [("Conv", f"x u{gate}", f"p{gate}")]
            moved[f"q{gate}"] = [("Conv", f"h v{gate} b{gate}", f"q{gate}")]
    (one,) = joined(cell(**moved), weights())
    assert one.bias is not None
    assert one.bias.names == ("bi", "bf", "bo", "bg")


def test_without_the_biases_of_all_gates_there_is_none() -> None:
    for gates in ("i", GATES):
        bare = {f"p{gate}": [("Conv", f"x u{gate}", f"p{gate}")] for gate in gates}
        (one,) = joined(cell(**bare), weights())
        assert one.bias is None
        assert is_cell(one)
    some = {name: value for name, value in weights().items() if name != "bo"}
    (one,) = joined(cell(), some, unknown=["bo"])
    assert one.bias is None


def test_arithmetic_and_notes_of_gates() -> None:
    """A constant that is added to a gate beyond its bias stays with the cell."""
    more = {"po": [("Conv", "x uo bo", "r"), ("Add", "r k", "po")]}
    (one,) = joined(cell(**more), weights() | {"k": floats(2, 1)})
    assert one.affine is not None
    assert (one.affine.names, one.affine.offset.tolist()) == (["k"], [1, 2])


def test_the_first_step_without_a_hidden_state_is_half_a_cell() -> None:
    """Of an unrolled loop: its convolutions of the frame have the bits of the other steps', and are not told twice."""
    first: list[Written] = [("Conv", f"x n{gate} b{gate}", f"first{gate}") for gate in GATES]
    copies = {f"n{gate}": weights()[f"u{gate}"].copy() for gate in GATES}
    nodes = [*first, *cell(state="Mul"), ("Conv", "y w", "z")]
    found = joined(nodes, weights() | copies | {"w": floats(3, 2, 1)}, outputs="z")
    assert [one.weight.name[:2] for one in found] == ["ui", "w"]
    # Where there is no cell, nothing is half of one.
    apart = [*first, *cell(ag=[("Sigmoid", "sg", "ag")])]
    assert len(joined(apart, weights() | copies)) == 12


def test_equal_weights_beside_a_cell_are_kept_where_they_are_in_none() -> None:
    nodes = [*cell(), ("Conv", "y w1", "z"), ("Conv", "y w2", "o")]
    values = weights() | {"w1": floats(3, 2, 1), "w2": floats(3, 2, 1)}
    assert [one.weight.name for one in joined(nodes, values, outputs="z o")][1:] == ["w1", "w2"]


def test_a_graph_without_convolutions_has_no_cells() -> None:
    written = graph(("MatMul", "x w", "y"), values={"w": floats(2, 2)})
    assert isinstance(written, Graph)
    linears = find_roles(written).linears
    assert join_gates(written, linears, GATES) == linears
    assert join_gates(written, [], GATES) == []
