"""What a run of a scenario left, as the result files are made from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.pipeline.execution import Finished
from harness.pipeline.plan import Plan
from harness.runtimes.row import Availability
from harness.scenario.sections import Scenario


@dataclass(frozen=True)
class Outcome:
    """What a run left, and what the manifest needs to know of it."""

    scenario: Scenario
    text: str
    plan: Plan
    keys: dict[str, str]
    finished: Finished
    availability: dict[str, Availability]
    identity: str

    @property
    def folders(self) -> dict[str, Path]:
        """The folder of every step that was done."""
        return self.finished.folders
