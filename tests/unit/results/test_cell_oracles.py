"""A cell whose preferred route oracle cannot compute the graph: the next one does, and the report says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.compare.records import OracleAgreement, Parting, Verdict
from harness.pipeline.execution import Failure
from harness.pipeline.plan import Cell
from harness.results.artifacts import Probe, SourceArtifacts, own_engine
from harness.results.cell import Labels, evaluate
from harness.workers.tensors import write_tensors
from tests.unit.compare.tempcnn_graphs import draw_parameters, export, specification

SPEC = specification()
WEIGHTS = draw_parameters(SPEC)
RANDOM = np.random.default_rng(0)
EXACT = RANDOM.normal(size=(64, 5))
SINGLE = (EXACT + 1e-7 * RANDOM.normal(size=EXACT.shape)).astype(np.float32)
ORACLES = ("oracle r python/onnx-reference", "oracle r r/base", "oracle r julia/base")
CELL = Cell("m.s.r.t", "t via r", "torch-scan", "r", "python/onnxruntime", "export r", ORACLES, "target r t")
REFUSED = Failure(Verdict.UNSUPPORTED, "python/onnx-reference: operator Loop is not supported")


def written(folder: Path, **arrays: dict[str, np.ndarray]) -> Path:
    folder.mkdir()
    for name, tensors in arrays.items():
        write_tensors(folder / f"{name.replace('_', '.')}.safetensors", tensors)
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    structure, held = export(SPEC, WEIGHTS)
    weights = written(tmp_path / "weights", weights=WEIGHTS)
    (weights / "model.json").write_text(SPEC.to_json())
    source = written(
        tmp_path / "source", probe_float32={"logits": SINGLE}, probe_float64={"logits": SINGLE.astype(np.float64)}
    )
    target = written(tmp_path / "target", probe_float32={"logits": SINGLE}, parameters=held)
    (target / "target.json").write_text(json.dumps({"describe": {"versions": {}}, "load": {"metadata": {}}}))
    found = {"weights": weights, "source": source, CELL.step: target}
    for number, name in enumerate(ORACLES):
        found[name] = written(tmp_path / f"oracle{number}", probe_float64={"logits": SINGLE.astype(np.float64)})
        (found[name] / "structure.json").write_text(json.dumps(structure))
    return found


def judged(folders: dict[str, Path], failures: dict[str, Failure], cell: Cell = CELL):
    probe = Probe("hash", 64, np.arange(64), {"class_names": ["a", "b", "c", "d", "e"]})
    source = SourceArtifacts(folders["weights"], folders["source"], probe)
    here = {name: folder for name, folder in folders.items() if name not in failures}
    return evaluate(cell, source.model, Labels.of(source, "pytorch"), here, failures)


def test_the_next_oracle_serves_and_the_first_is_named_with_its_reason(folders: dict[str, Path]) -> None:
    found = judged(folders, {ORACLES[0]: REFUSED})
    assert found.verdict is Verdict.IDENTICAL
    assert found.route_comparison is not None
    assert found.route_comparison.oracles == ["r/base", "julia/base"]
    assert found.route_comparison.oracle_agreement == 0
    assert found.route_comparison.passed_over == {"python/onnx-reference": REFUSED.error}


def test_one_that_is_not_installed_is_no_refusal(folders: dict[str, Path]) -> None:
    found = judged(folders, {ORACLES[1]: Failure(Verdict.UNAVAILABLE, "r/base: Rscript is not on the path")})
    assert found.route_comparison is not None
    assert found.route_comparison.oracles == ["python/onnx-reference", "julia/base"]
    assert found.route_comparison.passed_over == {}


def test_where_none_can_the_cell_says_why(folders: dict[str, Path]) -> None:
    found = judged(folders, dict.fromkeys(ORACLES, REFUSED))
    assert (found.verdict, found.error) == (Verdict.UNSUPPORTED, REFUSED.error)


def test_two_that_do_not_agree_put_the_reference_in_doubt(folders: dict[str, Path]) -> None:
    other = {"logits": SINGLE.astype(np.float64) + 1e-8}
    write_tensors(folders[ORACLES[2]] / "probe.float64.safetensors", other)
    found = judged(folders, {ORACLES[0]: REFUSED})
    assert found.verdict is Verdict.UNDECIDED
    assert any("r/base and julia/base, differ by" in finding.message for finding in found.findings)


A, B, C = (name.rpartition(" ")[2] for name in ORACLES)


def parted(folders: dict[str, Path], tmp_path: Path, *groups: list[str], wrong: int, **more: object) -> None:
    """An oracle that is off by 1e-8, and what the step that counts votes found at a node."""
    other = {"logits": SINGLE.astype(np.float64) + 1e-8}
    write_tensors(folders[ORACLES[wrong]] / "probe.float64.safetensors", other)
    whole = [[name for place, name in enumerate((A, B, C)) if place != wrong], [(A, B, C)[wrong]]]
    node = Parting(node="erf", operator="Erf", groups=[*groups], values={A: 0.1, B: 0.2, C: 0.2}, distance=1e-8)
    found = OracleAgreement(groups=whole, partings=[node], replaced={"Erf": "computes Erf in single precision"})
    folders["agreement r"] = tmp_path / "agreement"
    folders["agreement r"].mkdir()
    text = found.model_copy(update=more).model_dump_json()
    (folders["agreement r"] / "agreement.json").write_text(text)


def in_runtime(target: str) -> Cell:
    return replace(CELL, target=target, agreement="agreement r")


def test_the_odd_one_is_named_and_no_runtime_is_called_divergent(folders: dict[str, Path], tmp_path: Path) -> None:
    parted(folders, tmp_path, [B, C], [A], wrong=0)
    found = judged(folders, {}, in_runtime("python/onnxruntime"))
    assert found.verdict is Verdict.IDENTICAL
    assert found.route_comparison is not None
    assert found.route_comparison.oracles == [B, C]
    assert [one.operator for one in found.route_comparison.partings] == ["Erf"]
    first, second = (one for one in found.findings if one.comparison == "route")
    assert first.message.startswith("python/onnx-reference computes Erf 'erf' otherwise here, 1.00e-08 of")
    assert second.message.startswith("onnx.reference itself computes Erf in single precision; ")


@pytest.mark.parametrize(
    ("groups", "verdict", "oracles"),
    [
        ([[B, C], [A]], Verdict.UNDECIDED, [A, C, B]),
        ([[B, C, "python/onnxruntime"], [A]], Verdict.IDENTICAL, [C]),
    ],
)
def test_no_engine_decides_about_itself(
    folders: dict[str, Path], tmp_path: Path, groups: list[list[str]], verdict: Verdict, oracles: list[str]
) -> None:
    parted(folders, tmp_path, *groups, wrong=0)
    found = judged(folders, {}, in_runtime(B))
    assert (found.verdict, found.route_comparison and found.route_comparison.oracles) == (verdict, oracles)


def test_what_was_put_together_node_by_node_is_the_reference(folders: dict[str, Path], tmp_path: Path) -> None:
    parted(folders, tmp_path, [B, C], [A], wrong=0, groups=[[A], [B]], by_node=[B, C])
    write_tensors(tmp_path / "agreement" / "probe.float64.safetensors", {"logits": SINGLE.astype(np.float64)})
    found = judged(folders, {ORACLES[2]: REFUSED}, in_runtime("python/onnxruntime"))
    assert found.verdict is Verdict.IDENTICAL
    assert found.route_comparison is not None
    assert found.route_comparison.oracles == ["r/base and julia/base"]
    # Where nobody can compute the whole graph, there is nothing else to follow.
    assert judged(folders, dict.fromkeys(ORACLES, REFUSED), in_runtime(B)).verdict is Verdict.IDENTICAL
    assert judged(folders, {ORACLES[2]: REFUSED}, in_runtime(B)).verdict is Verdict.UNDECIDED


def test_engines_are_known_in_every_version_and_language() -> None:
    assert own_engine("python/onnxruntime@1.20") == own_engine("r/onnxruntime") == "python/onnxruntime"
    assert own_engine("python/onnx-reference@1.17") == "python/onnx-reference"
    assert own_engine("r/base") == "r/base"
