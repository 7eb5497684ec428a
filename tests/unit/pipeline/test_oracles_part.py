"""Two oracles are enough where they agree; where they part the node is found, and a majority decides."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the file is written with the onnx package: pip install onnx")
pytest.importorskip("scipy", reason="the exact operators need scipy: pip install scipy")

from harness.compare.records import OracleAgreement
from harness.errors import UnsupportedError
from harness.files.arrays import load_arrays
from harness.pipeline.steps import agreement as agreement_module
from harness.pipeline.steps import reference as reference_module
from harness.pipeline.steps import structure as structure_module
from harness.pipeline.steps.agreement import AgreementStep, read_agreement
from harness.pipeline.steps.oracle import OracleStep, answered
from harness.pipeline.steps.reference import ReferenceStep
from harness.pipeline.steps.structure import StructureStep
from harness.results.artifacts import oracle_folders
from harness.runtimes.registry import RUNTIMES
from harness.runtimes.row import Availability
from harness.workers.onnx.reference import OnnxReference
from tests.unit.pipeline.oracles_in_process import A, B, C, D, InProcess, Plain, Scaled, Without, given

ORACLES = (A, B, C)


@pytest.fixture(autouse=True)
def all_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (agreement_module, reference_module, structure_module):
        monkeypatch.setattr(module, "availability", lambda row: Availability(True, {}))


def asked(
    tmp_path: Path, engines: Mapping[str, OnnxReference], *, batch_size: int = 64, **options: Any
) -> tuple[OracleAgreement, dict[str, Path], InProcess]:
    """The oracle steps in turn and what the agreement step makes of them, by production's own steps."""
    workers, folders = InProcess(engines), given(tmp_path, **options)
    oracles: list[str] = []
    for name in ORACLES:
        beside = tuple(oracles) if len(oracles) >= 2 else ()
        step = OracleStep(id=f"oracle {name}", runtime=RUNTIMES[name], beside=beside, batch_size=batch_size, threads=1)
        folder = tmp_path / step.id.replace("/", "-")
        try:
            step.carry_out(workers.context(step, folder, folders))
            folders[step.id] = folder
        except UnsupportedError:
            pass
        oracles.append(step.id)
    step = AgreementStep(
        id="agreement", runtime=RUNTIMES[A], beside=tuple(oracles), voters=(*ORACLES, D), batch_size=batch_size
    )
    step.carry_out(workers.context(step, tmp_path / "agreement", folders))
    folders["agreement"] = tmp_path / "agreement"
    return read_agreement(folders["agreement"]), folders, workers


def followed(folders: Mapping[str, Path], target: str = "") -> list[str]:
    return [*oracle_folders([f"oracle {name}" for name in ORACLES], "agreement", folders, target)]


def exact(folders: Mapping[str, Path]) -> np.ndarray:
    import onnx
    from scipy import special

    x = load_arrays(folders["probe"] / "probe.safetensors")["x"].astype(np.float64)
    stored = onnx.load(str(folders["given"] / "model.onnx")).graph.initializer
    w, v = (onnx.numpy_helper.to_array(tensor).astype(np.float64) for tensor in stored)
    return np.asarray(np.tanh(special.erf(x @ w) @ v) + 1)


RIGHT = OnnxReference


def test_a_third_is_not_asked_where_two_agree(tmp_path: Path) -> None:
    found, folders, workers = asked(tmp_path, {A: RIGHT(), B: RIGHT(), C: Plain(), D: RIGHT()})
    assert workers.asked[C] == workers.asked[D] == 0
    assert json.loads((folders[f"oracle {C}"] / "not_asked.json").read_text()) == {
        "agreeing": [f"oracle {A}", f"oracle {B}"]
    }
    assert not answered(folders[f"oracle {C}"])
    assert (found.groups, found.distances, found.partings, found.by_node) == ([[A, B]], {f"{A}, {B}": 0.0}, [], [])
    assert found.replaced == {"Erf": "computes Erf in single precision (3e-8 off in float64)"}
    assert followed(folders) == [A, B]


def test_a_third_is_asked_where_one_of_two_refuses(tmp_path: Path) -> None:
    found, folders, _ = asked(tmp_path, {A: RIGHT(), B: Without("Erf"), C: RIGHT(), D: RIGHT()})
    assert (found.groups, followed(folders)) == ([[A, C]], [A, C])


@pytest.mark.parametrize("options", [{}, {"samples": 21, "batch": 4}])
def test_the_one_that_computes_erf_in_single_precision_is_named_and_not_followed(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    found, folders, workers = asked(tmp_path, {A: Plain(), B: RIGHT(), C: RIGHT(), D: RIGHT()}, **options)
    (parted,) = found.partings
    assert (parted.node, parted.operator, parted.tensor) == ("erf", "Erf", "b")
    assert parted.groups == [[B, C, D], [A]]
    assert parted.values[B] == pytest.approx(parted.values[A], rel=1e-6)
    assert parted.values[B] != parted.values[A]
    assert found.distances[f"{A}, {B}"] is not None
    assert found.distances[f"{A}, {B}"] > 1e-10  # type: ignore[operator]
    assert (found.by_node, found.stopped) == ([], "")
    assert followed(folders) == [B, C]
    # Its own cell, and that of one of the others: a fourth vote decides there.
    assert followed(folders, A) == [B, C]
    assert followed(folders, B) == [C]
    # One load of the whole graph each, and one of the node: no file is loaded again.
    assert workers.asked[D] == 2


def test_without_a_fourth_vote_no_one_decides_about_itself(tmp_path: Path) -> None:
    found, folders, _ = asked(tmp_path, {A: Plain(), B: RIGHT(), C: RIGHT(), D: Without("Erf")})
    assert found.partings[0].groups == [[B, C], [A]]
    assert found.partings[0].refused == {D: "operator Erf is not supported here"}
    assert followed(folders) == [B, C]
    assert followed(folders, B) == [A, C, B]


@pytest.mark.parametrize("options", [{}, {"samples": 21, "batch": 4}, {"batch_size": 8}])
def test_where_each_is_wrong_somewhere_every_node_gets_its_majority(tmp_path: Path, options: dict[str, Any]) -> None:
    found, folders, _ = asked(tmp_path, {A: Plain(), B: Scaled(), C: Without("Tanh"), D: RIGHT()}, **options)
    assert found.groups == [[A], [B]]
    assert [(one.operator, one.groups) for one in found.partings] == [
        ("Erf", [[B, C, D], [A]]),
        ("Tanh", [[A, D], [B]]),
    ]
    assert {*found.by_node} == {A, B, C, D}
    (place,) = oracle_folders([f"oracle {name}" for name in ORACLES], "agreement", folders).values()
    outputs = load_arrays(place / "probe.float64.safetensors")["y"]
    assert np.abs(outputs - exact(folders)).max() < 1e-14
    # The vote of the cell's own engine does not count at Tanh: A and the other part.
    assert followed(folders, A) == [B, A]


def test_each_refusal_gives_way_for_its_node_alone(tmp_path: Path) -> None:
    found, folders, _ = asked(
        tmp_path, {A: Without("Erf"), B: Without("Tanh"), C: Without("MatMul"), D: Without("Add")}
    )
    assert (found.groups, found.partings, found.stopped) == ([], [], "")
    (place,) = oracle_folders([f"oracle {name}" for name in ORACLES], "agreement", folders, A).values()
    assert np.abs(load_arrays(place / "probe.float64.safetensors")["y"] - exact(folders)).max() < 1e-14


def test_what_nobody_can_compute_is_told(tmp_path: Path) -> None:
    found, folders, _ = asked(tmp_path, dict.fromkeys((A, B, C, D), Without("Erf")))
    assert found.stopped == "nobody can compute Erf (node 'erf'): operator Erf is not supported here"
    assert (found.by_node, followed(folders)) == ([], [])


def test_two_wrong_ones_do_not_decide_against_each_other(tmp_path: Path) -> None:
    found, folders, _ = asked(tmp_path, {A: Plain(), B: RIGHT(), C: Without("Erf"), D: Without("Erf")})
    assert [one.groups for one in found.partings] == [[[A], [B]]]
    # Nothing is decided: both are shown.
    assert followed(folders) == [A, B]


def test_the_floor_comes_from_others_for_a_node_that_the_reference_refuses(tmp_path: Path) -> None:
    workers, folders = InProcess({A: Without("Erf"), B: RIGHT(), C: RIGHT()}), given(tmp_path, samples=21, batch=4)
    step = ReferenceStep(id="reference", runtime=RUNTIMES[A], batch_size=64, threads=1, others=(C, B))
    context = workers.context(step, tmp_path / "reference", folders)
    context.predict = lambda *_: pytest.fail("it was loaded")  # type: ignore[method-assign,assignment]
    step.carry_out(context)
    outputs = load_arrays(tmp_path / "reference" / "probe.float32.safetensors")["y"]
    assert (outputs.dtype, outputs.shape) == (np.float32, (21, 3))
    assert 0 < np.abs(outputs - exact(folders)).max() < 1e-5
    assert json.loads((tmp_path / "reference" / "by.json").read_text()) == {"by": [A, C]}
    assert workers.asked[B] == 0


def test_a_floor_that_nobody_can_compute_is_the_references_own_refusal(tmp_path: Path) -> None:
    workers, folders = InProcess({A: Without("Erf"), B: Without("Erf")}), given(tmp_path)
    step = ReferenceStep(id="reference", runtime=RUNTIMES[A], batch_size=64, threads=1, others=(B,))
    with pytest.raises(UnsupportedError, match=r"^python/onnx-reference: operator Erf is not supported here"):
        step.carry_out(workers.context(step, tmp_path / "reference", folders))


def test_a_file_that_the_reference_cannot_load_is_described_by_another(tmp_path: Path) -> None:
    workers, folders = InProcess({A: Without("Erf"), B: Without("Tanh"), C: RIGHT()}), given(tmp_path)
    step = StructureStep(id="structure", runtime=RUNTIMES[A], others=(B, C))
    step.carry_out(workers.context(step, tmp_path / "structure", folders))
    made = json.loads((tmp_path / "structure" / "load.json").read_text())
    assert [entry["name"] for entry in made["inputs"]] == ["x"]
    assert {*load_arrays(tmp_path / "structure" / "parameters.safetensors")} >= {"w", "v"}
    with pytest.raises(UnsupportedError, match=r"^python/onnx-reference: operator Erf"):
        step = StructureStep(id="structure", runtime=RUNTIMES[A], others=(B,))
        step.carry_out(workers.context(step, tmp_path / "again", folders))
