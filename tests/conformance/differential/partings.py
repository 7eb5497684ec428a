"""The cases on which oracles are known to part, see ``known_partings.yaml``."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.conformance.differential.recipe import Case
from tests.conformance.running import opset_range

FILE = Path(__file__).parent / "known_partings.yaml"


@dataclass(frozen=True)
class Parting:
    """One entry of the list."""

    operator: str
    opsets: range
    oracles: tuple[str, str]
    cases: str
    reason: str

    def covers(self, case: Case, one: str, other: str) -> bool:
        """Whether it speaks of a case and two oracles."""
        return (
            case.operator == self.operator
            and case.opset in self.opsets
            and re.search(self.cases, case.name) is not None
            and any(
                fnmatch.fnmatchcase(left, self.oracles[0]) and fnmatch.fnmatchcase(right, self.oracles[1])
                for left, right in ((one, other), (other, one))
            )
        )


def known_partings() -> list[Parting]:
    """The list."""
    return [
        Parting(
            row["operator"],
            opset_range(str(row.get("opsets", "7-99"))),
            (row["oracles"][0], row["oracles"][1]),
            row.get("cases", ""),
            row["reason"],
        )
        for row in yaml.safe_load(FILE.read_text(encoding="utf-8")) or []
    ]
