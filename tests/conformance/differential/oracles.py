"""What an oracle gives for cases: the values of every output, or why there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.conformance.bench import OPTIMISATION
from harness.errors import UnsupportedError, WorkerError
from harness.runtimes.process import Worker
from harness.runtimes.registry import RUNTIMES
from harness.workers.tensors import read_tensors
from tests.conformance.differential.file import place
from tests.conformance.differential.recipe import Array, Case

#: Seconds for one file of cases; Julia compiles for every type and rank that it meets.
LIMIT = 300.0
#: Largest difference of two oracles, in parts of the largest value of the output.
AGREEMENT = 1e-12

#: Outputs in order, or a refusal or failure in words that begin with ``refused`` or ``failed``.
Answer = list[Array] | str


class Oracle:
    """A runtime asked in float64, started again where a case costs it its life."""

    def __init__(self, runtime: str, folder: Path) -> None:
        self.runtime = runtime
        self._folder = folder
        self._worker: Worker | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def worker(self) -> Worker:
        """The worker, started where there is none."""
        if self._worker is None or not self._worker.alive:
            row = replace(RUNTIMES[self.runtime], optimisation=OPTIMISATION)
            self._worker = Worker.start(row, self._folder / "worker.log")
        return self._worker

    @property
    def operators(self) -> dict[str, list[int]]:
        """Its operator table: name to the versions that it knows."""
        table: dict[str, list[int]] = self.worker.request("describe", timeout=120.0)["operators"]
        return table

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()

    def answers(self, cases: Sequence[Case]) -> list[Answer]:
        """All cases of one opset at once; one by one where that fails."""
        try:
            return list(self._ask(cases))
        except WorkerError:
            return [self._alone(case) for case in cases]

    def _alone(self, case: Case) -> Answer:
        try:
            return self._ask([case])[0]
        except UnsupportedError as error:
            return f"refused: {error.what}"
        except WorkerError as error:
            return f"failed: {error.what}"

    def _ask(self, cases: Sequence[Case]) -> list[list[Array]]:
        names = place(cases, self._folder)
        results = self._folder / "results.safetensors"
        results.unlink(missing_ok=True)
        self.worker.request("load", path=str(self._folder / "model.onnx"), precision="float64", timeout=LIMIT)
        self.worker.request(
            "predict",
            inputs=str(self._folder / "inputs.safetensors"),
            outputs=str(results),
            batch_size=None,
            timeout=LIMIT,
        )
        found = read_tensors(results)
        return [[found[name] for name in made] for made in names]


def parted(one: Answer, other: Answer) -> str | None:
    """How two answers part, in words; None where they agree."""
    if isinstance(one, str) or isinstance(other, str):
        return one if isinstance(one, str) else str(other)
    for position, (left, right) in enumerate(zip(one, other, strict=False)):
        if left.shape != right.shape:
            return f"output {position} has the shape {left.shape} and {right.shape}"
        if left.dtype.kind != right.dtype.kind or (left.dtype.kind in "iu" and left.dtype != right.dtype):
            return f"output {position} is {left.dtype} and {right.dtype}"
        if left.dtype.kind != "f":
            if not np.array_equal(left, right):
                return f"output {position} differs in {int((left != right).sum())} of {left.size} values"
            continue
        known = np.isfinite(left) & np.isfinite(right)
        if not np.array_equal(np.where(known, 0, left), np.where(known, 0, right), equal_nan=True):
            return f"output {position} is not finite in other places"
        largest = np.abs(right[known]).max(initial=0.0)
        distance = np.abs(left[known] - right[known]).max(initial=0.0)
        if distance > AGREEMENT * largest:
            return f"output {position} differs by {distance / max(largest, 1e-300):.1e} of its largest value"
    return None
