"""Packs the node cases of all opsets, see :mod:`harness.workers.case_pack`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnx

from harness.workers.case_pack import Pack, PackWriter
from tests.conformance.cases import NEWEST_OPSET, OLDEST_OPSET, Exclusions, Variant, node_cases, variants


def make_pack(folder: Path, operators: frozenset[str] | None = None, opsets: Iterable[int] | None = None) -> Pack:
    """Generate cases into an existing folder.

    Beside what a :class:`Pack` always has, a record holds ``since`` (operator to since-version), ``changes`` (what was
    rewritten) and ``first_of_signature``; ``excluded`` holds ``pairs`` of case and opset left out, ``by_reason`` and
    ``by_case``.

    Args:
        folder: where to write.
        operators: only cases all of whose operators are among these; None for all.
        opsets: the opsets that are wanted; None for all from 7 to the newest.
    """
    wanted = sorted(opsets) if opsets is not None else list(range(OLDEST_OPSET, NEWEST_OPSET + 1))
    exclusions = Exclusions()
    records = []
    with (folder / "cases.bin").open("wb") as file:
        writer = PackWriter(file, folder / "arrays.safetensors")
        for case in node_cases(exclusions, wanted, operators):
            records += [_record(variant, writer) for variant in variants(case, wanted, exclusions)]
    excluded = {
        "pairs": sum(exclusions.by_reason.values()),
        "by_reason": dict(exclusions.by_reason.most_common()),
        "by_case": exclusions.by_case,
    }
    index = {"onnx": onnx.__version__, "opsets": wanted, "cases": records, "excluded": excluded}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
    return Pack(folder)


def _record(variant: Variant, writer: PackWriter) -> dict[str, Any]:
    return {
        "case": variant.case.name,
        "opset": variant.opset,
        "folder": f"{variant.opset}/{variant.case.name}",
        "operators": list(variant.case.operators),
        "since": variant.since,
        "inputs": list(variant.inputs),
        "outputs": list(variant.outputs),
        "rtol": variant.case.rtol,
        "atol": variant.case.atol,
        "changes": list(variant.changes),
        "first_of_signature": variant.first_of_signature,
        "place": writer.add_case(variant.model.SerializeToString(), variant.inputs, variant.outputs),
    }
