"""How often each reader of ONNX files passes, refuses or answers wrongly in ONNX's published cases."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.conformance.bench import Bench
from harness.conformance.exact_values import excuse
from harness.errors import UnavailableError
from harness.runtimes.launch import environment
from harness.runtimes.registry import REFERENCE, ready, runtime
from harness.workers.case_pack import Pack

#: In the order of the columns: what this project reads with, and whom it is measured against.
READERS = (
    "r/base",
    "r/torch",
    "r/onnxruntime",
    "julia/base",
    "julia/flux",
    "julia/onnxruntime",
    "python/onnxruntime",
    "python/onnx-reference",
)
#: Readers that this project wrote: none of their answers may be wrong.
OWN = ("r/base", "r/torch", "julia/base", "julia/flux")

#: Seconds that one case may take: the networks of the suite light have up to 140 million weights.
LIMIT = 300.0

Result = Literal["passed", "wrong", "excused", "refused", "failed"]
RESULTS: tuple[Result, ...] = ("passed", "wrong", "excused", "refused", "failed")


@dataclass(frozen=True)
class CaseResult:
    """What came of one case: ``detail`` is one line on anything but ``passed``."""

    case: str
    suite: str
    operators: tuple[str, ...]
    result: Result
    detail: str = ""


@dataclass(frozen=True)
class Standing:
    """What became of all cases on one reader.

    Attributes:
        reader: its name.
        versions: by package.
        suites: result to number of cases, for each suite.
        operators: the same for each operator, over all cases that hold it.
        remarks: one line for each answer that is wrong (``wrong``) or parts from a published value that is (``excused``), and for
            each error that is no refusal (``failed``).
    """

    reader: str
    versions: dict[str, str]
    suites: dict[str, dict[str, int]]
    operators: dict[str, dict[str, int]]
    remarks: dict[str, list[str]]

    @classmethod
    def of(cls, reader: str, versions: dict[str, str], results: Iterable[CaseResult]) -> Standing:
        """Count results."""
        results = list(results)
        told = ("wrong", "excused", "failed")
        return cls(
            reader,
            versions,
            suites=_grouped((one.suite, one.result) for one in results),
            operators=_grouped((name, one.result) for one in results for name in one.operators),
            remarks={
                kind: [f"{one.case} ({one.suite}): {one.detail}" for one in results if one.result == kind]
                for kind in told
            },
        )

    def total(self) -> Counter[str]:
        """Result to number of cases."""
        total: Counter[str] = Counter()
        for counts in self.suites.values():
            total.update(counts)
        return total


@dataclass(frozen=True)
class Scoreboard:
    """The standings of several readers in the same cases.

    Attributes:
        onnx: version of the onnx package that the cases come from.
        standings: one per reader.
        missing: readers that are not installed, with the command that installs them.
        left_out: reason to number of published cases that no reader is given.
    """

    onnx: str
    standings: tuple[Standing, ...]
    missing: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    def faults(self) -> list[str]:
        """One line for each wrong answer of a reader that this project wrote."""
        return [
            f"{standing.reader}: {line}"
            for standing in self.standings
            if standing.reader in OWN
            for line in standing.remarks["wrong"]
        ]

    def with_rows_of(self, older: Scoreboard) -> Scoreboard:
        """This scoreboard with the readers that only an older one has, in the order of :data:`READERS`."""
        if older.onnx != self.onnx:
            return self
        rows = {one.reader: one for one in (*older.standings, *self.standings)}
        order = sorted(rows, key=lambda name: (READERS.index(name) if name in READERS else len(READERS), name))
        missing = {name: install for name, install in self.missing.items() if name not in rows}
        return Scoreboard(self.onnx, tuple(rows[name] for name in order), missing, self.left_out)

    def document(self) -> dict[str, Any]:
        """As one JSON document."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Scoreboard:
        """The other way round."""
        return cls(**(document | {"standings": tuple(Standing(**one) for one in document["standings"])}))


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, dict[str, int]]:
    groups: dict[str, Counter[str]] = {}
    for key, result in pairs:
        groups.setdefault(key, Counter())[result] += 1
    return {key: dict(sorted(counts.items())) for key, counts in sorted(groups.items())}


def make_pack(folder: Path) -> Pack:
    """The published cases, written by the worker that has the onnx package. Raises UnavailableError without one."""
    row = runtime(REFERENCE)
    here = ready(row)
    if not here.installed:
        raise UnavailableError(here.reason, where=row.name, hint=f"install it with: {here.install}")
    done = subprocess.run(
        [sys.executable, "-m", "harness.workers.onnx.published_cases", str(folder)],
        env=environment(row, threads=1),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise UnavailableError(f"the published cases cannot be read: {last}", where=row.name)
    return Pack(folder)


def chosen(records: list[dict[str, Any]], operators: frozenset[str]) -> list[dict[str, Any]]:
    """The cases that hold one of some operators; all where none is named."""
    return [one for one in records if not operators or operators.intersection(one["operators"])]


def run_case(bench: Bench, pack: Pack, record: dict[str, Any]) -> CaseResult:
    """Run one case and look whether a wrong answer is the published one's fault."""
    ending = bench.run(pack, record)
    result: Result = ending.outcome
    detail = ending.detail
    if result == "wrong":
        reason = excuse(record, bench.inputs(), bench.found, bench.expected())
        if reason is not None:
            result, detail = "excused", reason
    return CaseResult(record["case"], record["suite"], tuple(record["operators"]), result, detail)


def measure(
    readers: Iterable[str],
    operators: frozenset[str] = frozenset(),
    jobs: int = 1,
    tell: Callable[[str], None] = lambda text: None,
) -> Scoreboard:
    """Run the published cases on several readers, ``jobs`` of them at once; ``tell`` hears who is done."""
    with tempfile.TemporaryDirectory() as scratch:
        pack = make_pack(Path(scratch) / "cases")
        records = chosen(pack.records, operators)
        missing = {}
        rows = []
        for name in readers:
            here = ready(runtime(name), tell)
            if here.installed:
                rows.append((name, here.versions))
            else:
                missing[name] = here.install

        def stand(name: str, versions: dict[str, str]) -> Standing:
            bench = Bench(runtime(name), Path(scratch) / name.replace("/", "-"), LIMIT)
            bench.scratch.mkdir()
            try:
                made = Standing.of(name, versions, [run_case(bench, pack, record) for record in records])
            finally:
                bench.close()
            counts = made.total()
            tell(f"{name}: {', '.join(f'{counts[key]} {key}' for key in RESULTS if counts[key])}")
            return made

        with ThreadPoolExecutor(jobs) as pool:
            standings = tuple(pool.map(lambda row: stand(*row), rows))
    left_out = Counter(one["reason"] for one in pack.excluded["cases"]) if not operators else Counter()
    return Scoreboard(pack.onnx, standings, missing, dict(sorted(left_out.items())))
