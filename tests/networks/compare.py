"""Compares drawn networks in every runtime that opens them, as ``harness compare`` does, and counts the verdicts.

    python -m tests.networks.compare --networks 500               # what `make clean-networks` runs
    python -m tests.networks.compare --seeds 17,42 --keep folder  # some of them, their files and artifacts kept

A clean network that is called anything but ``identical`` or ``equivalent`` is a false alarm, or a fault of a runtime: it is
compared once more node by node, and what begins at an operator that is known to be inexact there (`KNOWN_FAULTS`) is counted by
itself. What a runtime refuses by name is counted beside it, and so is what an exporter refuses. Exit code 1 where there was an
alarm.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.compare.records import CellResult, Verdict
from harness.errors import HarnessError
from harness.files.store import Store
from harness.pipeline.execution import Execution, availabilities, step_keys
from harness.pipeline.given_plan import Given, given_plan
from harness.results.given_checks import checks_of
from harness.results.given_run import judged_cells
from harness.runtimes.pool import Workers
from harness.runtimes.registry import RUNTIMES, availability
from tests.networks.drawn import EXPORTERS, Draw, drawn

CLEAN = (Verdict.IDENTICAL, Verdict.EQUIVALENT)
#: What says nothing of the network: a runtime without the operator, or one that is not installed.
NOTHING = (Verdict.UNSUPPORTED, Verdict.UNAVAILABLE)
#: Networks that are made in one process.
MADE_AT_ONCE = 20
#: Operators that a version of a runtime computes less exactly than float32 allows, and how, by the package and the operator.
KNOWN_FAULTS = {
    (
        "onnxruntime 1.20.1",
        "LayerNormalization",
    ): "takes the variance as the mean of squares less the square of the mean",
}
#: Operators that onnxruntime puts into the place of others, which no walk through the nodes sees; by those that they stand for.
FUSED = {("ReduceMean", "Sub", "Pow", "ReduceMean", "Add", "Sqrt", "Div"): "LayerNormalization"}
#: Samples of the probe on which an alarm is placed.
PLACED_ON = 8


class Silent:
    """A listener that says nothing."""

    def planned(self, steps: int) -> None:
        """See Listener."""

    def began(self, step: str) -> None:
        """See Listener."""

    def progressed(self, progress: dict[str, Any]) -> None:
        """See Listener."""

    def ended(self, step: str, state: str, seconds: float) -> None:
        """See Listener."""

    def noticed(self, text: str) -> None:
        """See Listener."""


def readers() -> tuple[str, ...]:
    """The runtimes that open ONNX files here."""
    return tuple(
        name
        for name, row in RUNTIMES.items()
        if "@" not in name and "onnx" in row.reads and availability(row).installed
    )


def make(folder: Path, seeds: Sequence[int]) -> None:
    """Write the files of networks, each framework in a process of its own. Raises CalledProcessError where one breaks."""
    for framework in EXPORTERS:
        own = [seed for seed in seeds if drawn(seed).framework == framework]
        for start in range(0, len(own), MADE_AT_ONCE):
            chosen = own[start : start + MADE_AT_ONCE]
            command = [sys.executable, "-m", "tests.networks.make", framework, str(folder), *map(str, chosen)]
            subprocess.run(command, check=True, capture_output=True)


@dataclass
class Bench:
    """Runtimes whose workers live from one network to the next."""

    folder: Path
    targets: tuple[str, ...]
    workers: Workers = field(init=False)

    def __post_init__(self) -> None:
        logs = self.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self.workers = Workers(logs, 1)

    def cells(self, place: Path, targets: tuple[str, ...] = (), layers: int = 0) -> list[CellResult]:
        """The cells of the network in a folder, in all targets if none are named.

        ``layers``: samples that are followed node by node. Raises HarnessError where nothing can be compared.
        """
        probe = {path.stem: path for path in sorted(place.glob("*.npy"))}
        given = Given(place / "model.onnx", targets or self.targets, probe, layers=layers)
        plan = given_plan(given)
        execution = Execution(
            plan,
            step_keys(plan),
            availabilities(plan, Silent()),
            Store(place / "store"),
            Silent(),
            limits=given.limits,
            threads=given.threads,
            workers=self.workers,
        )
        return judged_cells(given, plan, execution, checks_of(given))[-1]


@contextmanager
def bench(folder: Path, targets: tuple[str, ...]) -> Iterator[Bench]:
    """A bench whose workers end with the block."""
    made = Bench(folder, targets)
    try:
        yield made
    finally:
        made.workers.close()


@dataclass
class Counts:
    """What came of networks: verdicts by runtime, files by exporter, alarms in a sentence each."""

    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    compared: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, draw: Draw, cells: Sequence[CellResult], placed: Callable[[str], CellResult]) -> list[str]:
        """Count the cells of a network; its alarms. ``placed``: the cell of a target, compared node by node."""
        self.compared[draw.exporter] += 1
        found = []
        for cell in cells:
            self.verdicts[cell.target, cell.verdict.value] += 1
            if cell.verdict in (*CLEAN, *NOTHING):
                continue
            again = placed(cell.target)
            culprit = None if again.layers is None else again.layers.culprit
            operator = _fused(again) if culprit is None else culprit.operator
            known = {
                f"{cell.target}: {package} {KNOWN_FAULTS[f'{package} {version}', operator]} ({operator})"
                for package, version in again.versions.items()
                if (f"{package} {version}", operator) in KNOWN_FAULTS
            }
            if known:
                self.faults.update(known)
                continue
            where = f", first at {operator} '{culprit.node}'" if culprit else ""
            said = cell.error or cell.sentence
            found.append(f"{draw.name} in {cell.target}{where}: {cell.verdict.value}: {said} {again.versions}")
        self.alarms += found
        return found

    def text(self) -> str:
        """All of it in lines."""
        runtimes = sorted({runtime for runtime, _ in self.verdicts})
        kinds = [verdict.value for verdict in Verdict if any(self.verdicts[name, verdict.value] for name in runtimes)]
        lines = [f"{sum(self.compared.values())} networks compared: {dict(sorted(self.compared.items()))}"]
        lines.append(f"{len(self.refused)} refused by their exporters")
        lines += [f"  {text}" for text in self.refused]
        lines.append(f"{'runtime':24}" + "".join(f"{kind:>13}" for kind in kinds))
        lines += [f"{name:24}" + "".join(f"{self.verdicts[name, kind]:13}" for kind in kinds) for name in runtimes]
        lines.append(f"{sum(self.faults.values())} cells with a fault of their runtime that is known")
        lines += [f"  {count} {text}" for text, count in sorted(self.faults.items())]
        lines.append(f"{len(self.alarms)} alarms")
        return "\n".join([*lines, *(f"  {text}" for text in self.alarms)])


def _fused(cell: CellResult) -> str:
    """What onnxruntime makes of several nodes of the graph that follow each other; "" where none are known."""
    operators = [] if cell.layers is None else [row.operator for row in cell.layers.rows]
    return next(
        (
            fused
            for parts, fused in FUSED.items()
            if any(tuple(operators[k : k + len(parts)]) == parts for k in range(len(operators)))
        ),
        "",
    )


def compare(bench: Bench, files: Path, seed: int, counts: Counts) -> list[str]:
    """Compare the network of a seed, whose file lies below ``files``; its alarms."""
    draw = drawn(seed)
    place = files / draw.name
    if (place / "refused.txt").exists():
        counts.refused.append(f"{draw.name}: {(place / 'refused.txt').read_text().strip()}")
        return []
    try:
        return counts.add(draw, bench.cells(place), lambda target: bench.cells(place, (target,), PLACED_ON)[0])
    except HarnessError as error:
        alarm = f"{draw.name}: not compared: {error}"
        counts.alarms.append(alarm)
        return [alarm]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--networks", type=int, default=500, help="how many, from seed 0")
    parser.add_argument("--seeds", help="these, with commas between them")
    parser.add_argument("--targets", help="runtimes with commas between them; all that open ONNX files if left out")
    parser.add_argument("--keep", type=Path, help="a folder for files and artifacts; files that are there are used")
    arguments = parser.parse_args()
    seeds = [int(seed) for seed in arguments.seeds.split(",")] if arguments.seeds else range(arguments.networks)
    targets = tuple(arguments.targets.split(",")) if arguments.targets else readers()
    counts, began = Counts(), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="clean-networks-") as scratch:
        files = arguments.keep or Path(scratch)
        with bench(Path(scratch), targets) as made:
            for start in range(0, len(seeds), MADE_AT_ONCE):
                chosen = list(seeds[start : start + MADE_AT_ONCE])
                make(files, [seed for seed in chosen if not (files / drawn(seed).name / "made").exists()])
                for seed in chosen:
                    for alarm in compare(made, files, seed, counts):
                        print(f"alarm: {alarm}", flush=True)
                minutes = (time.perf_counter() - began) / 60
                print(
                    f"{start + len(chosen)} of {len(seeds)}, {len(counts.alarms)} alarms, {minutes:.0f} min", flush=True
                )
    print(counts.text())
    return 1 if counts.alarms else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
