"""``manifest.json`` of a scenario: what was run, on what, with what, and from which source."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from harness.results.artifacts import SourceArtifacts, export_record
from harness.results.publish import TRAINING_TIMINGS, environment_record
from harness.results.run_outcome import Outcome


def scenario_manifest(outcome: Outcome, source: SourceArtifacts, dataset: dict[str, Any]) -> dict[str, Any]:
    """The manifest; ``dataset`` is the content of ``dataset.json``."""
    scenario = outcome.scenario
    exports = {}
    for cell in outcome.plan.cells:
        if cell.export in outcome.folders and (record := export_record(outcome.folders[cell.export])) is not None:
            exports[cell.route_label] = record
    return {
        **environment_record(outcome.availability, outcome.keys, scenario.threads),
        "identity": outcome.identity,
        "accidents": dict(sorted(outcome.finished.accidents.items())),
        "scenario": {
            "name": scenario.scenario,
            "title": scenario.title,
            "description": scenario.description,
            "text": outcome.text,
            "sha256": hashlib.sha256(outcome.text.encode()).hexdigest(),
        },
        "seeds": {"scenario": scenario.seed},
        "data": dataset,
        "model": source.spec.model_dump(mode="json"),
        **_origin(source),
        "exports": exports,
        "probe": {"samples": source.probe.samples, "sha256": source.probe.sha256},
    }


def _origin(source: SourceArtifacts) -> dict[str, Any]:
    """Where the weights come from: the record of their training, or of their import."""
    if (imported := source.imported) is not None:
        return {"source": "weights", "imported": imported}
    training = json.loads((source.weights / "training.json").read_text())
    return {"training": {name: value for name, value in training.items() if name not in TRAINING_TIMINGS}}
