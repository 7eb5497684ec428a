"""A source walked beside a file that was made from it: its layers in its own framework, and a clean export of it, node by node."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.compare import gates
from harness.compare.alike import Known, gap_between, layout_of
from harness.compare.layer_names import LayerNames
from harness.compare.outputs import relative_rms
from harness.compare.parting import Side
from harness.compare.placement import Placement, TriedHypothesis, WalkedLayer, WalkedNode
from harness.compare.source_layers import (
    named_nodes,
    paired_by_name,
    parting_sentence,
    walked_layers,
)
from harness.compare.subgraphs import all_nodes
from harness.compare.walked_nodes import walked_nodes
from harness.errors import AccidentError, BadInputError, UnsupportedError, WorkerError
from harness.files.arrays import load_arrays, save_arrays
from harness.models.sampling import Sampling
from harness.pipeline.placing import Array, Ask, Opened, Rerun, walk
from harness.pipeline.walked_sources import CleanRoute, WalkedSource

#: A difference that is no more than a layer or an output being there under another layout.
_ANY_GAP = 1e9
#: An export is near enough to a file where so many operators differ: no other exporter is asked.
NEAR = 4
_SILENT = frozenset(
    {"Constant", "Identity", "Dropout", "Reshape", "Flatten", "Shape", "Unsqueeze", "Squeeze", "Gather"}
)


def largest_gap(
    there: Mapping[str, Array], here: Mapping[str, Array], names: Sequence[tuple[str, str]]
) -> float | None:
    """How far outputs in float64 are apart, by pairs of names, the source's and the file's; None where it cannot be told."""
    gaps = [
        relative_rms(here[own], there[theirs]) if theirs in there and own in here else None for theirs, own in names
    ]
    known = [gap for gap in gaps if gap is not None]
    return max(known) if gaps and len(known) == len(gaps) else None


class SourceWalk:
    """``reader`` asks the reference implementation's worker; ``tell`` what is being done."""

    def __init__(self, *, source: WalkedSource, reader: Ask, scratch: Path, tell: Callable[[str], None]) -> None:
        self._source, self._reader, self._scratch, self._tell = source, reader, scratch, tell
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
        layers = self._layers(own, "float64")
        clean, route = self._clean(rerun, own, structure)
        limit = self._limit(given, clean)
        shown = walked_layers(self._source.layers, layers, given.side.values, limit)
        if clean is None or route is None:
            return Placement(
                reference="the source's layers",
                samples=count,
                gap=gap,
                layers=shown,
                nodes=self._beside_layers(given, layers, own, limit),
                notes=self._notes,
                parts=self._parts(given, shown),
            )
        names = self._names(clean.side, layers, limit)
        self._tell("file and source side by side")
        walked = walk(rerun, given, inputs, clean.side, names, self._source.axis_names, limit)
        floors = rerun.opened(clean.path, _fed(clean.structure, own), "float32").side.values
        nodes = walked_nodes(given.structure, given.side, clean.side, floors, walked.pairs)
        return Placement(
            reference=f"an export of the source by {route.label}",
            samples=count,
            gap=gap,
            layers=shown,
            nodes=self._told(nodes, given, shown),
            differences=walked.differences,
            remaining=walked.remaining,
            tried=self._tried(given.side, own),
            notes=[*self._notes, *walked.notes],
            parts=self._parts(given, shown),
        )

    def _parts(self, given: Opened, shown: Sequence[WalkedLayer]) -> str:
        """The first layer that parts, in words. Layers of a model of the harness are told by the differences."""
        if self._source.known or not any(layer.tensor for layer in shown):
            return ""
        named = named_nodes(given.structure["nodes"], self._source.layers)
        operators = {layer: f"{node['operator']} '{node['name']}'" for layer, node in named.items()}
        return parting_sentence(self._source.layers, shown, operators)

    def _beside_layers(
        self, given: Opened, layers: Mapping[str, Array], inputs: Mapping[str, Array], limit: float
    ) -> list[WalkedNode]:
        """The nodes of the file that hold a layer, or that were made of one; where there is no export to walk."""
        if not layers:
            self._notes.append("The place where they part is not known: the source tells no layers.")
            return []
        single, known = self._layers(inputs, "float32"), Known(layers)
        values, side = given.side.values, Side(given.side.graph, layers)
        pairs = {name: alike for name in values if (alike := known.find(values[name], limit))}
        named = named_nodes(given.structure["nodes"], self._source.layers)
        rows = walked_nodes(given.structure, given.side, side, single, paired_by_name(named, layers, values, pairs))
        told = {layer.name: layer for layer in self._source.layers}
        return [_from(row, told[row.reference].namespace, told[row.reference].source_line) for row in rows]

    def _told(self, rows: Sequence[WalkedNode], given: Opened, shown: Sequence[WalkedLayer]) -> list[WalkedNode]:
        """Where the exporter stored nothing of a node, the source itself tells where it is from."""
        told = {layer.name: layer for layer in self._source.layers}
        holds = {row.tensor: told[row.layer] for row in shown if row.tensor}
        named = named_nodes(given.structure["nodes"], self._source.layers)
        holds |= {name: told[layer] for layer, node in named.items() for name in node["outputs"]}
        return [
            _from(row, holds[row.tensor].namespace, holds[row.tensor].source_line) if row.tensor in holds else row
            for row in rows
        ]

    def _samples(
        self, probe: Path, source_probe: Path, loaded: Mapping[str, Any], samples: int, sampling: Sampling
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """The same samples as the file and as the source take them: the first ones, as many as the file takes at once."""
        arrays, theirs = load_arrays(probe), load_arrays(source_probe)
        there = sampling.count(arrays)
        fixed = there if sampling.whole else sampling.fixed(loaded)
        chosen = np.arange(min(samples, there) if fixed is None else fixed) % there
        return sampling.taken(arrays, chosen), self._source.sampling().taken(theirs, chosen)

    def _layers(self, inputs: Mapping[str, Array], precision: str) -> dict[str, Array]:
        """What the layers of the source give in its own framework; nothing where it does not tell them."""
        if not self._source.layers:
            return {}
        given, outputs = self._scratch / "samples.safetensors", self._scratch / "layers.safetensors"
        save_arrays(given, inputs)
        self._tell("the layers of the source")
        try:
            self._source.activations(precision, given, outputs)
        except (BadInputError, UnsupportedError) as error:
            self._notes.append(f"The layers of the source could not be asked for: {error.what}")
            return {}
        return {name: array.astype(np.float64) for name, array in load_arrays(outputs).items()}

    def _clean(
        self, rerun: Rerun, inputs: Mapping[str, Array], structure: Mapping[str, Any]
    ) -> tuple[Opened | None, CleanRoute | None]:
        """The clean export of the source that is made of the same operators as the file, as nearly as any is."""
        wanted = _operators(structure)
        best: tuple[int, Path, dict[str, Any], CleanRoute] | None = None
        for index, route in enumerate(self._source.routes):
            folder = self._scratch / f"clean{index}"
            folder.mkdir()
            self._tell(f"an export of the source by {route.label}")
            try:
                self._source.export(route, folder)
                made = self._structure(folder / "model.onnx")
            except AccidentError:
                raise
            except WorkerError as error:
                self._notes.append(f"No export of the source by {route.label}: {error.what}")
                continue
            away = _distance(wanted, _operators(made))
            if best is None or away < best[0]:
                best = away, folder / "model.onnx", made, route
            if away <= NEAR:
                break
        if best is None:
            return None, None
        _, path, made, route = best
        return rerun.opened(path, _fed(made, inputs)), route

    def _structure(self, path: Path) -> dict[str, Any]:
        described = self._scratch / "structure.json"
        self._reader("structure", path=str(path), outputs=str(described))
        found: dict[str, Any] = json.loads(described.read_text(encoding="utf-8"))
        return found

    def _limit(self, given: Opened, clean: Opened | None) -> float:
        counts = [_normalisations(given.structure)]
        counts += [] if clean is None else [_normalisations(clean.structure)]
        there = self._source.normalisations
        # A normalisation that the file alone lacks was lost, not folded.
        return gates.ROUTE_FOLDED if there is None or counts[-1] < there else gates.ROUTE_UNFOLDED

    def _names(self, clean: Side, layers: Mapping[str, Array], limit: float) -> LayerNames:
        known = Known(clean.values)
        found = {name: known.find(array, limit) for name, array in layers.items()}
        missing = [name for name, alike in found.items() if not alike]
        # A layer that is folded away is in no file; where none is found the exporter itself is at fault.
        if found and len(missing) == len(found):
            self._notes.append(
                "A fresh export of the source does not hold the source's layers: the exporter changes the model."
            )
        modules = {layer.name: layer.namespace for layer in self._source.layers}
        # Of several operations of a module the last one gives its output.
        outputs = {modules[name]: alike[0].name for name, alike in found.items() if alike and modules[name]}
        stored = [layer.name for layer in self._source.layers] if self._source.known else []
        return LayerNames(clean.graph, stored, outputs)

    def _tried(self, given: Side, inputs: Mapping[str, Array]) -> list[TriedHypothesis]:
        if not given.graph.outputs or (answer := given.values.get(given.graph.outputs[0])) is None:
            return []

        def gap(found: Array) -> float | None:
            if found.shape == answer.shape:
                return gap_between(answer, found)
            layout = layout_of(answer, found, _ANY_GAP)
            return None if layout is None else layout[1]

        self._tell("hypotheses about the source")
        return self._source.tried(inputs, gap, self._scratch)


def _fed(structure: Mapping[str, Any], inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """Inputs of the source by the names that its export gives them, in their order where it renamed them."""
    names = [str(entry["name"]) for entry in structure["inputs"]]
    if set(names) == set(inputs) or len(names) != len(inputs):
        return inputs
    return dict(zip(names, inputs.values(), strict=True))


def _normalisations(structure: Mapping[str, Any]) -> int:
    return sum(node["operator"] == "BatchNormalization" for node in all_nodes(structure))


def _operators(structure: Mapping[str, Any]) -> dict[str, int]:
    return dict(Counter(str(node["operator"]) for node in structure["nodes"]))


def _distance(one: Mapping[str, int], two: Mapping[str, int]) -> int:
    """By how many operators two graphs differ, what only states or lays out values aside."""
    return sum(abs(one.get(name, 0) - two.get(name, 0)) for name in {*one, *two} - _SILENT)


def _from(row: WalkedNode, namespace: str, source_line: str) -> WalkedNode:
    """A row with where its node is from, as far as it does not say so itself."""
    return row.model_copy(
        update={"namespace": row.namespace or namespace, "source_line": row.source_line or source_line}
    )
