"""Cells of a small model and of a file whose errors are so many noise floors, for tests of their judgement."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from harness.compare.records import Verdict
from harness.results.evaluate import DecisionRule, Exported, Judged, SourceFile, SourceModel, Target, judge
from tests.unit.compare.tempcnn_graphs import draw_parameters, export, specification

SPEC = specification()
WEIGHTS = draw_parameters(SPEC)
CLASSES = ["a", "b", "c", "d", "e"]
RANDOM = np.random.default_rng(3)
#: Outputs (sample, class) of spread 3; the nearest two classes of a sample are 0.1 apart at least.
EXACT = np.stack([RANDOM.permutation([-4.0, -1.9, 0.3, 2.1, 4.2]) for _ in range(64)])
#: One noise floor, with the sign of each error.
NOISE = 1e-6 * np.sign(RANDOM.normal(size=EXACT.shape))
IDS = np.arange(1000, 1064)
METADATA = {"harness.classes": json.dumps(CLASSES)}


def graph_of(style: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """An exported graph whose output has the name that it has in the specification, and what it holds."""
    structure, held = export(SPEC, WEIGHTS, style=style)
    structure["nodes"][-1]["outputs"] = ["logits"]
    structure["outputs"][0]["name"] = "logits"
    return structure, held


#: The route may be off by 1e-6 of the spread where batch normalisation is folded, by 1e-8 elsewhere.
FOLDED, HELD_FOLDED = graph_of("folded")
KEPT, HELD = graph_of("kept")

SOURCE = SourceModel(
    spec=SPEC,
    parameters=WEIGHTS,
    float32={"logits": EXACT + NOISE},
    float64={"logits": EXACT},
    metadata=METADATA,
    decision=DecisionRule("argmax", CLASSES, IDS),
)


def judged(
    target: float | np.ndarray = 1.0,
    route: float = 0.0,
    *,
    source: SourceModel = SOURCE,
    folded: bool = False,
    held: dict[str, np.ndarray] | None = None,
    metadata: dict[str, str] | None = None,
    **exported: Any,
) -> Judged:
    """A cell whose target and whose graph in float64 are off by so many noise floors (or by an array)."""
    structure, own = (FOLDED, HELD_FOLDED) if folded else (KEPT, HELD)
    graph = Exported(structure, {"python/onnx-reference": {"logits": EXACT + route * NOISE}})
    return judge(
        source,
        replace(graph, **exported),
        Target(METADATA if metadata is None else metadata, held or own, {"logits": EXACT + target * NOISE}),
    )


def objecting(found: Judged) -> list[str]:
    return [one.comparison for one in found.judgement.findings if one.verdict.rank > Verdict.EQUIVALENT.rank]


TENSORS = {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}
FILE = SourceFile(
    parameters=TENSORS,
    float32={"y": EXACT + NOISE},
    float64={"y": EXACT},
    decision=DecisionRule("argmax", CLASSES, IDS),
)
GRAPH = Exported(None, {"python/onnx-reference": {"y": EXACT}})

#: A second output, of another size, whose noise floor is a thousand times that of the first.
WIDE = RANDOM.normal(size=(64, 7))
WIDE_NOISE = 1e-3 * np.sign(RANDOM.normal(size=WIDE.shape))
TWO = SourceFile(
    parameters=TENSORS,
    float32={"y": EXACT + NOISE, "z": WIDE + WIDE_NOISE},
    float64={"y": EXACT, "z": WIDE},
    decision=DecisionRule("argmax", CLASSES, IDS),
)
