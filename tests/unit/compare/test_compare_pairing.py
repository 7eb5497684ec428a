"""Which tensor of a target is held against which parameter, and every word and number that is said of it: small cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.compare.parameters import compare_parameters
from harness.compare.records import ParameterComparison, Verdict
from harness.errors import ModelError
from harness.models.spec import Layer, ModelSpec, Parameter
from tests.unit.compare.tempcnn_graphs import Arrays, GraphBuilder, draw_parameters, export, specification

SPEC = specification()
SOURCE = draw_parameters(SPEC)
ROLES = ("scale", "shift", "mean", "variance")
Said = list[tuple[str, str, str | None, str]]


def linear(name: str, *shape: int, bias: bool = True, kind: Any = "dense") -> Layer:
    parameters = [Parameter(name=f"{name}.weight", shape=shape, role="weight")]
    if bias:
        parameters.append(Parameter(name=f"{name}.bias", shape=shape[:1], role="bias"))
    return Layer(name=name, kind=kind, parameters=tuple(parameters))


def norm(name: str, channels: int, normalises: str | None = None, epsilon: float | None = 1e-5) -> Layer:
    parameters = tuple(Parameter(name=f"{name}.{role}", shape=(channels,), role=role) for role in ROLES)  # type: ignore[arg-type]
    return Layer(name=name, kind="batch-normalisation", parameters=parameters, epsilon=epsilon, normalises=normalises)


def model(*layers: Layer, **hyperparameters: Any) -> ModelSpec:
    return SPEC.model_copy(update={"layers": layers, "hyperparameters": hyperparameters})


class Writer(GraphBuilder):
    """Writes the operations of a graph one after the other; ``name`` is what the last one gives."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "x"

    def then(self, operator: str, *constants: tuple[str, Any], **attributes: Any) -> Writer:
        held = [self.constant(name, value) for name, value in constants]
        self.name = self.node(operator, self.name, *held, **attributes)
        return self

    def dense(self, *constants: tuple[str, Any]) -> Writer:
        return self.then("Gemm", *constants, transB=1)

    def normaliser(self, source: Arrays, name: str, prefix: str = "") -> Writer:
        held = [(f"{prefix}{name}.{role}", source[f"{name}.{role}"]) for role in ROLES]
        return self.then("BatchNormalization", *held, epsilon=1e-5)

    def compared(self, spec: ModelSpec, source: Arrays, held: Arrays | None = None) -> ParameterComparison:
        return compare_parameters(spec, source, self.structure(self.name, spec), self.values if held is None else held)


def said(result: ParameterComparison) -> Said:
    return [(row.name, row.relation, row.target_name, row.note) for row in result.rows]


def equal(*names: str, prefix: str = "") -> Said:
    return [(name, "equal", f"{prefix}{name}", "") for name in names]


def parts(name: str) -> list[str]:
    return [f"{name}.{role}" for role in ROLES]


def test_a_source_that_does_not_fit_names_the_model() -> None:
    for source in ({}, {"a.weight": np.zeros((2, 3), np.float32)}):
        with pytest.raises(ModelError) as caught:
            compare_parameters(model(linear("a", 3, 2)), source, None, {})
        assert caught.value.where == SPEC.model


# --- tables of weights without a graph -----------------------------------------------------------------------------


def test_every_row_and_number_of_a_table_of_weights() -> None:
    spec = model(linear("a", 3, 2), linear("b", 2, 3))
    source = draw_parameters(spec)
    target = {
        "a.weight": source["a.weight"],
        "other": source["b.weight"],
        "more": np.ones(4, np.float32),
        "b.bias": source["b.bias"],
        "count": np.array([7]),
    }
    result = compare_parameters(spec, source, None, target)
    assert said(result) == [
        ("a.weight", "equal", "a.weight", ""),
        ("a.bias", "missing", None, ""),
        ("b.weight", "missing", None, "the target holds its values under the name 'other'"),
        ("b.bias", "equal", "b.bias", ""),
        ("more", "extra", "more", ""),
        ("other", "extra", "other", ""),
    ]
    assert [finding.message for finding in result.findings] == [
        "parameter a.bias is missing",
        "parameter b.weight is missing: the target holds its values under the name 'other'",
        "parameter more is held beyond the canonical parameters",
        "parameter other is held beyond the canonical parameters",
    ]
    assert {(finding.comparison, finding.verdict) for finding in result.findings} == {("parameters", Verdict.DIVERGENT)}
    assert (result.source_count, result.target_count) == (6 + 3 + 6 + 2, 6 + 6 + 4 + 2)
    assert (result.copies, result.copied_count, result.folded) == (1, 0, False)


# --- which operation holds which layer ------------------------------------------------------------------------------

WIDTHS = {"a": 3, "b": 4, "x": 5}


@pytest.mark.parametrize(
    ("layers", "operations", "pairs"),
    [
        ("ab", "ab", [0, 1]),
        # Branches are written in any order.
        ("ab", "ba", [1, 0]),
        ("aba", "baa", [1, 0, 2]),
        ("ab", "bb", [0, 1]),
        ("ab", "b", [None, 0]),
        ("ab", "x?a", [1, None]),
        ("ab", "xab", [1, 2]),
        ("ab", "bxx", [None, 0]),
        ("ab", "xbx", [None, 1]),
        ("aa", "bba", [2, None]),
        ("a", "axa", [0]),
        ("a", "xa", [1]),
        ("a", "xx", [None]),
        ("a", "x?", [1]),
        ("a", "", [None]),
        ("", "a", []),
    ],
)
def test_layers_are_paired_in_order_and_by_size_where_the_numbers_differ(
    layers: str, operations: str, pairs: list[int | None]
) -> None:
    """A letter is a size of a weight, "?" one that the target does not report."""
    spec = model(*(linear(f"{size}{place}", 2, WIDTHS[size], bias=False) for place, size in enumerate(layers)))
    source = draw_parameters(spec)
    writer = Writer()
    for place, size in enumerate(operations):
        writer.dense((f"w{place}", np.full((2, WIDTHS.get(size, 9)), place, np.float32)))
    held = {name: value for name, value in writer.values.items() if operations[int(name[1:])] != "?"}
    result = writer.compared(spec, source, held)
    unreported = {f"the target does not report 'w{place}'": f"w{place}" for place in range(len(operations))}
    found = [row.target_name or unreported.get(row.note) for row in result.rows if row.relation != "extra"]
    assert found == [None if place is None else f"w{place}" for place in pairs]
    left = [f"w{place}" for place, size in enumerate(operations) if place not in pairs and size != "?"]
    assert said(result)[len(layers) :] == [(name, "extra", name, "") for name in left]


# --- what is missing and what is beyond ----------------------------------------------------------------------------


def test_a_layer_that_is_missing_takes_its_normalisation_along() -> None:
    """The batch normalisation that stands before the other layer is not that of the missing one."""
    spec = model(linear("a", 3, 2, bias=False), norm("n", 3, "a"), norm("m", 4), linear("b", 2, 4))
    source = draw_parameters(spec)
    writer = Writer().normaliser(source, "m").dense(("w", source["b.weight"]), ("c", source["b.bias"]))
    result = writer.compared(spec, source)
    assert said(result) == [
        *((name, "missing", None, "") for name in ["a.weight", *parts("n")]),
        *equal(*parts("m")),
        ("b.weight", "equal", "w", ""),
        ("b.bias", "equal", "c", ""),
    ]
    gone = compare_parameters(spec, source, Writer().structure("x", spec), {})
    assert {(row.relation, row.note) for row in gone.rows} == {("missing", "")}
    assert (gone.target_count, gone.copies, gone.copied_count) == (0, 1, 0)


def test_operations_beyond_the_layers_are_rows_of_their_own() -> None:
    spec = model(linear("a", 2, 3))
    source = draw_parameters(spec)
    more = {f"n.{role}": np.full(5, place + 2, np.float32) for place, role in enumerate(ROLES)}
    writer = Writer().then("Slope", ("q", np.ones(6, np.float32)))
    writer.dense(("w", source["a.weight"]), ("b", source["a.bias"])).then("Relu")
    writer.dense(("w2", np.ones((5, 2), np.float32)), ("b2", np.ones(5, np.float32))).normaliser(more, "n")
    writer.then("Relu").dense(("w1", np.ones((7, 5), np.float32))).then("Relu")
    writer.dense(("w3", np.ones((3, 7), np.float32)), ("b3", np.ones(3, np.float32))).then("Relu")
    writer.normaliser({name: value[:2] for name, value in more.items()}, "n", "k").then("Relu")
    writer.then("Mul", ("s", np.full(2, 3, np.float32))).then("Add", ("o", np.full(2, 4, np.float32)))
    held = {name: value for name, value in writer.values.items() if name != "w3"}
    held["loose"] = np.zeros(3, np.float32)
    result = writer.compared(spec, source, held)
    extra = sorted(["q", "w2", "b2", *parts("n"), "w1", "b3", *(f"k{name}" for name in parts("n")), "s", "o", "loose"])
    assert said(result) == [
        ("a.weight", "equal", "w", ""),
        ("a.bias", "equal", "b", ""),
        *((name, "extra", name, "no node of the graph uses it" if name == "loose" else "") for name in extra),
    ]
    assert len(result.findings) == len(extra)


def test_tensors_that_are_used_again_are_not_beyond_the_parameters() -> None:
    spec = model(norm("n", 3), linear("a", 3, 3, bias=False))
    source = draw_parameters(spec)
    scale = (source["n.scale"] / np.sqrt(source["n.variance"] + np.float32(1e-5))).astype(np.float32)
    arithmetic = ("scale", scale), ("offset", (source["n.shift"] - source["n.mean"] * scale).astype(np.float32))
    writer = Writer()
    for _ in range(2):
        writer.then("Mul", arithmetic[0]).then("Add", arithmetic[1]).then("Relu")
        writer.dense(("w", source["a.weight"])).then("Relu")
    result = writer.compared(spec, source)
    assert said(result) == [
        *((name, "folded", "scale, offset", "written as arithmetic") for name in parts("n")),
        ("a.weight", "equal", "w", ""),
    ]
    assert (result.verdict, result.findings) == (Verdict.EQUIVALENT, [])


def test_normalisation_that_no_layer_takes_in_is_paired_in_order() -> None:
    spec = model(norm("n", 3), linear("a", 3, 3), norm("m", 3), norm("k", 3))
    source = draw_parameters(spec)
    writer = Writer().normaliser(source, "n").dense(("a.weight", source["a.weight"]), ("a.bias", source["a.bias"]))
    writer.then("Relu")
    scale = (source["m.scale"] / np.sqrt(source["m.variance"] + np.float32(1e-5))).astype(np.float32)
    offset = (source["m.shift"] - source["m.mean"] * scale).astype(np.float32)
    writer.then("Mul", ("s", scale)).then("Add", ("o", offset)).then("Relu")
    result = writer.compared(spec, source)
    assert said(result) == [
        *equal(*parts("n"), "a.weight", "a.bias"),
        *((name, "folded", "s, o", "written as arithmetic") for name in parts("m")),
        *((name, "missing", None, "") for name in parts("k")),
    ]


def test_zeros_beyond_the_parameters_count_where_nothing_is_recurrent() -> None:
    spec = model(linear("a", 2, 3))
    source = draw_parameters(spec)
    writer = Writer().dense(("w", source["a.weight"]), ("b", source["a.bias"]))
    writer.then("Slope", ("zeros", np.zeros(6, np.float32)))
    assert said(writer.compared(spec, source))[2:] == [("zeros", "extra", "zeros", "")]


# --- copies ----------------------------------------------------------------------------------------------------------


def test_copies_that_a_runtime_holds_are_counted_and_no_rows() -> None:
    spec = model(linear("a", 2, 3))
    source = draw_parameters(spec)
    writer = Writer().dense(("w", source["a.weight"]), ("b", source["a.bias"]))
    held = writer.values | {"w.again": source["a.weight"].copy(), "count": np.arange(6).reshape(2, 3)}
    result = writer.compared(spec, source, held)
    assert said(result) == [("a.weight", "equal", "w", ""), ("a.bias", "equal", "b", "")]
    assert (result.copies, result.copied_count, result.target_count) == (2, 6, 14)


def test_a_recurrence_of_many_steps_is_one_weight_with_its_copies() -> None:
    spec = model(linear("l", 4, 2, 1, 1, kind="convolutional-lstm"), linear("a", 2, 3))
    source = draw_parameters(spec)
    writer = Writer()
    for step in range(3):
        weight = (f"w{step}", source["l.weight"].copy())
        writer.then("Conv", weight, ("c", source["l.bias"])).then("Relu")
    writer.dense(("a.weight", source["a.weight"]), ("a.bias", source["a.bias"]))
    writer.then("Slope", ("zeros", np.zeros(6, np.float32))).then("Slope", ("ones", np.ones(6, np.float32)))
    held = writer.values | {"w.again": source["l.weight"].copy()}
    result = writer.compared(spec, source, held)
    assert said(result) == [
        ("l.weight", "equal", "w0", "used by 3 nodes in 3 copies"),
        ("l.bias", "equal", "c", ""),
        *equal("a.weight", "a.bias"),
        ("ones", "extra", "ones", ""),
    ]
    assert (result.copies, result.copied_count) == (3, 8 + 8 + 8)
    # What the target does not report is counted nowhere.
    some = {name: value for name, value in writer.values.items() if name != "w1"}
    assert writer.compared(spec, source, some).copied_count == 8
    gone = compare_parameters(spec, source, Writer().structure("x", spec), {})
    assert (gone.copies, gone.copied_count) == (1, 0)


# --- normalisation after a layer -------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["kept", "folded", "matmul", "gone"])
def test_what_is_said_of_an_operation_is_in_the_row_of_its_weight(style: str) -> None:
    """The dense kernel after a flattening of the time first."""
    structure, target = export(SPEC, SOURCE, style="channels-last")
    note = "the graph flattens time-major; the kernel was reordered to channel-major"
    nodes = structure["nodes"]
    (dense,) = (node for node in nodes if node["inputs"][1:2] == ["dense.weight"])
    (normaliser,) = (node for node in nodes if node["inputs"][1:2] == ["dense_norm.weight"])
    parameters = [target[f"dense_norm.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
    gamma, beta, mean, variance = parameters
    scale = gamma / np.sqrt(variance + np.float32(1e-5))
    if style == "folded":
        target["dense.weight"] = target["dense.weight"] * scale[:, None]
        target["dense.bias"] = (target["dense.bias"] - mean) * scale + beta
    if style == "matmul":
        normaliser["operator"], normaliser["inputs"] = "Mul", [dense["outputs"][0], "s"]
        last = {"name": "", "operator": "Add", "inputs": ["scaled", "o"], "outputs": normaliser["outputs"]}
        normaliser["outputs"] = ["scaled"]
        nodes.insert(nodes.index(normaliser) + 1, last)
        target |= {"s": scale, "o": beta - mean * scale}
    elif style != "kept":
        nodes.remove(normaliser)
        for node in nodes:
            node["inputs"] = [dense["outputs"][0] if name in normaliser["outputs"] else name for name in node["inputs"]]
    if style != "kept":
        for name in [name for name in target if name.startswith("dense_norm")]:
            del target[name]
    result = compare_parameters(SPEC, SOURCE, structure, target)
    rows = {row.name: row for row in result.rows}
    assert rows["dense.weight"].note.startswith(note)
    wanted = {"kept": ("equal", "equal"), "matmul": ("equal", "folded"), "gone": ("equal", "missing")}
    relations = wanted.get(style, ("folded", "folded"))
    assert (rows["dense.weight"].relation, rows["dense_norm.weight"].relation) == relations
    assert rows["dense.bias"].relation == ("folded" if style == "folded" else "equal")
    if style == "folded":
        wrong = target | {"dense.weight": target["dense.weight"][:9]}
        cut = next(row for row in compare_parameters(SPEC, SOURCE, structure, wrong).rows if row.name == "dense.weight")
        assert cut.note == f"{note}; shape 9 x 36 float32, not 10 x 36 float32"
        rounded = target | {"dense.weight": np.nextafter(target["dense.weight"], np.float32(9))}
        assert compare_parameters(SPEC, SOURCE, structure, rounded).folded


def normalised(bias: bool = True, epsilon: float | None = None, **values: Any) -> tuple[ModelSpec, Arrays]:
    """A layer of two channels whose batch normalisation changes nothing, but for the ``values`` of its parts."""
    spec = model(linear("a", 2, 3, bias=bias), norm("n", 2, "a", epsilon))
    source = draw_parameters(spec)
    plain = {"scale": 1.0, "shift": 0.0, "mean": 0.0, "variance": 1.0} | values
    source |= {f"n.{part}": np.full(2, value, np.float32) for part, value in plain.items()}
    return spec, source


FOLDED = (
    "n folded in; every value is the source's times one scale per channel, which lies within 0 ULP of the exact one"
)


@pytest.mark.parametrize("scalar", [False, True], ids=["", "times-one"])
@pytest.mark.parametrize(
    ("values", "folds"),
    [
        ({}, True),
        ({"epsilon": 0.0}, True),
        ({"variance": np.float32(1) - np.float32(1e-5), "epsilon": 1e-5}, True),
        ({"shift": 0.5, "mean": 0.5}, True),
        ({"shift": 0.5}, False),
        ({"mean": 0.5}, False),
        ({"scale": 2.0}, False),
        ({"scale": 2.0, "shift": 0.5, "mean": 0.5}, False),
        ({"scale": 0.5, "shift": 0.5}, False),
    ],
)
def test_a_normalisation_that_is_gone_was_folded_only_where_it_changes_nothing(
    values: dict[str, Any], folds: bool, scalar: bool
) -> None:
    spec, source = normalised(**values)
    writer = Writer().dense(("w", source["a.weight"]), ("b", source["a.bias"]))
    if scalar:
        # One factor for all channels is no normalisation.
        writer.then("Mul", ("one", np.float32([1])))
    result = writer.compared(spec, source)
    if folds:
        assert said(result) == [
            ("a.weight", "folded", "w", FOLDED),
            ("a.bias", "folded", "b", "n folded in"),
            *((name, "folded", "w", "folded into a") for name in parts("n")),
        ]
    else:
        assert said(result) == [
            ("a.weight", "equal", "w", ""),
            ("a.bias", "equal", "b", ""),
            *((name, "missing", None, "") for name in parts("n")),
        ]
    assert result.folded is folds


def test_a_fold_of_a_layer_without_bias_needs_none_of_the_source() -> None:
    spec, source = normalised(bias=False, scale=2.0, shift=0.5)
    writer = Writer().dense(("w", source["a.weight"] * np.float32(2)), ("b", np.full(2, 0.5, np.float32)))
    result = writer.compared(spec, source)
    assert said(result) == [
        ("a.weight", "folded", "w", FOLDED),
        *((name, "folded", "w", "folded into a") for name in parts("n")),
    ]
    assert [row.differing for row in result.rows] == [0] * 5


def test_a_folded_bias_that_the_target_does_not_report_is_missing() -> None:
    spec, source = normalised(scale=2.0)
    writer = Writer().dense(("w", source["a.weight"] * np.float32(2)), ("b", source["a.bias"] * np.float32(2)))
    result = writer.compared(spec, source, {"w": writer.values["w"]})
    row = result.rows[1]
    assert (row.relation, row.note, row.differing) == ("missing", "n is folded in, which needs a bias", 0)
    assert (row.target_name, row.target_shape, row.max_ulp, row.max_abs) == (None, None, None, None)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("scale_ulp", "offset_ulp", "wrong"), [(0, 0, None), (8, 0, None), (9, 0, (1, 0)), (0, 8, None), (0, 9, (0, 1))]
)
def test_arithmetic_holds_within_eight_units_of_its_largest_term(
    bias: bool, scale_ulp: int, offset_ulp: int, wrong: tuple[int, int] | None
) -> None:
    """Of a scale of 1 and of an offset of 1, the mean being nought; the operation has no bias of its own."""
    spec, source = normalised(bias=bias, shift=1.0)
    if bias:
        source["a.bias"] = np.float32([0.25, -0.5])
    scale, offset = np.ones(2, np.float32), np.ones(2, np.float32)
    scale[1] += np.float32(scale_ulp * 2.0**-23)
    offset[0] += np.float32(offset_ulp * 2.0**-23)
    if bias:
        offset += source["a.bias"]
    writer = Writer().dense(("w", source["a.weight"])).then("Mul", ("s", scale)).then("Add", ("o", offset))
    result = writer.compared(spec, source)
    note = "written as arithmetic after a"
    if wrong is not None:
        note += f", which does not hold: {wrong[0]} scales and {wrong[1]} offsets of 2 are others"
    relation = "folded" if wrong is None else "unequal"
    assert said(result) == [
        ("a.weight", "equal", "w", ""),
        *((name, relation, "s, o", note) for name in [*(["a.bias"] if bias else []), *parts("n")]),
    ]
    assert {(row.target_shape, row.differing, row.max_ulp, row.max_abs) for row in result.rows[1:]} == {
        (None, 0, None, None)
    }


@pytest.mark.parametrize(("change", "relation"), [(0.0, "folded"), (2.0**-14, "folded"), (2.0**-13, "unequal")])
def test_a_bias_that_went_into_the_offset_sets_its_unit(change: float, relation: str) -> None:
    """A bias of 16384 times a scale of 1 / 128 is 128, of which eight units are 2**-13 and less."""
    spec, source = normalised(scale=2.0**-7)
    source["a.bias"] = np.float32([2.0**14, 3.0])
    offset = source["a.bias"] * np.float32(2.0**-7)
    offset[0] += np.float32(change * 1.5)
    scale = np.full(2, 2.0**-7, np.float32)
    writer = Writer().dense(("w", source["a.weight"])).then("Mul", ("s", scale)).then("Add", ("o", offset))
    assert [row.relation for row in writer.compared(spec, source).rows] == ["equal", *[relation] * 5]


def test_a_kept_normalisation_without_epsilon_in_the_source_has_none_to_set_against() -> None:
    spec, source = normalised(bias=False)
    writer = Writer().dense(("a.weight", source["a.weight"])).normaliser(source, "n")
    assert said(writer.compared(spec, source)) == equal("a.weight", *parts("n"))


def test_weights_held_in_half_precision_without_loss_are_equal() -> None:
    spec = model(linear("a", 2, 2, bias=False))
    source = {"a.weight": np.float32([[1.5, -2.0], [0.25, 7.0]])}
    result = compare_parameters(spec, source, None, {"a.weight": source["a.weight"].astype(np.float16)})
    assert said(result) == [("a.weight", "equal", "a.weight", "held as float16 without loss")]


def test_a_kernel_after_several_convolutions_was_flattened_with_the_channels_of_the_last() -> None:
    convolutions = [
        linear(name, size, 2, 3, bias=False, kind="convolution") for name, size in zip("abc", (4, 6, 8), strict=True)
    ]
    spec = model(*convolutions, linear("d", 2, 24))
    source = draw_parameters(spec)
    for channels in (8, 6):
        moved = source["d.weight"].reshape(2, channels, -1).transpose(0, 2, 1).reshape(2, 24)
        held = source | {"d.weight": moved}
        row = compare_parameters(spec, source, None, held).rows[3]
        assert row.relation == "permuted"
        assert (row.note == "flatten order time-major instead of channel-major") is (channels == 8)
    # The same bits as integers are not the same numbers, but their order is told.
    moved = source["d.weight"].reshape(2, 8, -1).transpose(0, 2, 1).reshape(2, 24).view(np.int32)
    row = compare_parameters(spec, source, None, source | {"d.weight": moved}).rows[3]
    assert (row.relation, row.note) == ("unequal", "flatten order time-major instead of channel-major")
