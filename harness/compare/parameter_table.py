"""One row per canonical parameter: a parameter against the tensor that a target holds in its place, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare.parameter_rows import distance, shape_text, squeezed, what_changed
from harness.compare.permutation import describe_permutation
from harness.compare.records import ParameterRow
from harness.compare.roles import Normaliser, StoredTensor
from harness.compare.ulp import bits
from harness.models.spec import Layer, ModelSpec, Parameter

Array = NDArray[Any]


class ParameterTable:
    """Fills in one row per canonical parameter: ``rows``, by canonical name.

    ``source``: canonical parameters by canonical name, in the canonical layout.
    """

    def __init__(self, spec: ModelSpec, source: Mapping[str, Array]) -> None:
        self.spec = spec
        self.source = source
        self.rows: dict[str, ParameterRow] = {}
        self.layer_of = {parameter.name: layer for layer in spec.layers for parameter in layer.parameters}

    def compare(self, parameter: Parameter, stored: StoredTensor | None, notes: Sequence[str] = ()) -> None:
        """One parameter, bit for bit."""
        source = self.source[parameter.name]
        if stored is None or stored.value is None:
            note = "" if stored is None else f"the target does not report '{stored.name}'"
            self.row(parameter, "missing", stored, 0, None, None, [note])
            return
        value, notes = stored.value, [*notes, stored.note]
        if value.shape != source.shape and squeezed(value.shape) == squeezed(source.shape):
            notes.append(f"stored as {shape_text(value.shape)}")
            value = value.reshape(source.shape)
        if value.dtype != source.dtype and value.dtype.kind == "f":
            widened = np.promote_types(value.dtype, source.dtype)
            if np.array_equal(bits(value.astype(widened)), bits(source.astype(widened))):
                notes.append(f"held as {value.dtype} without loss")
                value = value.astype(source.dtype)
        if value.shape != source.shape or value.dtype != source.dtype:
            text = describe_permutation(source, value, channels=self.channels(parameter))
            relation = "permuted" if text and value.dtype == source.dtype else "unequal"
            notes.append(
                text or f"shape {shape_text(value.shape)} {value.dtype}, not {shape_text(source.shape)} {source.dtype}"
            )
            self.row(parameter, relation, stored, int(source.size), None, None, notes)
            return
        differs = bits(value) != bits(source)
        count = int(np.count_nonzero(differs))
        if not count:
            self.row(parameter, "equal", stored, 0, 0, 0.0, notes)
            return
        text = describe_permutation(source, value, channels=self.channels(parameter))
        ulp, largest = distance(value, source)
        notes.append(text or what_changed(source, value, differs))
        self.row(parameter, "permuted" if text else "unequal", stored, count, ulp, largest, notes)

    def normaliser(self, layer: Layer, found: Normaliser | None) -> None:
        """Batch normalisation kept as a node of its own."""
        for parameter in layer.parameters:
            stored = found.parameters.get(parameter.role) if found is not None else None
            self.compare(parameter, stored)
        variance = parameter_of(layer, "variance")
        if found is None or layer.epsilon is None or variance is None:
            return
        # ONNX stores epsilon as float32.
        if np.float32(found.epsilon) != np.float32(layer.epsilon):
            self.note(variance, f"epsilon {found.epsilon:g} in the graph, {layer.epsilon:g} in the source")

    def channels(self, parameter: Parameter) -> list[int]:
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

    def note(self, parameter: Parameter, note: str) -> None:
        """Say more of a parameter that has its row."""
        row = self.rows[parameter.name]
        row.note = "; ".join(text for text in (row.note, note) if text)

    def row(
        self,
        parameter: Parameter,
        relation: Any,
        stored: StoredTensor | None,
        differing: int,
        ulp: int | None,
        largest: float | None,
        notes: Sequence[str],
    ) -> None:
        """The row of a parameter: ``differing`` values of it, by at most ``ulp`` and ``largest`` (float32 ULP, difference)."""
        value = stored.value if stored is not None and relation != "missing" else None
        self.rows[parameter.name] = ParameterRow(
            name=parameter.name,
            layer=self.layer_of[parameter.name].name,
            relation=relation,
            source_shape=parameter.shape,
            target_name=stored.name if stored is not None and relation != "missing" else None,
            target_shape=tuple(value.shape) if value is not None and value.size else None,
            elements=int(self.source[parameter.name].size),
            differing=differing,
            max_ulp=ulp,
            max_abs=largest,
            note="; ".join(note for note in notes if note),
        )


def parameter_of(layer: Layer, role: str) -> Parameter | None:
    """The parameter of a layer that plays a role, where it has one."""
    return next((parameter for parameter in layer.parameters if parameter.role == role), None)
