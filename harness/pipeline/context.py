"""What a step may use while it is done: its folder, the folders it needs, and workers within their limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.pipeline.plan import Step
from harness.runtimes.pool import Progress, Workers
from harness.scenario.sections import LimitsSection


@dataclass
class Context:
    """What a step may use: its own folder, the folders of the steps it needs, workers and their limits."""

    step: Step
    folder: Path
    needs: dict[str, Path]
    workers: Workers
    limits: LimitsSection
    progress: Progress | None = None

    def ask(self, request: str, **arguments: Any) -> dict[str, Any]:
        """Ask the worker of the step's runtime, within the limit of a request."""
        if self.step.runtime is None:
            raise ValueError(f"step {self.step.id} has no runtime to ask")
        timeout = self.limits.training_seconds if request == "train" else self.limits.request_seconds
        return self.workers.request(self.step.runtime, request, timeout=timeout, progress=self.progress, **arguments)

    def needed(self, *kinds: str) -> Path:
        """The folder of the one needed step whose id begins with one of ``kinds``."""
        return next(path for name, path in self.needs.items() if name.partition(" ")[0] in kinds)

    def predict(self, inputs: Path, outputs: str, batch_size: int | None) -> dict[str, Any]:
        """Have the loaded model predict a file of inputs into a file of the step's folder."""
        return self.ask("predict", inputs=str(inputs), outputs=str(self.folder / outputs), batch_size=batch_size)
