"""What is known to deviate in ONNX's node cases, and how the endings of cases are counted."""

from __future__ import annotations

import fnmatch
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.conformance.bench import Outcome


@dataclass(frozen=True)
class Deviation:
    """One known deviation of a runtime, see ``known_deviations.yaml``."""

    runtime: str
    cases: tuple[str, ...]
    opsets: frozenset[int]
    outcome: Outcome
    reason: str

    def covers(self, case: str, opset: int) -> bool:
        """Whether a case at an opset is meant."""
        return opset in self.opsets and any(fnmatch.fnmatchcase(case, pattern) for pattern in self.cases)


def known_deviations(path: Path, runtime: str) -> list[Deviation]:
    """The known deviations of one runtime.

    Args:
        path: the YAML file: a list of mappings of ``runtime`` (a pattern), ``cases`` (a pattern or a list of them), ``opsets``
            (such as ``9-13``), ``outcome`` and ``reason``.
        runtime: such as ``python/onnxruntime``.
    """
    rows = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    return [
        Deviation(
            runtime=runtime,
            cases=tuple([row["cases"]] if isinstance(row["cases"], str) else row["cases"]),
            opsets=frozenset(opset_range(str(row["opsets"]))),
            outcome=row["outcome"],
            reason=row["reason"],
        )
        for row in rows
        if fnmatch.fnmatchcase(runtime, row["runtime"])
    ]


def opset_range(text: str) -> range:
    """``9-13`` or ``8`` as a range of opsets, both ends included."""
    low, _, high = text.partition("-")
    return range(int(low), int(high or low) + 1)


@dataclass
class Tally:
    """What one runtime did with the cases so far, for the closing lines of a test run."""

    ended: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def claimed(record: dict[str, Any], operators: dict[str, list[int]] | None) -> bool:
    """Whether a runtime's operator table holds every operator of a case in the version in force.

    A runtime without a table claims everything, and may still refuse by name.
    """
    if operators is None:
        return True
    return all(version in operators.get(name, ()) for name, version in record["since"].items())


def unclaimed_names(record: dict[str, Any], operators: dict[str, list[int]] | None) -> list[str]:
    """The operators of a case that a table does not hold in the version in force."""
    table = operators or {}
    return [name for name, version in record["since"].items() if version not in table.get(name, ())]
