"""Where a given file parts from its source: looked for only where their outputs in float64 differ."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from harness.compare import gates
from harness.compare.placement import Placement
from harness.compare.source_layers import SourceLayer
from harness.compare.subgraphs import all_nodes
from harness.files.arrays import load_arrays
from harness.files.atomic import to_json, write_atomically
from harness.models.sampling import Sampling
from harness.models.spec import ModelSpec
from harness.pipeline.fingerprint import of_runtime
from harness.pipeline.source_code import code_hash
from harness.pipeline.source_walk import SourceWalk, largest_gap
from harness.pipeline.step import PLACE, Context, Step
from harness.pipeline.steps.weights import WEIGHTS, model_of, sampling_of
from harness.pipeline.walked_sources import KnownSource, WalkedSource, WholeModelSource, clean_routes, whole_routes
from harness.runtimes.row import Runtime


@dataclass(frozen=True, kw_only=True)
class PlaceStep(Step):
    """Leaves a `Placement` as ``placement.json``; one without differences or layers where source and file agree.

    The source is a model of the harness. ``runtime`` runs the file and what the source's own framework, ``source_runtime``,
    exports of it. Needs the file, its graph, the probe, the weights, the source's answers and those of the file in float64.
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
        ask = functools.partial(context.ask_other, self.source_runtime.name)
        source = KnownSource(ask, spec, weights, clean_routes(self.source_runtime))
        own = [str(entry["name"]) for entry in structure["outputs"]]
        names = list(zip([tensor.name for tensor in spec.outputs], own, strict=False))
        _place(context, source, context.needed("source"), names, _limit(spec, structure), self.samples)


@dataclass(frozen=True, kw_only=True)
class PlaceWholeStep(Step):
    """Leaves what `PlaceStep` leaves, of a source that is a whole model in the file at ``path``.

    Needs the file, its graph, the probe, the answers of the source and those of the file in float64.
    """

    kind: ClassVar[str] = "place"

    source_runtime: Runtime
    path: str = field(metadata=PLACE)
    samples: int
    threads: int

    def outside(self) -> dict[str, Any]:
        """Both runtimes with their workers, and what compares them."""
        return {
            **of_runtime(self.worker),
            "source": of_runtime(self.source_runtime),
            "code": code_hash(__name__),
        }

    def carry_out(self, context: Context) -> None:
        """Compare the outputs, and walk where they differ. Raises WorkerError where one of the two breaks."""
        folder = context.needed("whole")
        record = json.loads((folder / "whole.json").read_text(encoding="utf-8"))
        told = json.loads((folder / "layers.json").read_text(encoding="utf-8"))
        sampling = sampling_of(context)
        axes = {theirs: sampling.axes.get(own, 0) for theirs, own in record["inputs"].items()}
        source = WholeModelSource(
            ask=functools.partial(context.ask_other, self.source_runtime.name),
            path=self.path,
            layers=[SourceLayer(**{**layer, "inputs": tuple(layer["inputs"])}) for layer in told],
            axes=Sampling(axes, sampling.whole),
            example=folder / "probe.safetensors",
            routes=whole_routes(self.source_runtime, Path(self.path)),
        )
        # The answers of the source were written under the names of the file's outputs.
        names = [(own, own) for own in record["outputs"].values()]
        # Nothing tells whether an exporter folded batch normalisation into float32 weights.
        _place(context, source, folder, names, gates.ROUTE_FOLDED, self.samples)


def _place(
    context: Context,
    source: WalkedSource,
    answers: Path,
    names: Sequence[tuple[str, str]],
    limit: float,
    samples: int,
) -> None:
    """Leave the placement in the step's folder; ``answers``: the folder of the source's probe and of its outputs.

    ``names``: of the outputs, the source's and the file's. It is walked where they differ by more than ``limit``.
    """
    there, here = (load_arrays(folder / "probe.float64.safetensors") for folder in (answers, context.needed("oracle")))
    gap = largest_gap(there, here, names)
    found = Placement(reference="", samples=0, gap=gap)
    if gap is None or gap > limit:
        with tempfile.TemporaryDirectory(prefix="place-", dir=context.folder) as scratch:
            walk = SourceWalk(source=source, reader=context.ask, scratch=Path(scratch), tell=context.tell)
            found = walk.placement(
                model_of(context),
                json.loads((context.needed("structure") / "structure.json").read_text(encoding="utf-8")),
                context.needed("probe") / "probe.safetensors",
                answers / "probe.safetensors",
                samples,
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
