"""The classes of the data card."""

from __future__ import annotations

from typing import Any

from harness.report.document import Column, Table
from harness.report.read import Results

_PARTS = {"train": "Training", "valid": "Validation", "test": "Test"}


def classes_table(results: Results) -> Table:
    """Classes in the order of the output, with samples per part."""
    data = results.manifest.data
    parts = sorted(data.counts, key=lambda part: ("train", "valid", "test").index(part) if part in _PARTS else 3)
    rows: list[dict[str, Any]] = [
        {"index": index, "class": name, **{part: data.counts[part].get(name, 0) for part in parts}}
        for index, name in enumerate(data.class_names)
    ]
    total = (
        [{"index": None, "class": "all", **{part: sum(data.counts[part].values()) for part in parts}}] if parts else []
    )
    return Table(
        "classes",
        "Classes in the order of the model's output" + (", and samples per part." if parts else "."),
        (
            Column("class", "Class"),
            Column("index", "Index", "integer"),
            *(Column(part, _PARTS.get(part, part), "integer") for part in parts),
        ),
        (*rows, *total),
        empty="No classes are known.",
    )
