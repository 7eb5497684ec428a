"""Runs published cases on one worker and says how each ended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from harness.conformance.tolerance import compare
from harness.errors import UnsupportedError, WorkerError
from harness.runtimes.process import Worker
from harness.runtimes.row import Runtime
from harness.workers.case_pack import Pack
from harness.workers.tensors import read_tensors

Outcome = Literal["passed", "refused", "wrong", "failed"]

#: Seconds that one case may take where nothing else is said; a hang costs its case, and the worker is started again.
CASE_LIMIT = 60.0

#: At this level Julia takes little more than half of the time that it takes at its own, 2: nearly all of it is compilation.
OPTIMISATION = 0


@dataclass(frozen=True)
class Ending:
    """How one case ended.

    Attributes:
        case: name of the case.
        opset: its opset.
        outcome: ``passed``; ``refused`` by name at load; ``wrong`` values, dtype or shape; ``failed`` otherwise.
        detail: one line on anything but ``passed``.
    """

    case: str
    opset: int
    outcome: Outcome
    detail: str = ""

    def line(self) -> str:
        """The ending as one line."""
        return f"{self.case} (opset {self.opset}) {self.outcome}: {self.detail}"


class Bench:
    """One worker that runs case after case, and is started again when a case costs it its life."""

    def __init__(self, runtime: Runtime, scratch: Path, limit: float = CASE_LIMIT) -> None:
        # Thousands of small models are compiled, each for arrays of a few numbers.
        self.runtime = replace(runtime, optimisation=OPTIMISATION)
        self.scratch = scratch
        self.limit = limit
        #: What the last case gave, where it gave something.
        self.found: dict[str, Any] = {}
        self._worker: Worker | None = None
        self._cannot_start: WorkerError | None = None

    @property
    def worker(self) -> Worker:
        """The worker, started when there is none.

        Raises:
            WorkerError: it cannot be started; said at once when asked again.
        """
        if self._cannot_start is not None:
            raise self._cannot_start
        if self._worker is None or not self._worker.alive:
            try:
                self._worker = Worker.start(self.runtime, self.scratch / "worker.log")
            except WorkerError as error:
                self._cannot_start = error
                raise
        return self._worker

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()

    @cached_property
    def operators(self) -> dict[str, list[int]] | None:
        """The runtime's operator table: operator name to since-versions; None where it has none of its own."""
        return self.worker.request("describe", timeout=120.0).get("operators")

    def load(self, pack: Pack, record: dict[str, Any]) -> Ending | None:
        """Load the model of a case. Returns None where that went well."""
        name, opset = record["case"], record["opset"]
        pack.place(record, self.scratch)
        try:
            self.worker.request("load", path=str(self.scratch / "model.onnx"), precision="float32", timeout=self.limit)
        except UnsupportedError as error:
            return Ending(name, opset, "refused", error.what)
        except WorkerError as error:
            return Ending(name, opset, "failed", f"load: {error.what}")
        return None

    def run(self, pack: Pack, record: dict[str, Any]) -> Ending:
        """Load a case, predict, and compare with the suite's tolerances; dtype and shape exactly."""
        name, opset = record["case"], record["opset"]
        ending = self.load(pack, record)
        if ending is not None:
            return ending
        try:
            self.found = self.predict()
        except WorkerError as error:
            return Ending(name, opset, "failed", f"predict: {error.what}")
        difference = compare(self.found, self.expected(), record["rtol"], record["atol"])
        return Ending(name, opset, "wrong", difference) if difference else Ending(name, opset, "passed")

    def predict(self) -> dict[str, Any]:
        """The outputs for the inputs of the case that was loaded last. Raises WorkerError."""
        results = self.scratch / "results.safetensors"
        results.unlink(missing_ok=True)
        self.worker.request(
            "predict",
            inputs=str(self.scratch / "inputs.safetensors"),
            outputs=str(results),
            batch_size=None,
            timeout=self.limit,
        )
        return read_tensors(results)

    def expected(self) -> dict[str, Any]:
        """The published outputs of the case that was loaded last."""
        return read_tensors(self.scratch / "outputs.safetensors")

    def inputs(self) -> dict[str, Any]:
        """Its inputs."""
        return read_tensors(self.scratch / "inputs.safetensors")
