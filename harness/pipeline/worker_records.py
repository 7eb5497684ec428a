"""What the workers of a step or a run did, as ``step.json`` and ``workers.json`` tell it: by runtime ``starts``,

``start_seconds`` of all of them until the first answer, and ``warnings``, each a ``line`` and how many ``times``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

Record = Mapping[str, Any]


def since(before: Record, after: Record) -> dict[str, Any]:
    """What came between two records of the same workers; runtimes of which nothing is to be told are left out."""
    found = {}
    for runtime, now in after.items():
        then = before.get(runtime, {})
        warned = Counter(_warnings(now))
        warned.subtract(_warnings(then))
        starts = now["starts"] - then.get("starts", 0)
        lines = [{"line": line, "times": times} for line, times in warned.items() if times > 0]
        if starts or lines:
            seconds = now["start_seconds"] - then.get("start_seconds", 0.0)
            found[runtime] = {"starts": starts, "start_seconds": seconds, "warnings": lines}
    return found


def with_kept(own: Record, kept: Iterable[Record]) -> dict[str, Any]:
    """The record of a run with those of the steps that it found made; ``kept``: the starts that were theirs."""
    found = {runtime: {**record, "kept": 0} for runtime, record in own.items()}
    for records in kept:
        for runtime, record in records.items():
            so_far = found.setdefault(runtime, {"starts": 0, "start_seconds": 0.0, "warnings": [], "kept": 0})
            warned = Counter(_warnings(so_far))
            warned.update(_warnings(record))
            found[runtime] = {
                "starts": so_far["starts"] + record["starts"],
                "start_seconds": so_far["start_seconds"] + record["start_seconds"],
                "warnings": [{"line": line, "times": times} for line, times in warned.items()],
                "kept": so_far["kept"] + record["starts"],
            }
    return dict(sorted(found.items()))


def _warnings(record: Record) -> dict[str, int]:
    return {warning["line"]: warning["times"] for warning in record.get("warnings", ())}
