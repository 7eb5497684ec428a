"""What a cell gets from its step node by node: rows, the reason why there are none, and a sentence that decides nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.compare.layers import compare_layers, layer_row
from harness.compare.outputs import compare_runtime, noise_floor
from harness.compare.records import Finding, LayersComparison, Verdict
from harness.files.atomic import to_json
from harness.pipeline.execution import Failure
from harness.pipeline.plan import Cell
from harness.results.cell import layers_of, with_explanation

RANDOM = np.random.default_rng(0)
ORACLE = RANDOM.normal(size=(64, 5))
NOISE = RANDOM.normal(size=(64, 5)) * 1e-6


def cell(layers: str | None) -> Cell:
    return Cell("m.s.r.t", "t via r", "r", "r", "t", "export r", ("oracle r",), "target r t", layers)


def found(factor: float) -> LayersComparison:
    row = layer_row(
        tensor="y",
        node="n",
        operator="Gemm",
        oracle64=ORACLE,
        reference32=ORACLE + NOISE,
        expected64=ORACLE,
        local=ORACLE + factor * NOISE,
    )
    return compare_layers([row], None, samples=8)


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    written = found(9.0)
    (tmp_path / "layers.json").write_text(to_json(written.model_dump(mode="json")))
    assert layers_of(cell("layers r t"), {"layers r t": tmp_path}, {}) == written


def test_a_failed_step_leaves_its_reason_and_the_cell_its_verdict() -> None:
    failure = Failure(Verdict.FAILED, "r/base: the worker died")
    layers = layers_of(cell("layers r t"), {}, {"layers r t": failure})
    assert layers is not None
    assert layers.rows == []
    assert layers.culprit is None
    assert layers.notes == ["Not examined: r/base: the worker died"]


def test_where_it_was_not_asked_for_there_is_nothing() -> None:
    assert layers_of(cell(None), {}, {}) is None


@pytest.mark.parametrize(("factor", "verdict"), [(0.5, Verdict.EQUIVALENT), (9.0, Verdict.DRIFTED)])
def test_the_culprit_stands_behind_what_it_explains_and_calls_for_no_more(factor: float, verdict: Verdict) -> None:
    runtime = compare_runtime(ORACLE + factor * NOISE, ORACLE, noise_floor(ORACLE + NOISE, ORACLE))
    assert runtime.verdict is verdict
    after = Finding(comparison="decisions", verdict=Verdict.DIVERGENT, message="one changed")
    findings = [*runtime.findings, after]
    explained = with_explanation(findings, found(9.0), runtime)
    (new,) = (finding for finding in explained if finding not in findings)
    assert "Gemm 'n'" in new.message
    # The runtime comparison has called a cell equivalent or worse; a node cannot make it worse still.
    assert new.verdict is verdict
    if runtime.findings:
        assert explained == [*runtime.findings, new, after]
    assert with_explanation(findings, found(0.5), runtime) == findings
    assert with_explanation(findings, None, runtime) == findings
