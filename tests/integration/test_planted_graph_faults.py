"""Faults planted in exported graphs: each is placed by the source's layers, and named."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from harness.compare.placement import Placement, sentences  # noqa: E402
from harness.compare.source_layers import SourceLayer  # noqa: E402
from harness.files.arrays import save_arrays  # noqa: E402
from harness.models.sampling import Sampling  # noqa: E402
from harness.pipeline.source_walk import SourceWalk  # noqa: E402
from harness.pipeline.walked_sources import KnownSource, WholeModelSource, clean_routes, whole_routes  # noqa: E402
from harness.runtimes.registry import runtime  # noqa: E402
from harness.workers.engine import Engine  # noqa: E402
from harness.workers.onnx.reference import OnnxReference  # noqa: E402
from harness.workers.onnx.structure import structure  # noqa: E402
from harness.workers.pytorch.engine import Pytorch  # noqa: E402
from harness.workers.pytorch.program import TorchPrograms  # noqa: E402
from harness.workers.requests import Requests  # noqa: E402
from tests.integration.comparing import compare  # noqa: E402
from tests.integration.planted_graphs import Planted  # noqa: E402
from tests.integration.planted_models import (  # noqa: E402
    CONVLSTM,
    STRANGER,
    TEMPCNN,
    Subject,
    planted_convlstm,
    planted_stranger,
    planted_tempcnn,
)

CLEAN = Planted("clean", lambda model: None, "", "")


@pytest.fixture(scope="module")
def tempcnn(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return planted_tempcnn(tmp_path_factory.mktemp("tempcnn"))


@pytest.fixture(scope="module")
def forecaster(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return planted_convlstm(tmp_path_factory.mktemp("convlstm"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return planted_stranger(tmp_path_factory.mktemp("stranger"))


def asking(engine: Engine) -> Callable[..., dict[str, Any]]:
    """The requests of an engine in this process."""
    table = Requests(engine).table(lambda done, total, text: None)
    return lambda request, **arguments: table[request](**arguments)


def placed(subject: Subject, fault: Planted, scratch: Path) -> Placement:
    """What the walk finds of a fault."""
    assert subject.spec is not None
    path = subject.write(fault)
    save_arrays(scratch / "probe.safetensors", {"x": subject.probe})
    routes = clean_routes(runtime("python/pytorch"))[:1]
    source = KnownSource(asking(Pytorch()), subject.spec, subject.folder, routes)
    walk = SourceWalk(source=source, reader=asking(OnnxReference()), scratch=scratch, tell=lambda text: None)
    probe = scratch / "probe.safetensors"
    return walk.placement(path, structure(subject.planted(fault), path), probe, probe, 4, Sampling(), 1.0)


@pytest.mark.parametrize("fault", TEMPCNN, ids=lambda fault: fault.name)
def test_a_fault_in_a_tempcnn_is_placed_and_named(tempcnn: Subject, fault: Planted, tmp_path: Path) -> None:
    found = placed(tempcnn, fault, tmp_path)
    (difference,) = found.differences
    assert difference.explained
    assert fault.place in difference.place
    assert fault.cause in difference.message
    # Nothing but the rounding of float64 is left once it is set right: it is the only fault.
    assert found.remaining is not None
    assert found.remaining <= 1e-8


def test_a_clean_file_parts_nowhere(tempcnn: Subject, tmp_path: Path) -> None:
    found = placed(tempcnn, CLEAN, tmp_path)
    assert not found.differences
    assert not sentences(found)
    assert all(layer.tensor for layer in found.layers)
    assert all(node.gap is not None and node.gap <= 1e-8 for node in found.nodes)


def test_layers_and_nodes_before_the_fault_are_the_sources_and_those_after_are_not(
    tempcnn: Subject, tmp_path: Path
) -> None:
    found = placed(tempcnn, next(fault for fault in TEMPCNN if fault.name == "padding 2 and 4"), tmp_path)
    assert [layer.layer for layer in found.layers if layer.tensor] == ["conv1", "norm1"]
    gaps = {node.operator: node.gap for node in reversed(found.nodes)}
    assert gaps["Conv"] == pytest.approx(0, abs=1e-8)
    last = found.nodes[-1]
    assert last.operator == "Softmax"
    assert last.gap is not None
    assert last.gap > 1e-3
    assert last.floors is not None
    assert last.floors > 100
    # With the padding set right the rest of the file is the source's.
    assert last.local is not None
    assert last.local <= 1e-8
    assert last.own_values is not None
    assert last.difference is not None
    assert sum(last.own_values.counts) == sum(last.difference.counts) == 4 * 9


def test_two_faults_are_both_named_in_the_order_of_the_flow(tempcnn: Subject, tmp_path: Path) -> None:
    first, second = (next(one for one in TEMPCNN if one.name == name) for name in ("scale inserted", "epsilon 1e-3"))

    def both(model: Any) -> None:
        first.edit(model)
        second.edit(model)

    found = placed(tempcnn, Planted("two", both, "", ""), tmp_path)
    assert [difference.place for difference in found.differences] == ["after conv2", "norm2"]
    assert found.remaining is not None
    assert found.remaining <= 1e-8


@pytest.mark.parametrize(
    "fault", [one for one in CONVLSTM if one.name in ("epsilon 1e-5", "padding 0 and 2")], ids=lambda fault: fault.name
)
def test_a_fault_in_an_unrolled_convlstm_is_placed_and_named(
    forecaster: Subject, fault: Planted, tmp_path: Path
) -> None:
    found = placed(forecaster, fault, tmp_path)
    assert fault.place in found.parts_at
    assert all(fault.cause in difference.message for difference in found.differences)
    closing = [one.label for one in found.tried if one.closes]
    assert closing == (["epsilon of batch normalisation 1e-05"] if fault.name == "epsilon 1e-5" else [])


@pytest.mark.filterwarnings("ignore")
def test_a_fault_is_placed_in_a_model_that_the_harness_does_not_know(stranger: Subject, tmp_path: Path) -> None:
    ask = asking(TorchPrograms())
    path, probe = str(stranger.folder / "stranger.pt2"), tmp_path / "probe.safetensors"
    save_arrays(probe, {"image": stranger.probe})
    ask("load", path=path, precision="float32")
    ask("layers", outputs=str(tmp_path / "layers.json"))
    told = json.loads((tmp_path / "layers.json").read_text())
    layers = [SourceLayer(**{**layer, "inputs": tuple(layer["inputs"])}) for layer in told]
    routes = whole_routes(runtime("python/torch-program"), Path(path))
    source = WholeModelSource(ask, path, layers, Sampling(), probe, routes)
    fault = next(one for one in STRANGER if one.name == "stride 1")
    file = stranger.write(fault)
    walk = SourceWalk(source=source, reader=asking(OnnxReference()), scratch=tmp_path, tell=lambda text: None)
    found = walk.placement(file, structure(stranger.planted(fault), file), probe, probe, 4, Sampling(), 1.0)
    (difference,) = found.differences
    assert (fault.place in difference.place, fault.cause in difference.message) == (True, True)
    # The program's own operations say the same: all up to the pooling are in the file.
    assert [layer.kind for layer in found.layers if layer.tensor] == ["conv2d", "batch_norm", "relu"]


def asked(subject: Subject, fault: Planted, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The public command on a file with a fault in it."""
    path = subject.write(fault)
    weights = ("--from", "weights.safetensors", *arguments)
    if subject.spec is None:
        weights = ("--from", "stranger.pt2", "--trust-source", *arguments)
    runtimes = ("--to", "python/onnxruntime", "--no-layers", "--json")
    return compare(subject.folder, path.name, *weights, "--probe", "x.npy", *runtimes)


def test_a_sigmoid_too_many_is_placed_where_no_specification_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = planted_tempcnn(tmp_path, head="logits")
    fault = next(one for one in TEMPCNN if one.name == "sigmoid too many")
    (tmp_path / "model.json").unlink()
    done = asked(subject, fault, "--model", "tempcnn")
    assert done.returncode == 1, done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    assert "a Sigmoid after classifier that the source does not have" in [one["message"] for one in cell["findings"]]
    assert any("ends in sigmoid, the model declares logits" in one["message"] for one in cell["findings"])
    results = tmp_path / "results" / "compare_sigmoid-too-many"
    assert "a Sigmoid after classifier that the source does not have" in (results / "report.md").read_text()
    assert json.loads((results / "placement.json").read_text())["nodes"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tempcnn", "forecaster", "stranger"])
def test_all_planted_faults_are_placed_and_nine_of_ten_are_named(name: str, request: pytest.FixtureRequest) -> None:
    """Through the public command; prints the table of all."""
    subject: Subject = request.getfixturevalue(name)
    placed_count = named_count = 0
    print()
    for fault in subject.faults:
        done = asked(subject, fault)
        assert done.stdout, done.stderr
        (cell,) = json.loads(done.stdout)["cells"]
        placement = Placement.model_validate(cell["placement"]) if cell["placement"] else None
        said = [] if placement is None else sentences(placement)
        is_placed = placement is not None and fault.place in placement.parts_at
        is_named = bool(said) and fault.cause in said[0]
        placed_count, named_count = placed_count + is_placed, named_count + is_named
        shown = ("placed" if is_placed else "-", "named" if is_named else "-", said[0] if said else "nothing")
        print(f"{name:10} {fault.name:26} {shown[0]:7} {shown[1]:6} {shown[2]}", flush=True)
    print(f"{name}: {placed_count} of {len(subject.faults)} placed, {named_count} named with their cause")
    assert placed_count == len(subject.faults)
    assert named_count >= 0.9 * len(subject.faults)
