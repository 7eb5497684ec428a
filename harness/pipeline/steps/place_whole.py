"""Where a given file parts from the whole model that it was made from: looked for only where their outputs in float64 differ."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harness.compare import gates
from harness.compare.alike import Known
from harness.compare.outputs import relative_rms
from harness.compare.parting import Side
from harness.compare.placement import Placement
from harness.compare.source_layers import (
    SourceLayer,
    named_nodes,
    paired_by_name,
    parting_sentence,
    walked_layers,
)
from harness.compare.walked_nodes import walked_nodes
from harness.errors import BadInputError, UnsupportedError
from harness.files.arrays import Array, load_arrays, save_arrays
from harness.files.atomic import to_json, write_atomically
from harness.models.sampling import Sampling
from harness.pipeline.fingerprint import of_runtime
from harness.pipeline.placing import Opened, Rerun
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import PLACE, Context, Step
from harness.pipeline.steps.weights import model_of, sampling_of
from harness.runtimes.row import Runtime


@dataclass(frozen=True, kw_only=True)
class PlaceWholeStep(Step):
    """Leaves a `Placement` as ``placement.json``; one without layers where source and file agree.

    ``runtime`` runs the file, ``source_runtime`` the source at ``path``. Needs the file, the probe, the answers of the source and
    those of the file in float64.
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
        there, here = (load_arrays(context.needed(kind) / "probe.float64.safetensors") for kind in ("whole", "oracle"))
        gap = _largest_gap(here, there)
        found = Placement(reference="", samples=0, gap=gap)
        if gap is None or gap > gates.ROUTE_FOLDED:
            with tempfile.TemporaryDirectory(prefix="place-", dir=context.folder) as scratch:
                found = self._walked(context, Path(scratch), gap)
        write_atomically(context.folder / "placement.json", to_json(found.model_dump(mode="json")))

    def _walked(self, context: Context, scratch: Path, gap: float | None) -> Placement:
        probe = load_arrays(context.needed("probe") / "probe.safetensors")
        sampling = sampling_of(context)
        loaded = context.ask("load", path=str(model_of(context)), precision="float64")
        inputs = _chosen(probe, sampling, loaded, self.samples)
        context.tell("the layers of the source")
        layers, exact, single = self._layers(context, scratch, inputs)
        if not layers:
            note = "The source does not tell its layers, so that the place where they part is not known."
            return Placement(reference="", samples=sampling.count(inputs), gap=gap, notes=[note])
        context.tell("the file, node by node")
        given = Rerun(context.ask, scratch).opened(model_of(context), inputs)
        return placed(given, layers, exact, single, sampling.count(inputs), gap)

    def _layers(
        self, context: Context, scratch: Path, inputs: Mapping[str, Array]
    ) -> tuple[list[SourceLayer], dict[str, Array], dict[str, Array]]:
        """The layers of the source with their outputs in float64 and in float32; none where it does not tell them."""
        whole = context.needed("whole")
        told = json.loads((whole / "layers.json").read_text(encoding="utf-8"))
        layers = [SourceLayer(**{**layer, "inputs": tuple(layer["inputs"])}) for layer in told]
        names = json.loads((whole / "whole.json").read_text(encoding="utf-8"))["inputs"]
        ask = functools.partial(context.ask_other, self.source_runtime.name)
        given, outputs = scratch / "samples.safetensors", scratch / "layers.safetensors"
        save_arrays(given, {theirs: inputs[ours] for theirs, ours in names.items()})
        found = []
        try:
            for precision in ("float64", "float32"):
                ask("load", path=self.path, precision=precision)
                ask("activations", inputs=str(given), names=[layer.name for layer in layers], outputs=str(outputs))
                found.append({name: array.astype(np.float64) for name, array in load_arrays(outputs).items()})
        except (BadInputError, UnsupportedError):
            return [], {}, {}
        return layers, found[0], found[1]


def placed(
    given: Opened,
    layers: list[SourceLayer],
    exact: Mapping[str, Array],
    single: Mapping[str, Array],
    samples: int,
    gap: float | None,
) -> Placement:
    """What is found of a file beside the layers of its source. ``exact``, ``single``: their outputs in both precisions."""
    limit, side = gates.ROUTE_FOLDED, given.side
    shown = walked_layers(layers, exact, side.values, limit)
    named = named_nodes(given.structure["nodes"], layers)
    known = Known(exact)
    pairs = {name: alike for name in side.values if (alike := known.find(side.values[name], limit))}
    operators = {layer: f"{node['operator']} '{node['name']}'" for layer, node in named.items()}
    nodes = walked_nodes(
        given.structure, side, Side(side.graph, exact), single, paired_by_name(named, exact, side.values, pairs)
    )
    told = {layer.name: layer for layer in layers}
    return Placement(
        reference="the source's layers",
        samples=samples,
        gap=gap,
        layers=shown,
        # Where the exporter stored nothing, the source itself tells where a node is from.
        nodes=[
            row.model_copy(
                update={
                    "namespace": row.namespace or told[row.reference].namespace,
                    "source_line": row.source_line or told[row.reference].source_line,
                }
            )
            for row in nodes
        ],
        parts=parting_sentence(layers, shown, operators),
    )


def _chosen(
    probe: Mapping[str, Array], sampling: Sampling, loaded: Mapping[str, Any], samples: int
) -> dict[str, Array]:
    """The first samples of the probe, as many as the file takes at once."""
    there = sampling.count(probe)
    fixed = there if sampling.whole else sampling.fixed(loaded)
    chosen = np.arange(min(samples, there) if fixed is None else fixed) % there
    return sampling.taken(probe, chosen)


def _largest_gap(here: Mapping[str, Array], there: Mapping[str, Array]) -> float | None:
    gaps = [relative_rms(here[name], there[name]) for name in there if name in here and there[name].dtype.kind == "f"]
    known = [gap for gap in gaps if gap is not None]
    return max(known) if known and len(known) == len(gaps) else None
