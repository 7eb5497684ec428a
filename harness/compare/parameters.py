"""Canonical parameters against those a target really holds, bit for bit.

Where the target is a graph, parameters are paired by the part they play in it, not by name: exporters rename what they
fold, and keep the name of what they changed. Where there is no graph, they are paired by canonical name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from harness.compare.copies import copies
from harness.compare.graph import Graph
from harness.compare.parameter_folds import FoldedTable
from harness.compare.parameter_rows import extra_row, same_values, sentence
from harness.compare.parameter_table import parameter_of
from harness.compare.records import Finding, ParameterComparison, Verdict
from harness.compare.recurrent import join_gates, unrolled
from harness.compare.roles import Linear, StoredTensor, find_roles
from harness.compare.subgraphs import flattened, stated
from harness.errors import ModelError
from harness.models.spec import Layer, ModelSpec

Array = NDArray[Any]


def compare_parameters(
    spec: ModelSpec,
    source: Mapping[str, Array],
    structure: Mapping[str, Any] | None,
    target: Mapping[str, Array],
) -> ParameterComparison:
    """Compare the canonical parameters of ``source`` with what a target holds.

    Args:
        spec: the model; its layers in the order of execution.
        source: canonical parameters by canonical name, in the canonical layout.
        structure: the graph (worker contract) that the target loaded, or None for a plain table of weights.
        target: what the target holds after loading, by the file's own names, in its own dtypes and layouts.

    Relations: ``equal`` (bits), ``folded`` (batch normalisation computed into the layer before it, see
    `harness.compare.fold`), ``permuted`` (the same values in another order, the note says which), ``unequal``,
    ``missing``, ``extra``. Verdict: ``identical`` where all are equal, ``equivalent`` where some are folded, else
    ``divergent``. Raises ModelError where ``source`` lacks a canonical parameter or has it in another shape.
    """
    for parameter in spec.parameters:
        if parameter.name not in source:
            raise ModelError(f"the source has no parameter '{parameter.name}'", where=spec.model)
        if tuple(source[parameter.name].shape) != parameter.shape:
            raise ModelError(
                f"parameter '{parameter.name}' has shape {source[parameter.name].shape}, not {parameter.shape}",
                where=spec.model,
            )
    comparer = _Pairing(spec, source)
    if structure is None:
        extra = comparer.by_name(target)
    else:
        structure = flattened(structure)
        own = {entry["name"] for entry in (*structure["initializers"], *stated(structure))}
        floats = {name: value for name, value in target.items() if value.dtype.kind == "f"}
        again = copies(floats, [name for name in floats if name not in own])
        extra = comparer.by_role(
            Graph(structure, {name: value for name, value in target.items() if name not in again.names})
        )
        comparer.copies = max(comparer.copies, again.times)
        comparer.copied += again.scalars
    rows = [comparer.rows[parameter.name] for parameter in spec.parameters]
    used = None if structure is None else {name for node in structure["nodes"] for name in node["inputs"]}
    rows += [extra_row(name, target[name], used is None or name in used) for name in extra]
    findings = [
        Finding(comparison="parameters", verdict=Verdict.DIVERGENT, message=sentence(row))
        for row in rows
        if row.relation not in ("equal", "folded")
    ]
    clean = Verdict.EQUIVALENT if comparer.folded else Verdict.IDENTICAL
    return ParameterComparison(
        verdict=Verdict.DIVERGENT if findings else clean,
        rows=rows,
        source_count=sum(int(source[parameter.name].size) for parameter in spec.parameters),
        target_count=sum(int(value.size) for value in target.values() if value.dtype.kind == "f"),
        folded=comparer.folded,
        copies=comparer.copies,
        copied_count=comparer.copied,
        findings=findings,
    )


class _Pairing(FoldedTable):
    """Finds what a target holds in place of every canonical parameter."""

    def __init__(self, spec: ModelSpec, source: Mapping[str, Array]) -> None:
        super().__init__(spec, source)
        #: Most copies of one weight of a recurrence that is unrolled, and the scalars of all copies but the first.
        self.copies, self.copied = 1, 0

    def by_name(self, target: Mapping[str, Array]) -> list[str]:
        """Pair by canonical name; returns the names of floating-point tensors beyond them."""
        for parameter in self.spec.parameters:
            value = target.get(parameter.name)
            self.compare(parameter, StoredTensor(parameter.name, value) if value is not None else None)
        extra = sorted(name for name, value in target.items() if name not in self.rows and value.dtype.kind == "f")
        for parameter in self.spec.parameters:
            if self.rows[parameter.name].relation == "missing":
                twin = next((name for name in extra if same_values(self.source[parameter.name], target[name])), None)
                if twin is not None:
                    self.note(parameter, f"the target holds its values under the name '{twin}'")
        return extra

    def by_role(self, graph: Graph) -> list[str]:
        """Pair by role; returns stored names of floating-point constants that have no part in the specification."""
        roles = find_roles(graph)
        recurrent = any(layer.kind == "convolutional-lstm" for layer in self.spec.layers)
        stored, again = roles.linears, list[str]()
        if recurrent:
            gates = str(self.spec.hyperparameters.get("gate_order", "ifog"))
            stored, again = unrolled(join_gates(graph, stored, gates))
            self.copies = max((linear.copies for linear in stored), default=1)
            self.copied = sum(int(graph.values[name].size) for name in again if name in graph.values)
        linears = [layer for layer in self.spec.layers if layer.kind != "batch-normalisation"]
        normalised_by = {layer.normalises: layer for layer in self.spec.layers if layer.normalises is not None}
        pairs = _aligned([self._size(layer) for layer in linears], [_elements(linear) for linear in stored])
        # A recurrence begins from zeros, which many an exporter stores.
        zeros = [name for name in roles.others if recurrent and not graph.values[name].any()]
        extra = [name for name in roles.others if name not in again and name not in zeros]
        for layer, index in zip(linears, pairs, strict=True):
            found = stored[index] if index is not None else None
            self.linear(layer, normalised_by.get(layer.name), found)
        standing = [layer for layer in self.spec.layers if layer.parameters[0].name not in self.rows]
        for layer, normaliser in zip(standing, roles.normalisers, strict=False):
            self.normaliser(layer, normaliser)
        written = standing[len(roles.normalisers) :]
        for layer, affine in zip(written, roles.affines, strict=False):
            self.arithmetic(layer, None, affine)
        for layer in written[len(roles.affines) :]:
            self.normaliser(layer, None)
        for affine in roles.affines[len(written) :]:
            extra += affine.names
        for normaliser in roles.normalisers[len(standing) :]:
            extra += [stored.name for stored in normaliser.parameters.values()]
        for index, linear in enumerate(stored):
            if index not in pairs:
                extra += [one.name for one in _all_stored(linear)]
        used = {name for row in self.rows.values() for name in (row.target_name or "").split(", ")}
        return sorted({name for name in extra if name in graph.values and name not in used})

    def linear(self, layer: Layer, normalising: Layer | None, found: Linear | None) -> None:
        """A convolution or dense layer, and the batch normalisation after it."""
        weight, bias = (parameter_of(layer, role) for role in ("weight", "bias"))
        assert weight is not None
        if found is None:
            for parameter in (*layer.parameters, *(normalising.parameters if normalising else ())):
                self.compare(parameter, None)
            return
        plain = found.affine if found.affine and max(found.affine.scale.size, found.affine.offset.size) > 1 else None
        if normalising is None or found.normaliser is not None:
            self.compare(weight, found.weight, notes=found.notes)
            if bias is not None:
                self.compare(bias, found.bias)
            if normalising is not None:
                self.normaliser(normalising, found.normaliser)
            return
        if plain is not None:
            self.compare(weight, found.weight, notes=found.notes)
            if bias is not None and found.bias is not None:
                self.compare(bias, found.bias)
            self.arithmetic(normalising, bias, plain)
            return
        if same_values(self.source[weight.name], found.weight.value) and self.changes(normalising):
            # Unchanged weights and no batch normalisation: it was not folded but is gone.
            self.compare(weight, found.weight, notes=found.notes)
            if bias is not None:
                self.compare(bias, found.bias)
            self.normaliser(normalising, None)
            return
        self.fold(weight, bias, normalising, found)

    def _size(self, layer: Layer) -> int:
        weight = parameter_of(layer, "weight")
        return int(self.source[weight.name].size) if weight is not None else 0


def _aligned(sizes: Sequence[int], found: Sequence[int]) -> list[int | None]:
    """For every layer the operation that holds it: in order, and where the numbers differ by the sizes of the weights.

    Branches of a graph may be written in any order: where there are the same sizes in another order, it is that of each size.
    ``found`` has -1 where a weight is not reported, which fits anything. The longest common subsequence, so that one
    operation more or less does not move all that follow.
    """
    if len(sizes) == len(found):
        if sorted(sizes) != sorted(found):
            return list(range(len(found)))
        places = {size: iter([index for index, other in enumerate(found) if other == size]) for size in set(sizes)}
        return [next(places[size]) for size in sizes]
    fits = [[wanted == size or size == -1 for size in found] for wanted in sizes]
    best = [[0] * (len(found) + 1) for _ in range(len(sizes) + 1)]
    for i in range(len(sizes) - 1, -1, -1):
        for j in range(len(found) - 1, -1, -1):
            taken = best[i + 1][j + 1] + 1 if fits[i][j] else 0
            best[i][j] = max(taken, best[i + 1][j], best[i][j + 1])
    pairs: list[int | None] = []
    i = j = 0
    while i < len(sizes):
        if j < len(found) and fits[i][j] and best[i][j] == best[i + 1][j + 1] + 1:
            pairs.append(j)
            i, j = i + 1, j + 1
        elif j < len(found) and best[i][j] == best[i][j + 1]:
            j += 1
        else:
            pairs.append(None)
            i += 1
    return pairs


def _elements(linear: Linear) -> int:
    return int(linear.weight.value.size) if linear.weight.value is not None else -1


def _all_stored(linear: Linear) -> list[StoredTensor]:
    stored = [linear.weight, *([linear.bias] if linear.bias is not None else [])]
    return stored + (list(linear.normaliser.parameters.values()) if linear.normaliser else [])
