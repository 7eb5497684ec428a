"""``workers.json`` as the report reads it: what the workers of one run did. It differs from run to run."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class WarningPart(_Part):
    """A line of a log that warns, and how often it stands there."""

    line: str
    times: int = 1


class WorkerPart(_Part):
    """One runtime: how often it was started, the seconds of all starts until the first answer, and what it warned of."""

    starts: int = 0
    start_seconds: float = 0.0
    warnings: tuple[WarningPart, ...] = ()
