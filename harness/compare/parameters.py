"""Canonical parameters against those a target really holds, bit for bit.

Where the target is a graph, parameters are paired by the part they play in it, not by name: exporters rename what they
fold, and keep the name of what they changed. Where there is no graph, they are paired by canonical name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare import gates
from harness.compare.copies import copies
from harness.compare.fold import (
    FoldedLayer,
    FoldedPart,
    Normalisation,
    check_fold,
    folded_weight,
    implied_epsilon,
)
from harness.compare.graph import Graph
from harness.compare.parameter_rows import (
    distance,
    extra_row,
    place,
    same_values,
    sentence,
    shape_text,
    squeezed,
    what_changed,
)
from harness.compare.permutation import describe_permutation
from harness.compare.records import Finding, ParameterComparison, ParameterRow, Verdict
from harness.compare.recurrent import join_gates, unrolled
from harness.compare.roles import Affine, Held, Linear, Normaliser, find_roles
from harness.compare.subgraphs import flattened, stated
from harness.compare.ulp import bits, ordered
from harness.errors import ModelError
from harness.models.spec import Layer, ModelSpec, Parameter

Array = NDArray[Any]

#: Arithmetic that stands for batch normalisation: float32 ULP of the largest term, for up to four rounded constants.
_ARITHMETIC_ULP = 8


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
    comparer = _Comparer(spec, source)
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


class _Comparer:
    """Fills in one row per canonical parameter."""

    def __init__(self, spec: ModelSpec, source: Mapping[str, Array]) -> None:
        self.spec = spec
        self.source = source
        self.rows: dict[str, ParameterRow] = {}
        #: Whether the target computes some batch normalisation in other parameters, rightly or wrongly.
        self.folded = False
        #: Most copies of one weight of a recurrence that is unrolled, and the scalars of all copies but the first.
        self.copies, self.copied = 1, 0
        self.layer_of = {parameter.name: layer for layer in spec.layers for parameter in layer.parameters}

    def by_name(self, target: Mapping[str, Array]) -> list[str]:
        """Pair by canonical name; returns the names of floating-point tensors beyond them."""
        for parameter in self.spec.parameters:
            value = target.get(parameter.name)
            self.compare(parameter, Held(parameter.name, value) if value is not None else None)
        extra = sorted(name for name, value in target.items() if name not in self.rows and value.dtype.kind == "f")
        for parameter in self.spec.parameters:
            if self.rows[parameter.name].relation == "missing":
                twin = next((name for name in extra if same_values(self.source[parameter.name], target[name])), None)
                if twin is not None:
                    self._note(parameter, f"the target holds its values under the name '{twin}'")
        return extra

    def by_role(self, graph: Graph) -> list[str]:
        """Pair by role; returns stored names of floating-point constants that have no part in the specification."""
        roles = find_roles(graph)
        recurrent = any(layer.kind == "convolutional-lstm" for layer in self.spec.layers)
        held, again = roles.linears, list[str]()
        if recurrent:
            gates = str(self.spec.hyperparameters.get("gate_order", "ifog"))
            held, again = unrolled(join_gates(graph, held, gates))
            self.copies = max((linear.copies for linear in held), default=1)
            self.copied = sum(int(graph.values[name].size) for name in again if name in graph.values)
        linears = [layer for layer in self.spec.layers if layer.kind != "batch-normalisation"]
        normalised_by = {layer.normalises: layer for layer in self.spec.layers if layer.normalises is not None}
        pairs = _aligned([self._size(layer) for layer in linears], [_elements(linear) for linear in held])
        # A recurrence begins from zeros, which many an exporter stores.
        zeros = [name for name in roles.others if recurrent and not graph.values[name].any()]
        extra = [name for name in roles.others if name not in again and name not in zeros]
        for layer, index in zip(linears, pairs, strict=True):
            found = held[index] if index is not None else None
            self.linear(layer, normalised_by.get(layer.name), found)
        standing = [layer for layer in self.spec.layers if layer.parameters[0].name not in self.rows]
        for layer, normaliser in zip(standing, roles.normalisers, strict=False):
            self.normaliser(layer, normaliser)
        written = standing[len(roles.normalisers) :]
        for layer, affine in zip(written, roles.affines, strict=False):
            self._arithmetic(layer, None, affine)
        for layer in written[len(roles.affines) :]:
            self.normaliser(layer, None)
        for affine in roles.affines[len(written) :]:
            extra += affine.names
        for normaliser in roles.normalisers[len(standing) :]:
            extra += [held.name for held in normaliser.parameters.values()]
        for index, linear in enumerate(held):
            if index not in pairs:
                extra += [one.name for one in _all_held(linear)]
        used = {name for row in self.rows.values() for name in (row.target_name or "").split(", ")}
        return sorted({name for name in extra if name in graph.values and name not in used})

    def linear(self, layer: Layer, normalising: Layer | None, found: Linear | None) -> None:
        """A convolution or dense layer, and the batch normalisation after it."""
        weight, bias = (_by_role(layer, role) for role in ("weight", "bias"))
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
            if bias is not None:
                self._bias_before_arithmetic(bias, found)
            self._arithmetic(normalising, bias, plain)
            return
        if same_values(self.source[weight.name], found.weight.value) and self._not_trivial(normalising):
            # Unchanged weights and no batch normalisation: it was not folded but is gone.
            self.compare(weight, found.weight, notes=found.notes)
            if bias is not None:
                self.compare(bias, found.bias)
            self.normaliser(normalising, None)
            return
        self._folded(weight, bias, normalising, found)

    def normaliser(self, layer: Layer, found: Normaliser | None) -> None:
        """Batch normalisation kept as a node of its own."""
        for parameter in layer.parameters:
            held = found.parameters.get(parameter.role) if found is not None else None
            self.compare(parameter, held)
        variance = _by_role(layer, "variance")
        if found is None or layer.epsilon is None or variance is None:
            return
        # ONNX stores epsilon as float32.
        if np.float32(found.epsilon) != np.float32(layer.epsilon):
            self._note(variance, f"epsilon {found.epsilon:g} in the graph, {layer.epsilon:g} in the source")

    def compare(self, parameter: Parameter, held: Held | None, notes: Sequence[str] = ()) -> None:
        """One parameter, bit for bit."""
        source = self.source[parameter.name]
        if held is None or held.value is None:
            note = "" if held is None else f"the target does not report '{held.name}'"
            self._row(parameter, "missing", held, 0, None, None, [note])
            return
        value, notes = held.value, [*notes, held.note]
        if value.shape != source.shape and squeezed(value.shape) == squeezed(source.shape):
            notes.append(f"stored as {shape_text(value.shape)}")
            value = value.reshape(source.shape)
        if value.dtype != source.dtype and value.dtype.kind == "f":
            widened = np.promote_types(value.dtype, source.dtype)
            if np.array_equal(bits(value.astype(widened)), bits(source.astype(widened))):
                notes.append(f"held as {value.dtype} without loss")
                value = value.astype(source.dtype)
        if value.shape != source.shape or value.dtype != source.dtype:
            text = describe_permutation(source, value, channels=self._channels(parameter))
            relation = "permuted" if text and value.dtype == source.dtype else "unequal"
            notes.append(
                text or f"shape {shape_text(value.shape)} {value.dtype}, not {shape_text(source.shape)} {source.dtype}"
            )
            self._row(parameter, relation, held, int(source.size), None, None, notes)
            return
        differs = bits(value) != bits(source)
        count = int(np.count_nonzero(differs))
        if not count:
            self._row(parameter, "equal", held, 0, 0, 0.0, notes)
            return
        text = describe_permutation(source, value, channels=self._channels(parameter))
        ulp, largest = distance(value, source)
        notes.append(text or what_changed(source, value, differs))
        self._row(parameter, "permuted" if text else "unequal", held, count, ulp, largest, notes)

    def _folded(self, weight: Parameter, bias: Parameter | None, normalising: Layer, found: Linear) -> None:
        self.folded = True
        normalisation = self._normalisation(normalising)
        source = self.source[weight.name]
        value = found.weight.value
        if value is not None and value.shape != source.shape and squeezed(value.shape) == squeezed(source.shape):
            value = value.reshape(source.shape)
        shift = found.bias.value if found.bias is not None else None
        plain = None if bias is None else self.source[bias.name]
        if value is None or value.shape != source.shape or (shift is not None and shift.size != len(source)):
            self.compare(weight, found.weight, notes=found.notes)
            if bias is not None:
                self.compare(bias, found.bias)
            self.normaliser(normalising, None)
            return
        layer = self.layer_of[weight.name]
        result = check_fold(source, plain, normalisation, value, shift)
        notes = [*found.notes, found.weight.note, f"{normalising.name} folded in"]
        relation = "folded"
        scale_holds = True
        if not result.weight.holds:
            text = self._folded_permutation(weight, normalisation, value)
            relation = "permuted" if text else "unequal"
            wrong = int(result.weight.wrong.sum())
            scale_holds = text is not None or wrong <= source.size / 2
            notes.append(text or f"{wrong} of {source.size} values are not what the fold makes of them")
            if text is None and not scale_holds:
                epsilon = implied_epsilon(source, normalisation, value)
                if epsilon is not None:
                    notes.append(f"as if epsilon were {epsilon:g} instead of {normalisation.epsilon:g}")
            elif text is None and wrong == 1:
                notes.append(place(result.weight.wrong.reshape(source.shape)))
        elif result.weight.differing == 0:
            notes.append(
                "every value is the source's times one scale per channel, "
                f"which lies within {result.scale_ulp} ULP of the exact one"
            )
        self._fold_row(weight, relation, found.weight, result.weight, notes)
        if bias is not None:
            self._folded_bias(bias, normalising, found, result)
        where = f"folded into {layer.name}"
        for parameter in normalising.parameters:
            note = where if scale_holds else f"{where}, but the fold does not hold"
            self._row(parameter, "folded" if scale_holds else "unequal", found.weight, 0, None, None, [note])

    def _folded_bias(self, bias: Parameter, normalising: Layer, found: Linear, result: FoldedLayer) -> None:
        part = result.bias
        if found.bias is None or part is None:
            note = f"{normalising.name} is folded in, which needs a bias"
            self._row(bias, "missing", found.bias, 0, None, None, [note])
            return
        notes = [found.bias.note, f"{normalising.name} folded in"]
        if not part.holds:
            wrong = int(part.wrong.sum())
            notes.append(f"{wrong} of {part.wrong.size} values are not what the fold makes of them")
            if wrong == 1:
                notes.append(place(part.wrong))
        self._fold_row(bias, "folded" if part.holds else "unequal", found.bias, part, notes)

    def _folded_permutation(self, weight: Parameter, normalisation: Normalisation, value: Array) -> str | None:
        """The order of a folded kernel, told by values that are close, since the fold was rounded."""
        expected = folded_weight(self.source[weight.name], normalisation.scale).astype(np.float32)
        reach = gates.FOLD_SCALE_ULP + gates.FOLD_WEIGHT_ULP

        def same(first: Array, second: Array) -> bool:
            if first.shape != second.shape:
                return False
            return bool((np.abs(ordered(first).astype(np.int64) - ordered(second)) <= reach).all())

        held = np.ascontiguousarray(value, dtype=np.float32)
        return describe_permutation(expected, held, channels=self._channels(weight), same=same)

    def _bias_before_arithmetic(self, bias: Parameter, found: Linear) -> None:
        if found.bias is not None:
            self.compare(bias, found.bias)

    def _arithmetic(self, normalising: Layer, bias: Parameter | None, affine: Affine) -> None:
        """Batch normalisation written as products and sums with constants, which are compared as scale and offset."""
        self.folded = True
        normalisation = self._normalisation(normalising)
        scale = normalisation.scale
        offset = normalisation.beta - normalisation.mean.astype(np.float64) * scale
        terms = [np.abs(normalisation.mean * scale), np.abs(normalisation.beta.astype(np.float64))]
        if bias is not None and bias.name not in self.rows:
            # The operation itself has no bias: it went into the offset.
            value = self.source[bias.name].astype(np.float64)
            offset = offset + value * scale
            terms.append(np.abs(value * scale))
        held = Held(", ".join(affine.names), np.empty(0))
        tolerance = _ARITHMETIC_ULP * np.spacing(np.abs(scale).astype(np.float32)).astype(np.float64)
        wide = _ARITHMETIC_ULP * np.spacing(np.maximum.reduce(terms).astype(np.float32)).astype(np.float64)
        wrong_scale = ~(np.abs(affine.scale - scale) <= tolerance)
        wrong_offset = ~(np.abs(affine.offset - offset) <= wide)
        holds = not (wrong_scale.any() or wrong_offset.any())
        note = "written as arithmetic" + (f" after {normalising.normalises}" if normalising.normalises else "")
        if not holds:
            note += (
                f", which does not hold: {int(wrong_scale.sum())} scales and {int(wrong_offset.sum())} offsets of "
                f"{scale.size} are others"
            )
            # A scale per channel is what a fold makes of a weight of one.
            ones, scales = np.ones((scale.size, 1)), np.broadcast_to(affine.scale, scale.shape)[:, None]
            epsilon = implied_epsilon(ones, normalisation, scales)
            if epsilon is not None and wrong_scale.any():
                note += f", as if epsilon were {epsilon:g} instead of {normalisation.epsilon:g}"
        parameters = list(normalising.parameters)
        if bias is not None and bias.name not in self.rows:
            parameters.append(bias)
        for parameter in parameters:
            self._row(parameter, "folded" if holds else "unequal", held, 0, None, None, [note])

    def _normalisation(self, layer: Layer) -> Normalisation:
        by_role = {parameter.role: self.source[parameter.name] for parameter in layer.parameters}
        return Normalisation(
            by_role["scale"], by_role["shift"], by_role["mean"], by_role["variance"], float(layer.epsilon or 0.0)
        )

    def _not_trivial(self, layer: Layer) -> bool:
        """Whether folding this batch normalisation would change float32 weights at all."""
        normalisation = self._normalisation(layer)
        identity = np.all(normalisation.scale.astype(np.float32) == 1)
        return not (identity and np.array_equal(normalisation.beta, normalisation.mean))

    def _channels(self, parameter: Parameter) -> list[int]:
        """Numbers of channels that may have been flattened into the inputs of a dense layer."""
        layer = self.layer_of[parameter.name]
        if layer.kind != "dense" or parameter.role != "weight":
            return []
        before = [
            one.parameters[0].shape[0]
            for one in self.spec.layers[: self.spec.layers.index(layer)]
            if one.kind == "convolution"
        ]
        return sorted({*before[-1:]})

    def _size(self, layer: Layer) -> int:
        weight = _by_role(layer, "weight")
        return int(self.source[weight.name].size) if weight is not None else 0

    def _fold_row(
        self, parameter: Parameter, relation: str, held: Held, part: FoldedPart, notes: Sequence[str]
    ) -> None:
        self._row(parameter, relation, held, part.differing, part.max_ulp, part.max_abs, notes)

    def _note(self, parameter: Parameter, note: str) -> None:
        row = self.rows[parameter.name]
        row.note = "; ".join(text for text in (row.note, note) if text)

    def _row(
        self,
        parameter: Parameter,
        relation: Any,
        held: Held | None,
        differing: int,
        ulp: int | None,
        largest: float | None,
        notes: Sequence[str],
    ) -> None:
        value = held.value if held is not None and relation != "missing" else None
        self.rows[parameter.name] = ParameterRow(
            name=parameter.name,
            layer=self.layer_of[parameter.name].name,
            relation=relation,
            source_shape=parameter.shape,
            target_name=held.name if held is not None and relation != "missing" else None,
            target_shape=tuple(value.shape) if value is not None and value.size else None,
            elements=int(self.source[parameter.name].size),
            differing=differing,
            max_ulp=ulp,
            max_abs=largest,
            note="; ".join(note for note in notes if note),
        )


def _aligned(sizes: Sequence[int], found: Sequence[int]) -> list[int | None]:
    """For every layer the operation that holds it: in order, and where the numbers differ by the sizes of the weights.

    ``found`` has -1 where a weight is not reported, which fits anything. The longest common subsequence, so that one
    operation more or less does not move all that follow.
    """
    if len(sizes) == len(found):
        return list(range(len(found)))
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


def _all_held(linear: Linear) -> list[Held]:
    held = [linear.weight, *([linear.bias] if linear.bias is not None else [])]
    return held + (list(linear.normaliser.parameters.values()) if linear.normaliser else [])


def _by_role(layer: Layer, role: str) -> Parameter | None:
    return next((parameter for parameter in layer.parameters if parameter.role == role), None)
