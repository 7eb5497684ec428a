"""Changes the code of the verdict in small ways, one at a time, and counts the changes that its tests notice.

    python scripts/mutants.py                                      # all files, about half an hour on two cores
    python scripts/mutants.py --file harness/compare/roles.py      # some files alone; may be given several times
    python scripts/mutants.py --again                              # what no test noticed before, and what was not run
    python scripts/mutants.py --report                             # the score of what ran before, nothing new

mutmut makes the changes and runs the tests that reach each of them (``[tool.mutmut]`` in pyproject.toml); it changes
functions alone, so the limits in ``gates.py`` are moved here, to either side. A change that no test notices is listed,
unless ``tests/mutation/equivalent.toml`` gives the reason why it changes nothing.

A line per file is printed as soon as it is done, and what was found is kept in ``mutants/found/``: files that ran by
themselves, or before an interruption, count in every later report until their code changes. Exit code 1 where a goal is
missed or a file of those chosen was not run to its end, 130 where the run was interrupted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import resource
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENT = ROOT / "tests" / "mutation" / "equivalent.toml"
GATES = "harness/compare/gates.py"
KEPT = ROOT / "mutants" / "found"
COLUMNS = ("killed", "timeout", "equivalent", "survived", "not run")
HEADING = f"{'file':44}" + "".join(f"{column:>12}" for column in COLUMNS) + f"{'score':>9}{'CPU s':>9}"
#: Files whose tests must notice nearly everything, and the share that they must notice; then that of all.
STRICT = (
    "harness/results/evaluate.py",
    "harness/compare/verdict.py",
    GATES,
    "harness/compare/outputs.py",
    "harness/compare/parameters.py",
    "harness/compare/parameter_folds.py",
    "harness/compare/parameter_rows.py",
    "harness/compare/parameter_table.py",
    "harness/compare/file_parameters.py",
    "harness/compare/fold.py",
    "harness/compare/decisions.py",
)
STRICT_GOAL, GOAL = 0.95, 0.85
#: mutmut's exit codes: pytest's own, and what it adds.
_STATES = {0: "survived", 33: "survived", 36: "timeout", 24: "timeout", -24: "timeout", 152: "timeout", None: "not run"}

_MOVED_GATE = """
import sys, pytest
from harness.compare import gates
value = gates.{name}
gates.{name} = value + {side} if isinstance(value, int) else value * (1 + 0.01 * {side})
sys.exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", "tests/unit/compare/test_compare_gates.py"]))
"""

_MAKE_CHANGES = """
from mutmut.__main__ import copy_also_copy_files, copy_src_dir, create_mutants, set_mutant_under_test
set_mutant_under_test("mutant_generation")
copy_src_dir()
copy_also_copy_files()
create_mutants({processes})
"""


@dataclass(frozen=True)
class Found:
    """What was found of one file, as it is kept; ``unnoticed``: name of the change, the code before and after.

    ``code``: hash of the file that was changed. ``seconds``: of processor time, all processes together.
    """

    code: str
    seconds: float
    states: dict[str, int]
    unnoticed: list[tuple[str, str, str]]

    @classmethod
    def read(cls, name: str) -> Found | None:
        """What is kept of a file; None where nothing is, or where the file has changed since."""
        path = KEPT / f"{name}.json"
        found = cls(**json.loads(path.read_text())) if path.exists() else None
        return found if found is not None and found.code == hash_of(name) else None

    def keep(self, name: str) -> None:
        """For later reports."""
        path = KEPT / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)))


@dataclass
class Score:
    """What became of the changes of one file; ``survivors``: name and what was changed."""

    states: Counter[str] = field(default_factory=Counter)
    survivors: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def share(self) -> float:
        """Noticed by a test, or known to change nothing, of all that were tried."""
        tried = self.states.total() - self.states["not run"]
        noticed = self.states["killed"] + self.states["timeout"] + self.states["equivalent"]
        return noticed / tried if tried else 0.0

    def row(self, name: str) -> str:
        """A line of the table."""
        counts = "".join(f"{self.states[column]:12}" for column in COLUMNS)
        return f"{name:44}{counts}{self.share:9.1%}{self.seconds:9.0f}"


@dataclass(frozen=True)
class Equivalents:
    """Changes that change nothing: single ones by file and lines, and kinds of them by what stands in place of what.

    A single one has the name of its function, or an empty one where the file has its line in one function alone.
    """

    single: frozenset[tuple[str, str, str, str]]
    kinds: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls) -> Equivalents:
        """From the committed list."""
        listed = tomllib.loads(EQUIVALENT.read_text())
        single = (
            (one["file"], one.get("function", ""), one["before"], after)
            for one in listed.get("change", [])
            for after in one["after"]
        )
        kinds = ((one["before"], after) for one in listed.get("kind", []) for after in one["after"])
        return cls(frozenset(single), tuple(kinds))

    def cover(self, name: str, change: str, before: str, after: str) -> bool:
        """Whether a changed line is one of them; ``change``: its name, which holds that of its function."""
        functions = ("", function_of(change))
        return any((name, function, before, after) in self.single for function in functions) or any(
            after == before[: place.start()] + new + before[place.end() :]
            for old, new in self.kinds
            for place in re.finditer(re.escape(old), before)
        )


def function_of(change: str) -> str:
    """The function of a change by its name: ``x_outer__mutmut_3``, or ``xǁClassǁmethod__mutmut_3``."""
    return re.sub(r"^x(_|ǁ.*ǁ)|__mutmut_\d+$", "", change)


def sources() -> list[str]:
    """The files that are changed, those with the higher goal first."""
    found = [*(ROOT / "harness" / "compare").glob("*.py"), *(ROOT / "harness" / "tasks").glob("*_metrics.py")]
    names = sorted(str(path.relative_to(ROOT)) for path in found if path.name != "__init__.py")
    return [*STRICT, *(name for name in names if name not in STRICT)]


def hash_of(name: str) -> str:
    """Hash of the code of a file."""
    return hashlib.sha256((ROOT / name).read_bytes()).hexdigest()


def results_of(name: str) -> dict[str, int | None]:
    """mutmut's exit codes by change, None for what did not run; empty where it never saw the file."""
    path = ROOT / "mutants" / f"{name}.meta"
    return json.loads(path.read_text())["exit_code_by_key"] if path.exists() else {}


def change_functions(chosen: Sequence[str], processes: int) -> None:
    """Run mutmut on changes, given by name or pattern."""
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(processes), *chosen]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"mutmut failed ({done.returncode}) on {', '.join(chosen)[:200]}:\n{done.stdout[-2000:]}")


def every_change(name: str) -> list[str]:
    """The pattern of all changes of a file."""
    return [f"{name.removesuffix('.py').replace('/', '.')}.*"]


def left_over(name: str) -> list[str]:
    """The changes of a file that no test noticed before, or that were not run."""
    return [change for change, code in results_of(name).items() if _STATES.get(code, "killed") != "killed"]


def found_in_functions(name: str) -> tuple[Counter[str], list[tuple[str, str, str]]]:
    """What mutmut found of one file."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    states: Counter[str] = Counter()
    unnoticed: list[tuple[str, str, str]] = []
    for change, code in results_of(name).items():
        state = _STATES.get(code, "killed")
        if state == "survived":
            lines = get_diff_for_mutant(change, path=name).splitlines()[3:]
            before, after = (" ".join(line[1:].strip() for line in lines if line[:1] == sign) for sign in "-+")
            unnoticed.append((change.rpartition(".")[2], before, after))
        else:
            states[state] += 1
    return states, unnoticed


def move_gates() -> tuple[Counter[str], list[tuple[str, str, str]]]:
    """Every limit of `harness.compare.gates` by 1 % (or by 1, where it is a whole number) to either side."""
    states: Counter[str] = Counter()
    unnoticed: list[tuple[str, str, str]] = []
    text = (ROOT / GATES).read_text()
    for name in [line.partition(" = ")[0] for line in text.splitlines() if line[:1].isupper() and " = " in line]:
        for side in (-1, 1):
            code = _MOVED_GATE.format(name=name, side=side)
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, env=environment)
            if done.returncode == 1:
                states["killed"] += 1
            else:
                unnoticed.append((name, name, f"{name} moved {'up' if side > 0 else 'down'}"))
    return states, unnoticed


def find(name: str, processes: int) -> None:
    """Try all changes of one file and keep what was found, also where that was interrupted."""
    if name == GATES:
        before = _processor_time()
        states, unnoticed = move_gates()
        Found(hash_of(name), _processor_time() - before, dict(states), unnoticed).keep(name)
        return
    before, code = _processor_time(), hash_of(name)
    try:
        change_functions(every_change(name), processes)
    finally:
        keep_functions(name, code, _processor_time() - before)


def find_again(files: Sequence[str], processes: int) -> None:
    """Try what is left over of all files together and keep what was found; the time stays that of the first run."""
    codes = {name: hash_of(name) for name in files if name != GATES}
    # The changes of functions that are others now are made anew; those of the others keep their results.
    (ROOT / "mutants").mkdir(exist_ok=True)
    making = _MAKE_CHANGES.format(processes=processes)
    subprocess.run([sys.executable, "-c", making], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    try:
        if chosen := [change for name in codes for change in left_over(name)]:
            change_functions(chosen, processes)
    finally:
        for name, code in codes.items():
            earlier = Found.read(name)
            keep_functions(name, code, earlier.seconds if earlier else 0.0)
    if GATES in files and ((moved := Found.read(GATES)) is None or moved.unnoticed):
        find(GATES, processes)


def keep_functions(name: str, code: str, seconds: float) -> None:
    """Keep what mutmut found of one file."""
    states, unnoticed = found_in_functions(name)
    Found(code, seconds, dict(states), unnoticed).keep(name)


def _processor_time() -> float:
    """Of all processes that were started here, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def score_of(name: str, known: Equivalents) -> Score:
    """What is kept of one file, judged by the list of changes that change nothing."""
    found = Found.read(name)
    if found is None:
        return Score(Counter({"not run": len(results_of(name)) or 1}))
    score = Score(Counter(found.states), seconds=found.seconds)
    for change, before, after in found.unnoticed:
        if known.cover(name, change, before, after):
            score.states["equivalent"] += 1
        else:
            score.states["survived"] += 1
            score.survivors.append((change, f"- {before}\n      + {after}"))
    return score


def report(scores: Mapping[str, Score]) -> int:
    """Print the table and what no test noticed; returns the exit code."""
    print(HEADING)
    for name, score in scores.items():
        print(score.row(name))
    missed = False
    for group, goal, names in (
        ("named files", STRICT_GOAL, [name for name in scores if name in STRICT]),
        ("harness/compare", GOAL, [name for name in scores if name.startswith("harness/compare/")]),
        ("all", GOAL, list(scores)),
    ):
        if names:
            total = Score(
                sum((scores[name].states for name in names), Counter()),
                seconds=sum(scores[name].seconds for name in names),
            )
            print(total.row(f"{group} (goal {goal:.0%})"))
            # What was not run is not in the score: then the goal is not met, whatever the score.
            missed |= total.share < goal or total.states["not run"] > 0
    for name, score in scores.items():
        for change, lines in score.survivors:
            print(f"  {name}: {change}\n      {lines}")
    return int(missed)


def main() -> int:
    """Run, print and judge."""
    parser = argparse.ArgumentParser(description="Count the changes of code that its tests notice.")
    parser.add_argument("--file", action="append", default=[], help="such as harness/compare/roles.py; by default all")
    parser.add_argument(
        "--again", action="store_true", help="run only what no test noticed before, or what did not run"
    )
    parser.add_argument("--report", action="store_true", help="show what ran before, run nothing")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    os.chdir(ROOT)
    if unknown := [name for name in arguments.file if name not in sources()]:
        parser.error(f"no such file among those that are changed: {', '.join(unknown)}")
    files = arguments.file or sources()
    known = Equivalents.read()
    interrupted = False
    if not arguments.report:
        try:
            if arguments.again:
                find_again(files, arguments.processes)
            else:
                print(HEADING, flush=True)
                for name in files:
                    find(name, arguments.processes)
                    print(score_of(name, known).row(name), flush=True)
        except KeyboardInterrupt:
            interrupted = True
        print()
    missed = report({name: score_of(name, known) for name in files})
    return 130 if interrupted else missed


if __name__ == "__main__":
    sys.exit(main())
