"""Runs node cases on one worker and says how each ended."""

from __future__ import annotations

import fnmatch
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import yaml

from harness.errors import UnsupportedError, WorkerError
from harness.runtimes.process import Worker
from harness.runtimes.row import Runtime
from harness.workers.tensors import read_tensors

if TYPE_CHECKING:
    from tests.conformance.pack import Pack

Outcome = Literal["passed", "refused", "wrong", "failed"]

#: Seconds that one case may take; a hang costs its case, and the worker is started again.
CASE_LIMIT = 60.0


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


class Bench:
    """One worker that runs case after case, and is started again when a case costs it its life."""

    def __init__(self, runtime: Runtime, scratch: Path) -> None:
        self.runtime = runtime
        self.scratch = scratch
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
            self.worker.request("load", path=str(self.scratch / "model.onnx"), precision="float32", timeout=CASE_LIMIT)
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
        results = self.scratch / "results.safetensors"
        results.unlink(missing_ok=True)
        try:
            self.worker.request(
                "predict",
                inputs=str(self.scratch / "inputs.safetensors"),
                outputs=str(results),
                batch_size=None,
                timeout=CASE_LIMIT,
            )
        except WorkerError as error:
            return Ending(name, opset, "failed", f"predict: {error.what}")
        found, expected = read_tensors(results), read_tensors(self.scratch / "outputs.safetensors")
        difference = compare(found, expected, record["rtol"], record["atol"])
        return Ending(name, opset, "wrong", difference) if difference else Ending(name, opset, "passed")


def compare(found: dict[str, Any], expected: dict[str, Any], rtol: float, atol: float) -> str | None:
    """The first difference between two sets of named arrays, or None.

    Integers and booleans are equal or not; floating point is close where ``|found - expected| <= atol + rtol *
    |expected|``, with NaN equal to NaN and infinities to themselves.
    """
    if set(found) != set(expected):
        return f"outputs are {sorted(found)}, not {sorted(expected)}"
    for name, wanted in expected.items():
        given = found[name]
        if given.dtype != wanted.dtype:
            return f"'{name}' is {given.dtype}, not {wanted.dtype}"
        if given.shape != wanted.shape:
            return f"'{name}' has shape {given.shape}, not {wanted.shape}"
        if wanted.dtype.kind in "biu":
            if not np.array_equal(given, wanted):
                return f"'{name}' differs in {int((given != wanted).sum())} of {wanted.size} values"
            continue
        left, right = given.astype(np.float64), wanted.astype(np.float64)
        close = np.isclose(left, right, rtol=rtol, atol=atol, equal_nan=True)
        if not close.all():
            with np.errstate(invalid="ignore"):
                largest = float(np.nanmax(np.abs(left - right)[~close], initial=0.0))
            return f"'{name}' differs in {int((~close).sum())} of {close.size} values, by {largest:.3g} at most"
    return None


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
