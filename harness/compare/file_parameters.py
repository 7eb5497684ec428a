"""What two runtimes hold of one and the same file, paired by the file's own names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.compare.copies import copies
from harness.compare.parameter_rows import distance, extra_row, same_values, sentence, what_changed
from harness.compare.records import Finding, ParameterComparison, ParameterRow, Verdict
from harness.compare.ulp import bits

Array = NDArray[Any]


def compare_file_parameters(reference: Mapping[str, Array], target: Mapping[str, Array]) -> ParameterComparison:
    """Tensors of one file as the reference and a target hold them, bit for bit.

    Here equal names do prove something: both loaded the same bytes, and nobody exported in between. Copies that the target
    holds beyond them are none too many. ``identical`` where all tensors are equal, else ``divergent``.
    """
    rows = [_row(name, value, target.get(name)) for name, value in sorted(reference.items())]
    again = copies(target, [name for name in target if name not in reference])
    rows += [
        extra_row(name, target[name], used=True)
        for name in sorted(target)
        if name not in reference and name not in again.names
    ]
    findings = [
        Finding(comparison="parameters", verdict=Verdict.DIVERGENT, message=sentence(row))
        for row in rows
        if row.relation != "equal"
    ]
    return ParameterComparison(
        verdict=Verdict.DIVERGENT if findings else Verdict.IDENTICAL,
        rows=rows,
        source_count=sum(int(value.size) for value in reference.values() if value.dtype.kind == "f"),
        target_count=sum(int(value.size) for value in target.values() if value.dtype.kind == "f"),
        folded=False,
        copies=again.times,
        copied_count=sum(target[name].size for name in again.names if target[name].dtype.kind == "f"),
        findings=findings,
    )


def _row(name: str, source: Array, value: Array | None) -> ParameterRow:
    row = ParameterRow(
        name=name,
        layer="",
        relation="equal",
        source_shape=tuple(source.shape),
        target_name=None if value is None else name,
        target_shape=None if value is None else tuple(value.shape),
        elements=int(source.size),
        differing=0,
        max_ulp=None,
        max_abs=None,
    )
    if value is None:
        return row.model_copy(update={"relation": "missing"})
    if same_values(source, value):
        return row
    changed: dict[str, Any] = {"relation": "unequal", "differing": int(source.size)}
    if value.shape == source.shape and value.dtype == source.dtype:
        differs = np.asarray(bits(value) != bits(source))
        ulp, largest = distance(value, source)
        changed |= {
            "differing": int(np.count_nonzero(differs)),
            "max_ulp": ulp,
            "max_abs": largest,
            "note": what_changed(source, value, differs),
        }
    else:
        changed["note"] = f"{value.dtype.name} {value.shape} instead of {source.dtype.name} {source.shape}"
    return row.model_copy(update=changed)
