"""Batch normalisation that a target computes in other parameters: folded into the layer before it, or written as arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare import gates
from harness.compare.fold import (
    FoldedLayer,
    FoldedPart,
    Normalisation,
    check_fold,
    folded_weight,
    implied_epsilon,
)
from harness.compare.parameter_rows import place, squeezed
from harness.compare.parameter_table import ParameterTable
from harness.compare.permutation import describe_permutation
from harness.compare.roles import Affine, Linear, StoredTensor
from harness.compare.ulp import ordered
from harness.models.spec import Layer, ModelSpec, Parameter

Array = NDArray[Any]

#: Arithmetic that stands for batch normalisation: float32 ULP of the largest term, for up to four rounded constants.
_ARITHMETIC_ULP = 8


class FoldedTable(ParameterTable):
    """Rows of parameters, those of batch normalisation that went into others included.

    ``folded``: whether the target computes some batch normalisation in other parameters, rightly or wrongly.
    """

    def __init__(self, spec: ModelSpec, source: Mapping[str, Array]) -> None:
        super().__init__(spec, source)
        self.folded = False

    def fold(self, weight: Parameter, bias: Parameter | None, normalising: Layer, found: Linear) -> None:
        """A layer's weight and bias, into which the batch normalisation after it was folded."""
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
            self.row(parameter, "folded" if scale_holds else "unequal", found.weight, 0, None, None, [note])

    def arithmetic(self, normalising: Layer, bias: Parameter | None, affine: Affine) -> None:
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
        stored = StoredTensor(", ".join(affine.names), np.empty(0))
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
            self.row(parameter, "folded" if holds else "unequal", stored, 0, None, None, [note])

    def changes(self, layer: Layer) -> bool:
        """Whether folding this batch normalisation would change float32 weights at all."""
        normalisation = self._normalisation(layer)
        identity = np.all(normalisation.scale.astype(np.float32) == 1)
        return not (identity and np.array_equal(normalisation.beta, normalisation.mean))

    def _folded_bias(self, bias: Parameter, normalising: Layer, found: Linear, result: FoldedLayer) -> None:
        part = result.bias
        if found.bias is None or part is None:
            note = f"{normalising.name} is folded in, which needs a bias"
            self.row(bias, "missing", found.bias, 0, None, None, [note])
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

        stored = np.ascontiguousarray(value, dtype=np.float32)
        return describe_permutation(expected, stored, channels=self.channels(weight), same=same)

    def _normalisation(self, layer: Layer) -> Normalisation:
        by_role = {parameter.role: self.source[parameter.name] for parameter in layer.parameters}
        return Normalisation(
            by_role["scale"], by_role["shift"], by_role["mean"], by_role["variance"], float(layer.epsilon or 0.0)
        )

    def _fold_row(
        self, parameter: Parameter, relation: str, stored: StoredTensor, part: FoldedPart, notes: Sequence[str]
    ) -> None:
        self.row(parameter, relation, stored, part.differing, part.max_ulp, part.max_abs, notes)
