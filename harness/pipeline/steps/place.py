"""Where a given file parts from its source: looked for only where their outputs in float64 differ."""

from __future__ import annotations

import functools
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from harness.compare import gates
from harness.compare.placement import Placement
from harness.compare.subgraphs import all_nodes
from harness.files.atomic import to_json, write_atomically
from harness.models.spec import ModelSpec
from harness.pipeline.fingerprint import of_runtime
from harness.pipeline.source_code import code_hash
from harness.pipeline.source_walk import SourceWalk, clean_routes, largest_gap
from harness.pipeline.step import Context, Step
from harness.pipeline.steps.weights import WEIGHTS, model_of, sampling_of
from harness.runtimes.row import Runtime


@dataclass(frozen=True, kw_only=True)
class PlaceStep(Step):
    """Leaves a `Placement` as ``placement.json``; one without differences or layers where source and file agree.

    ``runtime`` runs the file and what the source's own framework, ``source_runtime``, exports of it. Needs the file, its
    graph, the probe, the weights, the source's answers and those of the file in float64.
    """

    kind: ClassVar[str] = "place"

    source_runtime: Runtime
    samples: int
    threads: int

    def outside(self) -> dict[str, Any]:
        """Both runtimes with their workers, and what compares them."""
        return {
            **of_runtime(self.worker),
            "source": of_runtime(self.source_runtime),
            "code": code_hash(__name__, "harness.models"),
        }

    def carry_out(self, context: Context) -> None:
        """Compare the outputs, and walk where they differ. Raises WorkerError where one of the two breaks."""
        weights = context.needed(*WEIGHTS)
        spec = ModelSpec.from_json((weights / "model.json").read_text(encoding="utf-8"))
        structure = json.loads((context.needed("structure") / "structure.json").read_text(encoding="utf-8"))
        limit = _limit(spec, structure)
        gap = largest_gap(context.needed("source"), context.needed("oracle"), spec, structure)
        found = Placement(reference="", samples=0, gap=gap)
        if gap is None or gap > limit:
            with tempfile.TemporaryDirectory(prefix="place-", dir=context.folder) as scratch:
                walk = SourceWalk(
                    source=functools.partial(context.ask_other, self.source_runtime.name),
                    reader=context.ask,
                    spec=spec,
                    weights=weights,
                    scratch=Path(scratch),
                    routes=clean_routes(self.source_runtime),
                    tell=context.tell,
                )
                found = walk.placement(
                    model_of(context),
                    structure,
                    context.needed("probe") / "probe.safetensors",
                    context.needed("source") / "probe.safetensors",
                    self.samples,
                    sampling_of(context),
                    gap,
                )
        write_atomically(context.folder / "placement.json", to_json(found.model_dump(mode="json")))


def _limit(spec: ModelSpec, structure: dict[str, Any]) -> float:
    """The limit of the route: folded weights are rounded once more."""
    kept = sum(node["operator"] == "BatchNormalization" for node in all_nodes(structure))
    there = sum(layer.kind == "batch-normalisation" for layer in spec.layers)
    return gates.ROUTE_FOLDED if kept < there else gates.ROUTE_UNFOLDED


def read_placement(folder: Path) -> Placement:
    """What a ``place`` step left in its folder."""
    return Placement.model_validate(json.loads((folder / "placement.json").read_text(encoding="utf-8")))
