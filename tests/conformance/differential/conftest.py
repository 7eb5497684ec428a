"""How many cases of every operator the oracles agreed on, said at the end of a test run."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field

import pytest

#: Set by `make test-long`: all opsets and cases of every operator, and not the sample alone.
ALL = os.environ.get("HARNESS_ALL_CASES") == "1"


@dataclass
class Agreement:
    """Cases of one operator: those on which all asked agree, and those known to part."""

    agreed: int = 0
    known: int = 0
    asked: Counter[str] = field(default_factory=Counter)

    def line(self, operator: str) -> str:
        """As one line."""
        by = ", ".join(f"{name} {count}" for name, count in sorted(self.asked.items()))
        return f"{operator:28s} {self.agreed:4d} agree, {self.known:3d} known to part   ({by})"


AGREEMENTS = pytest.StashKey[dict[str, Agreement]]()


def pytest_configure(config: pytest.Config) -> None:
    """Make room for the counts."""
    config.stash[AGREEMENTS] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line per operator."""
    found = config.stash.get(AGREEMENTS, {})
    if not found:
        return
    terminalreporter.section(f"oracles against each other in float64, {'all cases' if ALL else 'a sample'}")
    for operator in sorted(found, key=lambda name: re.sub("^Reduce", "Reduce ", name)):
        terminalreporter.write_line(found[operator].line(operator))


@pytest.fixture(scope="session")
def agreements(pytestconfig: pytest.Config) -> dict[str, Agreement]:
    """The counts so far, by operator."""
    return pytestconfig.stash[AGREEMENTS]
