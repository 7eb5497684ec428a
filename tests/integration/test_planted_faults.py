"""Planted faults in real exports and real targets: each must be found, and by the comparison whose business it is.

A fault of the *route* is in the exported file: parameters or the route object, the runtime does not, for it computes
faithfully what it was given. A fault of the *target* is in what executes a clean file: the runtime objects, the route
does not, nor do parameters where the target holds those of the file. All the same whichever runtime is the target.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from harness.compare.records import Verdict  # noqa: E402
from harness.errors import UnsupportedError  # noqa: E402
from tests.integration.proof import (  # noqa: E402
    Exported,
    Graph,
    Source,
    export,
    judge,
    metadata_of,
    outputs_of,
    read,
)
from tests.integration.targets import TARGETS, Shelf, Target, opened, read_in  # noqa: E402
from tests.networks.tempcnn import random_net  # noqa: E402

SIZES: dict[str, Any] = {
    "bands": 6,
    "dates": 24,
    "classes": 9,
    "filters": [32, 32, 32],
    "kernels": [5, 5, 5],
    "dropouts": [0.2, 0.2, 0.2],
    "dense_width": 64,
}
ROUTES = [
    pytest.param({"route": "torch-script", "opset": 17, "fold": False}, id="script-unfolded"),
    pytest.param({"route": "torch-script", "opset": 17, "fold": True}, id="script-folded"),
    pytest.param({"route": "torch-dynamo", "opset": 18, "fold": False}, id="dynamo-unfolded"),
    pytest.param({"route": "torch-dynamo", "opset": 18, "fold": True}, id="dynamo-folded"),
]
every_route = pytest.mark.parametrize("route", ROUTES)
#: What objects beside the comparison that finds a fault of its own accord.
CONSEQUENCES = {"end-to-end", "decisions"}
#: Engines that refuse by name to drop anything; the others draw, each its own numbers.
REFUSE_DROPOUT = ("r/base", "r/torch", "julia/base", "julia/flux")

Fault = Callable[[Any], None]
Planted = Callable[[Source, Fault, dict[str, Any]], Exported]


@pytest.fixture(scope="module")
def source() -> Source:
    return random_net(7, activation="relu", head="logits", **SIZES)


@pytest.fixture(scope="module")
def leaky() -> Source:
    return random_net(8, activation="leaky-0.01", head="logits", **SIZES)


@pytest.fixture(scope="module")
def sick(source: Source) -> Source:
    return Source(source.spec, source.changed(nan_bias), source.probe)


def nan_bias(module: Any) -> None:
    module.classifier.bias[2] = torch.nan


def large_epsilon(module: Any) -> None:
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            layer.eps = 1e-3


def flipped_kernel(module: Any) -> None:
    module.conv2.weight.copy_(module.conv2.weight.flip(-1))


def steeper_slope(module: Any) -> None:
    module.activation.negative_slope = 0.3


def bfloat16_weight(module: Any) -> None:
    weight = module.conv2.weight
    place = int(np.argmax(np.abs(bits_lost(weight.detach().numpy()))))
    weight.view(-1)[place] = weight.view(-1)[place].bfloat16().float()


def bits_lost(weight: np.ndarray) -> np.ndarray:
    """What rounding to bfloat16 takes from every weight."""
    return weight - torch.from_numpy(weight).bfloat16().float().numpy()


def one_ulp(module: Any) -> None:
    weight = module.conv2.weight.view(-1)
    weight[100] = torch.nextafter(weight[100], torch.tensor(torch.inf))


def exchanged_classes(module: Any) -> None:
    order = [0, 1, 5, 3, 4, 2, 6, 7, 8]
    module.classifier.weight.copy_(module.classifier.weight[order])
    module.classifier.bias.copy_(module.classifier.bias[order])


def dropout_on(module: Any) -> None:
    for layer in module.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.train()


def log_softmax(module: Any) -> None:
    module.head = "log-softmax"


def permuted_dense(module: Any) -> None:
    """Flattened time-major, as Keras does it."""
    weight = module.dense.weight
    channels = module.conv3.out_channels
    weight.copy_(weight.reshape(len(weight), channels, -1).transpose(1, 2).reshape(len(weight), -1).clone())


def sound(module: Any) -> None:
    """No fault."""


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture(scope="module", params=TARGETS)
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    yield from opened(request.param, tmp_path_factory.mktemp("target"))


@pytest.fixture
def planted(shelf: Shelf, target: Target) -> Planted:
    """What a target makes of the file that a faulty conversion of a sound source writes."""

    def opened_file(source: Source, fault: Fault, route: dict[str, Any]) -> Exported:
        return read_in(target, faulty_file(shelf, source, fault, route), source.probe)

    return opened_file


def faulty_file(shelf: Shelf, source: Source, fault: Fault, route: dict[str, Any]) -> Graph:
    name = "-".join(str(part) for part in (fault.__name__, *route.values(), id(source)))
    return shelf.graph(name, lambda folder: export(source.changed(fault), source, folder, **route), source.probe)


@every_route
def test_without_a_fault_nobody_objects(source: Source, planted: Planted, route: dict[str, Any]) -> None:
    judged = judge(source, planted(source, sound, route))
    assert judged.found_by == set()
    assert judged.verdict in (Verdict.IDENTICAL, Verdict.EQUIVALENT)


def inlined(path: Path) -> Path:
    """The file with its initializers as Constant nodes, as some exporters write them."""
    model = onnx.load(path)
    others = list(model.graph.node)
    constants = [
        onnx.helper.make_node("Constant", [], [tensor.name], name=f"constant_{place}", value=tensor)
        for place, tensor in enumerate(model.graph.initializer)
    ]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend([*constants, *others])
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("fault", [sound, one_ulp])
@pytest.mark.parametrize("route", [ROUTES[0], ROUTES[2]])
def test_weights_in_constant_nodes(
    source: Source, shelf: Shelf, target: Target, route: dict[str, Any], fault: Fault
) -> None:
    name = "-".join(["inlined", fault.__name__, route["route"]])
    made = shelf.graph(
        name, lambda folder: inlined(export(source.changed(fault), source, folder, **route)), source.probe
    )
    judged = judge(source, read_in(target, made, source.probe))
    assert not made.structure["initializers"]
    if fault is sound:
        assert judged.found_by == set(), judged.words
        assert judged.parameters.verdict is Verdict.IDENTICAL
        assert {row.relation for row in judged.parameters.rows} == {"equal"}
    else:
        assert judged.found_by == {"parameters"}, judged.words
        (row,) = (row for row in judged.parameters.rows if row.relation != "equal")
        assert (row.name, row.differing, row.max_ulp) == ("conv2.weight", 1, 1)


@every_route
def test_another_epsilon(source: Source, planted: Planted, route: dict[str, Any]) -> None:
    judged = judge(source, planted(source, large_epsilon, route))
    expected = {"route"} | ({"parameters"} if route["fold"] else set())
    assert judged.found_by - CONSEQUENCES == expected, judged.words
    assert "0.001" in judged.words
    assert judged.verdict in (Verdict.DRIFTED, Verdict.DIVERGENT)


@every_route
def test_a_flipped_kernel(source: Source, planted: Planted, route: dict[str, Any]) -> None:
    judged = judge(source, planted(source, flipped_kernel, route))
    assert judged.found_by - CONSEQUENCES == {"parameters", "route"}, judged.words
    (row,) = (row for row in judged.parameters.rows if row.relation not in ("equal", "folded"))
    assert (row.name, row.relation) == ("conv2.weight", "permuted")
    assert "reversed" in row.note
    assert judged.verdict is Verdict.DIVERGENT


@every_route
def test_another_slope_of_leaky_relu(leaky: Source, planted: Planted, route: dict[str, Any]) -> None:
    judged = judge(leaky, planted(leaky, steeper_slope, route))
    assert judged.found_by - CONSEQUENCES == {"route"}, judged.words
    assert judged.verdict in (Verdict.DRIFTED, Verdict.DIVERGENT)


@every_route
def test_one_weight_rounded_to_bfloat16(source: Source, planted: Planted, route: dict[str, Any]) -> None:
    judged = judge(source, planted(source, bfloat16_weight, route))
    assert "parameters" in judged.found_by, judged.words
    assert route["fold"] or "route" in judged.found_by
    assert "runtime" not in judged.found_by
    (row,) = (row for row in judged.parameters.rows if row.relation not in ("equal", "folded"))
    assert (row.name, row.relation) == ("conv2.weight", "unequal")
    assert row.differing == 1 or route["fold"]
    assert judged.verdict is Verdict.DIVERGENT


@pytest.mark.parametrize("route", [ROUTES[0], ROUTES[2]])
def test_one_weight_off_by_one_ulp_is_seen_by_parameters_alone(
    source: Source, planted: Planted, route: dict[str, Any]
) -> None:
    judged = judge(source, planted(source, one_ulp, route))
    assert judged.found_by == {"parameters"}, judged.words
    (row,) = (row for row in judged.parameters.rows if row.relation != "equal")
    assert (row.name, row.relation, row.differing, row.max_ulp) == ("conv2.weight", "unequal", 1, 1)
    assert judged.verdict is Verdict.DIVERGENT
    assert judged.decisions.flip_count == 0


@every_route
def test_a_nan_that_both_sides_share(sick: Source, planted: Planted, route: dict[str, Any]) -> None:
    judged = judge(sick, planted(sick, sound, route))
    assert judged.found_by == {"route", "runtime", "end-to-end"}, judged.words
    assert judged.verdict is Verdict.DIVERGENT
    assert "not finite on both sides" in judged.words


@every_route
def test_two_classes_exchanged(source: Source, planted: Planted, route: dict[str, Any]) -> None:
    judged = judge(source, planted(source, exchanged_classes, route))
    assert judged.found_by - CONSEQUENCES == {"parameters", "route"}, judged.words
    wrong = {row.name: row for row in judged.parameters.rows if row.relation not in ("equal", "folded")}
    assert set(wrong) == {"classifier.weight", "classifier.bias"}
    assert {row.relation for row in wrong.values()} == {"permuted"}
    assert all("2<->5" in row.note for row in wrong.values())
    assert judged.decisions.counted_count > 0
    assert judged.verdict is Verdict.DIVERGENT


def test_two_class_names_exchanged(source: Source, shelf: Shelf, target: Target) -> None:
    metadata = metadata_of(source.spec)
    names = json.loads(metadata["harness.classes"])
    names[2], names[5] = names[5], names[2]
    changed = metadata | {"harness.classes": json.dumps(names)}
    graph = shelf.graph(
        "class-names", lambda folder: export(source.module, source, folder, metadata=changed), source.probe
    )
    judged = judge(source, read_in(target, graph, source.probe))
    assert judged.found_by == {"structure"}, judged.words
    assert "exchanged" in judged.words
    assert judged.verdict is Verdict.DIVERGENT


@pytest.mark.parametrize("route", [ROUTES[0], ROUTES[2]])
def test_dropout_left_on_in_the_file(source: Source, target: Target, planted: Planted, route: dict[str, Any]) -> None:
    if target.name in REFUSE_DROPOUT:
        with pytest.raises(UnsupportedError, match=r"Dropout.*training mode"):
            planted(source, dropout_on, route)
        return
    judged = judge(source, planted(source, dropout_on, route))
    assert {"structure", "route"} <= judged.found_by, judged.words
    assert "parameters" not in judged.found_by
    assert "dropout is left on" in judged.words
    assert judged.verdict is Verdict.DIVERGENT


@every_route
def test_log_softmax_for_logits(source: Source, planted: Planted, route: dict[str, Any]) -> None:
    judged = judge(source, planted(source, log_softmax, route))
    assert judged.found_by - CONSEQUENCES == {"route", "structure"}, judged.words
    assert "log-softmax" in judged.words
    assert judged.decisions.counted_count == 0
    assert judged.verdict is Verdict.DIVERGENT


@every_route
def test_a_permuted_dense_kernel(source: Source, planted: Planted, route: dict[str, Any]) -> None:
    judged = judge(source, planted(source, permuted_dense, route))
    assert judged.found_by - CONSEQUENCES == {"parameters", "route"}, judged.words
    (row,) = (row for row in judged.parameters.rows if row.relation not in ("equal", "folded"))
    assert (row.name, row.relation) == ("dense.weight", "permuted")
    assert judged.verdict is Verdict.DIVERGENT


@pytest.fixture(scope="module")
def clean(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return read(export(source.module, source, tmp_path_factory.mktemp("clean")), source.probe)


@pytest.fixture(scope="module")
def clean_leaky(leaky: Source, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return read(export(leaky.module, leaky, tmp_path_factory.mktemp("clean")), leaky.probe)


@pytest.mark.parametrize(
    "fault", [large_epsilon, flipped_kernel, exchanged_classes, dropout_on, log_softmax, permuted_dense]
)
def test_a_target_that_computes_something_else(source: Source, clean: Exported, fault: Fault) -> None:
    answers = outputs_of(source.changed(fault), source.probe)
    judged = judge(source, clean, target32=answers)
    assert judged.found_by - {"decisions"} == {"runtime", "end-to-end"}, judged.words
    if fault is log_softmax:
        assert judged.verdict is Verdict.DRIFTED
    if fault in (exchanged_classes, flipped_kernel, permuted_dense, dropout_on):
        assert judged.verdict is Verdict.DIVERGENT


def test_a_target_with_another_slope(leaky: Source, clean_leaky: Exported) -> None:
    judged = judge(leaky, clean_leaky, target32=outputs_of(leaky.changed(steeper_slope), leaky.probe))
    assert judged.found_by - {"decisions"} == {"runtime", "end-to-end"}, judged.words


@pytest.mark.parametrize(("fault", "ulp"), [(one_ulp, 1), (bfloat16_weight, None)])
def test_a_target_that_holds_another_weight(source: Source, clean: Exported, fault: Fault, ulp: int | None) -> None:
    module = source.changed(fault)
    held = clean.parameters | {"conv2.weight": module.conv2.weight.detach().numpy()}  # type: ignore[union-attr]
    target = dataclasses.replace(clean, parameters=held)
    judged = judge(source, target, target32=outputs_of(module, source.probe))
    assert "parameters" in judged.found_by
    assert "route" not in judged.found_by
    (row,) = (row for row in judged.parameters.rows if row.relation != "equal")
    assert row.differing == 1
    if ulp is not None:
        assert row.max_ulp == ulp
        assert judged.found_by == {"parameters"}


#: Faults of a file that a target is given in place of the clean one, and what is seen of them from outside.
OTHER_FILES = [
    (large_epsilon, {"runtime"}),
    (log_softmax, {"runtime"}),
    (flipped_kernel, {"parameters", "runtime"}),
    (exchanged_classes, {"parameters", "runtime"}),
    (permuted_dense, {"parameters", "runtime"}),
    (nan_bias, {"parameters", "runtime"}),
    (one_ulp, {"parameters"}),
]


@pytest.mark.parametrize(("fault", "expected"), OTHER_FILES)
def test_a_target_that_really_runs_another_file(
    source: Source, shelf: Shelf, target: Target, fault: Fault, expected: set[str]
) -> None:
    route = {"route": "torch-script", "opset": 17, "fold": False}
    clean, faulty = (faulty_file(shelf, source, kind, route) for kind in (sound, fault))
    judged = judge(source, read_in(target, clean, source.probe, other=faulty.path))
    assert judged.found_by - CONSEQUENCES == expected, judged.words
    assert judged.verdict in (Verdict.DRIFTED, Verdict.DIVERGENT)


def test_a_target_that_really_has_another_slope(leaky: Source, shelf: Shelf, target: Target) -> None:
    route = {"route": "torch-script", "opset": 17, "fold": False}
    clean, faulty = (faulty_file(shelf, leaky, kind, route) for kind in (sound, steeper_slope))
    judged = judge(leaky, read_in(target, clean, leaky.probe, other=faulty.path))
    assert judged.found_by - CONSEQUENCES == {"runtime"}, judged.words


def test_a_nan_of_the_target_alone(source: Source, clean: Exported) -> None:
    answers = clean.target32.copy()
    answers[5, 3] = np.nan
    judged = judge(source, clean, target32=answers)
    assert judged.found_by == {"runtime", "end-to-end"}, judged.words
    assert judged.verdict is Verdict.DIVERGENT
    assert "sample 5" in judged.words
