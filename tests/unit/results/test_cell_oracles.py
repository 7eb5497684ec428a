"""A cell whose preferred route oracle cannot compute the graph: the next one does, and the report says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.compare.records import Verdict
from harness.pipeline.execution import Failure
from harness.pipeline.plan import Cell
from harness.results.artifacts import Probe, SourceArtifacts
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


def judged(folders: dict[str, Path], failures: dict[str, Failure]):
    probe = Probe("hash", 64, np.arange(64), {"class_names": ["a", "b", "c", "d", "e"]})
    source = SourceArtifacts(folders["weights"], folders["source"], probe)
    here = {name: folder for name, folder in folders.items() if name not in failures}
    return evaluate(CELL, source.model, Labels.of(source, "pytorch"), here, failures)


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
    assert found.verdict is Verdict.DIVERGENT
    assert any("r/base and julia/base, differ by" in finding.message for finding in found.findings)
