"""The timing of a model file in a runtime, in fresh processes: a pooled worker holds memory of other models."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.files.atomic import to_json, write_atomically
from harness.pipeline.fingerprint import of_runtime
from harness.pipeline.provenance import hardware
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import Context, Step
from harness.pipeline.steps.weights import model_of, probe_of, sampling_of


@dataclass(frozen=True, kw_only=True)
class TimingStep(Step):
    """``batch_sizes`` in samples per call, each for so many ``seconds`` in each of so many ``processes``."""

    kind: ClassVar[str] = "timing"

    batch_sizes: tuple[int, ...]
    processes: int
    seconds: float
    threads: int

    def outside(self) -> dict[str, Any]:
        """The runtime, its worker, what measures, and the machine: a timing is a fact of one machine."""
        return {
            **of_runtime(self.worker),
            "code": code_hash(__name__, "harness.runtimes.process_timing"),
            "hardware": hardware(),
        }

    def carry_out(self, context: Context) -> None:
        """Measure, and write every number as ``timing.json``."""
        from harness.runtimes.process_timing import measure

        row = self.worker
        began = time.perf_counter()
        found = measure(
            row,
            model_of(context),
            probe_of(context),
            context.workers.logs / f"timing-{row.name.replace('/', '-')}.log",
            batch_sizes=list(self.batch_sizes),
            seconds=self.seconds,
            processes=self.processes,
            threads=self.threads,
            sampling=sampling_of(context),
            timeout=context.limits.request_seconds,
            tell=context.tell,
        )
        starts = sum(process["start_seconds"] or 0.0 for process in found["processes"])
        number = len(found["processes"])
        context.workers.note(row.name, number, starts, time.perf_counter() - began - starts)
        write_atomically(context.folder / "timing.json", to_json(found))
