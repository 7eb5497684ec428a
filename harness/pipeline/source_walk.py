"""A source walked beside a file that was made from it: its layers in its own framework, and a clean export of it, node by node.

The layers tell where both part, whatever wrote the file: they owe nothing to an exporter. The export tells what differs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.compare.alike import Known, gap_between, layout_of
from harness.compare.layer_names import LayerNames
from harness.compare.outputs import relative_rms
from harness.compare.parting import Side
from harness.compare.placement import Placement, WalkedLayer
from harness.compare.subgraphs import all_nodes
from harness.compare.walked_nodes import walked_nodes
from harness.errors import AccidentError, BadInputError, UnsupportedError, WorkerError
from harness.files.arrays import load_arrays, save_arrays
from harness.models.sampling import Sampling
from harness.models.spec import ModelSpec
from harness.pipeline.placing import Array, Ask, Opened, Rerun, Walked, walk
from harness.pipeline.source_hypotheses import tried_hypotheses
from harness.runtimes.row import Runtime

#: A difference that is no more than a layer or an output being there under another layout.
_ANY_GAP = 1e9
#: An export is near enough to a file where so many operators differ: no other exporter is asked.
NEAR = 4
_SILENT = frozenset(
    {"Constant", "Identity", "Dropout", "Reshape", "Flatten", "Shape", "Unsqueeze", "Squeeze", "Gather"}
)


@dataclass(frozen=True)
class CleanRoute:
    """A route by which the source is exported anew."""

    tool: str
    opset: int
    fold: bool

    @property
    def label(self) -> str:
        """The route in words."""
        return f"{self.tool}, opset {self.opset}, batch normalisation {'folded' if self.fold else 'kept'}"


def clean_routes(row: Runtime) -> tuple[CleanRoute, ...]:
    """Routes of a framework to ONNX, the quickest first; they differ in what they do with batch normalisation."""
    if row.framework is not None and row.framework.native == "keras":
        return (CleanRoute("keras-export", 17, True),)
    return (
        CleanRoute("torch-script", 17, False),
        CleanRoute("torch-script", 17, True),
        CleanRoute("torch-dynamo", 18, True),
        CleanRoute("torch-dynamo", 18, False),
        CleanRoute("torch-scan", 18, False),
    )


def largest_gap(source: Path, oracle: Path, spec: ModelSpec, structure: Mapping[str, Any]) -> float | None:
    """How far the outputs of file and source are apart in float64, in their order; None where it cannot be told."""
    there, here = (load_arrays(folder / "probe.float64.safetensors") for folder in (source, oracle))
    gaps = []
    for tensor, entry in zip(spec.outputs, structure["outputs"], strict=False):
        if tensor.name not in there or entry["name"] not in here:
            return None
        gaps.append(relative_rms(here[entry["name"]], there[tensor.name]))
    known = [gap for gap in gaps if gap is not None]
    return max(known) if gaps and len(known) == len(gaps) else None


class SourceWalk:
    """``source`` asks the framework's worker, ``reader`` the reference implementation's; ``tell`` what is being done."""

    def __init__(
        self,
        *,
        source: Ask,
        reader: Ask,
        spec: ModelSpec,
        weights: Path,
        scratch: Path,
        routes: Sequence[CleanRoute],
        tell: Any,
    ) -> None:
        self._source, self._reader, self._spec = source, reader, spec
        self._weights, self._scratch, self._routes, self._tell = weights, scratch, routes, tell
        self._notes: list[str] = []

    def placement(
        self,
        model: Path,
        structure: Mapping[str, Any],
        probe: Path,
        source_probe: Path,
        samples: int,
        sampling: Sampling,
        gap: float | None,
    ) -> Placement:
        """Where the file parts from the source. Raises WorkerError where the file cannot be run node by node."""
        loaded = self._reader("load", path=str(model), precision="float64")
        inputs, own = self._samples(probe, source_probe, loaded, samples, sampling)
        count = sampling.count(inputs)
        self._tell("the file, node by node")
        rerun = Rerun(self._reader, self._scratch)
        given = rerun.opened(model, inputs)
        layers = self._layers(own)
        clean, route = self._clean(rerun, own, structure)
        limit = self._limit(given, clean)
        shown = self._walked_layers(layers, given.side, limit)
        if clean is None or route is None:
            return Placement(reference="the source's layers", samples=count, gap=gap, layers=shown, notes=self._notes)
        names = self._names(clean.side, layers, limit)
        self._tell("file and source side by side")
        walked = walk(rerun, given, inputs, clean.side, names, self._axis_names(), limit)
        floors = rerun.opened(clean.path, own, "float32").side.values
        return Placement(
            reference=f"an export of the source by {route.label}",
            samples=count,
            gap=gap,
            layers=shown,
            nodes=walked_nodes(given.structure, given.side, clean.side, floors, walked.pairs),
            differences=walked.differences,
            remaining=walked.remaining,
            tried=self._tried(given.side, own, walked),
            notes=[*self._notes, *walked.notes],
        )

    def _samples(
        self, probe: Path, source_probe: Path, loaded: Mapping[str, Any], samples: int, sampling: Sampling
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """The same samples as the file and as the source take them: the first ones, as many as the file takes at once."""
        arrays, theirs = load_arrays(probe), load_arrays(source_probe)
        there = sampling.count(arrays)
        fixed = there if sampling.whole else sampling.fixed(loaded)
        chosen = np.arange(min(samples, there) if fixed is None else fixed) % there
        return sampling.taken(arrays, chosen), Sampling.of_spec(self._spec).taken(theirs, chosen)

    def _layers(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """What the layers of the source give in float64, in its own framework."""
        given, outputs = self._scratch / "samples.safetensors", self._scratch / "layers.safetensors"
        save_arrays(given, inputs)
        self._tell("the layers of the source")
        names = [layer.name for layer in self._spec.layers]
        try:
            self._source("load", path=str(self._weights / "weights.safetensors"), precision="float64")
            self._source("activations", inputs=str(given), names=names, outputs=str(outputs))
        except (BadInputError, UnsupportedError) as error:
            self._notes.append(f"The layers of the source could not be asked for: {error.what}")
            return {}
        return {name: array.astype(np.float64) for name, array in load_arrays(outputs).items()}

    def _clean(
        self, rerun: Rerun, inputs: Mapping[str, Array], structure: Mapping[str, Any]
    ) -> tuple[Opened | None, CleanRoute | None]:
        """The clean export of the source that is made of the same operators as the file, as nearly as any is."""
        wanted = _operators(structure)
        best: tuple[int, Path, CleanRoute] | None = None
        for index, route in enumerate(self._routes):
            folder = self._scratch / f"clean{index}"
            folder.mkdir()
            self._tell(f"an export of the source by {route.label}")
            try:
                self._source(
                    "export",
                    weights=str(self._weights / "weights.safetensors"),
                    out=str(folder),
                    route=route.tool,
                    opset=route.opset,
                    fold=route.fold,
                )
            except AccidentError:
                raise
            except WorkerError as error:
                self._notes.append(f"No export of the source by {route.label}: {error.what}")
                continue
            made = json.loads((folder / "export.json").read_text(encoding="utf-8"))
            away = _distance(wanted, made["operators"])
            if best is None or away < best[0]:
                best = away, folder / "model.onnx", route
            if away <= NEAR:
                break
        return (None, None) if best is None else (rerun.opened(best[1], inputs), best[2])

    def _limit(self, given: Opened, clean: Opened | None) -> float:
        from harness.compare import gates

        there = sum(layer.kind == "batch-normalisation" for layer in self._spec.layers)
        counts = [_normalisations(given.structure)]
        counts += [] if clean is None else [_normalisations(clean.structure)]
        # A normalisation that the file alone lacks was lost, not folded.
        return gates.ROUTE_FOLDED if counts[-1] < there else gates.ROUTE_UNFOLDED

    def _walked_layers(self, layers: Mapping[str, Array], side: Side, limit: float) -> list[WalkedLayer]:
        """Every layer with the tensor of the file that holds its output, where one does."""
        known = Known(side.values)
        shown = []
        for layer in self._spec.layers:
            found = known.find(layers[layer.name], limit) if layer.name in layers else []
            best = min(found, key=lambda alike: alike.gap, default=None)
            shown.append(
                WalkedLayer(
                    layer=layer.name,
                    kind=layer.kind,
                    tensor="" if best is None else best.name,
                    gap=None if best is None else best.gap,
                )
            )
        return shown

    def _names(self, clean: Side, layers: Mapping[str, Array], limit: float) -> LayerNames:
        known = Known(clean.values)
        found = {name: known.find(array, limit) for name, array in layers.items()}
        missing = [name for name, alike in found.items() if not alike]
        # A layer that is folded away is in no file; where none is found the exporter itself is at fault.
        if found and len(missing) == len(found):
            self._notes.append(
                "A fresh export of the source does not hold the source's layers: the exporter changes the model."
            )
        outputs = {name: alike[0].name for name, alike in found.items() if alike}
        return LayerNames(clean.graph, [layer.name for layer in self._spec.layers], outputs)

    def _axis_names(self) -> dict[str, tuple[str, ...]]:
        return {tensor.name: tuple(axis.name for axis in tensor.axes) for tensor in self._spec.inputs}

    def _tried(self, given: Side, inputs: Mapping[str, Array], walked: Walked) -> list[Any]:
        output = self._spec.outputs[0].name
        if not given.graph.outputs or (answer := given.values.get(given.graph.outputs[0])) is None:
            return []

        def gap(found: Array) -> float | None:
            if found.shape == answer.shape:
                return gap_between(answer, found)
            layout = layout_of(answer, found, _ANY_GAP)
            return None if layout is None else layout[1]

        self._tell("hypotheses about the source")
        return tried_hypotheses(self._source, self._spec, self._weights, inputs, output, gap, self._scratch)


def _normalisations(structure: Mapping[str, Any]) -> int:
    return sum(node["operator"] == "BatchNormalization" for node in all_nodes(structure))


def _operators(structure: Mapping[str, Any]) -> dict[str, int]:
    return dict(Counter(str(node["operator"]) for node in structure["nodes"]))


def _distance(one: Mapping[str, int], two: Mapping[str, int]) -> int:
    """By how many operators two graphs differ, what only states or lays out values aside."""
    return sum(abs(one.get(name, 0) - two.get(name, 0)) for name in {*one, *two} - _SILENT)
