"""``timings.json`` as the report reads it: every number that was measured, and what ratios are taken to."""

from __future__ import annotations

from functools import cached_property

from pydantic import BaseModel, ConfigDict, Field

from harness.compare.timing import Costs, Timing, costs, summarise_timing


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class BatchPart(_Part):
    """Seconds per call at one batch size in one process, one number per sample of ``calls`` calls."""

    batch_size: int = Field(ge=1)
    calls: int = Field(ge=1)
    first_seconds: float
    seconds: list[float] = Field(min_length=1)
    cpu_seconds: list[float] = Field(min_length=1)
    copy_seconds: list[float] = []


class EchoPart(_Part):
    """Round trips of arrays of one size, in seconds."""

    bytes: int
    round_trips: list[float] = Field(min_length=1)


class ProcessPart(_Part):
    """One fresh process."""

    start_seconds: float | None = None
    load_seconds: float | None = None
    resident_peak_bytes: float | None = None
    threads: dict[str, int] = {}
    echo: list[EchoPart] = []
    batches: list[BatchPart] = Field(min_length=1)


class Measurement(_Part):
    """What one timing step measured."""

    threads: int
    processes: list[ProcessPart] = Field(min_length=1)


class TimedPart(_Part):
    """One model file in one runtime; without a measurement there is an error."""

    label: str
    runtime: str
    route_label: str = ""
    measurement: Measurement | None = None
    error: str = ""


class Timings(_Part):
    """All that was timed; ratios are to the first, which ``reference`` says in words."""

    reference: str
    timed: tuple[TimedPart, ...] = Field(min_length=1)

    @cached_property
    def summaries(self) -> dict[str, list[Timing]]:
        """Timings by label, one per batch size; computed once, since every interval is a bootstrap."""
        first = self.timed[0].measurement
        base = None if first is None else first.model_dump()
        return {
            part.label: summarise_timing(part.measurement.model_dump(), None if part is self.timed[0] else base)
            for part in self.timed
            if part.measurement is not None
        }

    @cached_property
    def costs(self) -> dict[str, Costs]:
        """Costs beside the calls by label."""
        return {part.label: costs(part.measurement.model_dump()) for part in self.timed if part.measurement}
