"""A file that computes in half precision has the floor of half precision, and its sentence says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.compare.half_precision import spacing
from harness.compare.records import Verdict
from harness.results.evaluate import SAME_PLACES, Exported, Judged, SourceFile, SourceModel, Target, judge
from tests.unit.results.judge.judged_cells import EXACT, HELD, KEPT, METADATA, NOISE, SOURCE

#: Outputs (sample, class) that float16 holds, as a graph casts them to float32 at its end.
HALF = EXACT.astype(np.float16).astype(np.float32)


def graph_in(dtype: str) -> dict[str, Any]:
    """A product with a stored tensor of that type."""
    node = {"operator": "Mul", "name": "m", "inputs": ["x", "w"], "outputs": ["y"], "attributes": {}}
    weights = [{"name": "w", "dtype": dtype, "shape": [1]}]
    return {"initializers": weights, "nodes": [node], "inputs": [], "outputs": [], "metadata": {}, "opsets": {}}


def of_file(dtype: str, source: SourceFile | None = None) -> Judged:
    """A target whose error is one step of float16 at the largest output."""
    source = source or SourceFile({}, {"y": HALF}, {"y": HALF.astype(np.float64)}, None)
    graph = Exported(graph_in(dtype), {"python/onnx-reference": source.float64})
    return judge(source, graph, Target({}, {}, {"y": source.float32["y"] + np.float32(2.0**-8)}))


def test_the_floor_of_a_file_in_half_precision_is_half_a_step_of_it() -> None:
    found = of_file("float16")
    assert found.floor.rms == found.floor.max_abs == spacing(4.2, "float16") / 2
    assert (found.floor.measured_rms, found.runtime.rms_ratio) == (0.0, pytest.approx(2.0))
    assert found.judgement.verdict is Verdict.EQUIVALENT
    assert found.judgement.sentence == (
        "Equivalent: its parameters are the file's and its runtime error is 2 times the noise floor; "
        "the floor is that of float16."
    )


def test_the_floor_of_a_file_in_single_precision_is_not_mentioned() -> None:
    found = of_file("float32")
    assert found.floor.rms == spacing(4.2, "float32") / 2
    assert found.judgement.verdict is Verdict.DIVERGENT
    assert "the floor is that" not in found.judgement.sentence


def test_precision_and_places_of_nan_are_told_in_one_sentence() -> None:
    values = HALF.copy()
    values[2, 1] = np.nan
    found = of_file("float16", SourceFile({}, {"y": values}, {"y": values.astype(np.float64)}, None, allow_nan=True))
    assert found.judgement.sentence.endswith(f" the noise floor; the floor is that of float16; {SAME_PLACES}.")


def test_what_a_file_was_exported_from_has_a_floor_of_its_own() -> None:
    """The source computed in float32, whatever the file does."""
    source: SourceModel = replace(SOURCE, float32={"logits": HALF}, float64={"logits": HALF.astype(np.float64)})
    halved = {**KEPT, "initializers": [{**one, "dtype": "float16"} for one in KEPT["initializers"]]}
    found = judge(
        source, Exported(halved, {"r/base": source.float64}), Target(METADATA, HELD, {"logits": HALF + NOISE})
    )
    assert found.floor.rms == spacing(4.2, "float32") / 2
    assert "the floor is that" not in found.judgement.sentence
