"""Changes the code of the verdict in small ways, one at a time, and counts the changes that its tests notice.

    python scripts/mutants.py                        # all of harness/compare and harness/results/evaluate.py
    python scripts/mutants.py compare/verdict ...    # some files alone
    python scripts/mutants.py --report               # the score of what ran before, nothing new

mutmut makes the changes and runs the tests that reach each of them (``[tool.mutmut]`` in pyproject.toml); it changes
functions alone, so the limits in ``gates.py`` are moved here, to either side. A change that no test notices is listed,
unless ``tests/mutation/equivalent.toml`` gives the reason why it changes nothing. Exit code 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENT = ROOT / "tests" / "mutation" / "equivalent.toml"
GATES = "harness/compare/gates.py"
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


@dataclass
class Score:
    """What became of the changes of one file; ``survivors``: name and what was changed."""

    states: Counter[str] = field(default_factory=Counter)
    survivors: list[tuple[str, str]] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Noticed by a test, or known to change nothing, of all that were tried."""
        tried = self.states.total() - self.states["not run"]
        noticed = self.states["killed"] + self.states["timeout"] + self.states["equivalent"]
        return noticed / tried if tried else 0.0


@dataclass(frozen=True)
class Equivalents:
    """Changes that change nothing: single ones by file and lines, and kinds of them by what stands in place of what."""

    single: frozenset[tuple[str, str, str]]
    kinds: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls) -> Equivalents:
        """From the committed list."""
        listed = tomllib.loads(EQUIVALENT.read_text())
        single = ((one["file"], one["before"], after) for one in listed.get("change", []) for after in one["after"])
        kinds = ((one["before"], after) for one in listed.get("kind", []) for after in one["after"])
        return cls(frozenset(single), tuple(kinds))

    def cover(self, name: str, before: str, after: str) -> bool:
        """Whether a changed line is one of them."""
        return (name, before, after) in self.single or any(
            after == before[: place.start()] + new + before[place.end() :]
            for old, new in self.kinds
            for place in re.finditer(re.escape(old), before)
        )


def sources() -> list[str]:
    """The files that are changed, those with the higher goal first."""
    found = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "harness" / "compare").glob("*.py"))]
    return [*STRICT, *(name for name in found if name not in STRICT and not name.endswith("__init__.py"))]


def change_functions(files: Iterable[str], processes: int) -> None:
    """Run mutmut, file by file, so that what is finished counts where the time runs out."""
    for name in files:
        if name != GATES:
            module = name.removesuffix(".py").replace("/", ".")
            print(f"{name} ...", flush=True)
            command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(processes), f"{module}.*"]
            done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode:
                sys.exit(f"mutmut failed on {name}:\n{done.stdout[-2000:]}")


def move_gates() -> Score:
    """Every limit of `harness.compare.gates` by 1 % (or by 1, where it is a whole number) to either side."""
    score = Score()
    text = (ROOT / GATES).read_text()
    names = [line.partition(" = ")[0] for line in text.splitlines() if line[:1].isupper() and " = " in line]
    for name in names:
        for side in (-1, 1):
            code = _MOVED_GATE.format(name=name, side=side)
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, env=environment)
            score.states["killed" if done.returncode == 1 else "survived"] += 1
            if done.returncode != 1:
                score.survivors.append((name, f"moved {'up' if side > 0 else 'down'}"))
    return score


def read_score(name: str, known: Equivalents) -> Score:
    """What mutmut found of one file."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    score = Score()
    path = ROOT / "mutants" / f"{name}.meta"
    results = json.loads(path.read_text())["exit_code_by_key"] if path.exists() else {}
    for mutant, code in results.items():
        state = _STATES.get(code, "killed")
        if state == "survived":
            lines = get_diff_for_mutant(mutant, path=name).splitlines()[3:]
            before, after = (" ".join(line[1:].strip() for line in lines if line[:1] == sign) for sign in "-+")
            if known.cover(name, before, after):
                state = "equivalent"
            else:
                score.survivors.append((mutant.rpartition(".")[2], f"- {before}\n      + {after}"))
        score.states[state] += 1
    return score


def main() -> int:
    """Run, print and judge."""
    parser = argparse.ArgumentParser(description="Count the changes of code that its tests notice.")
    parser.add_argument("files", nargs="*", help="such as compare/verdict; by default all")
    parser.add_argument("--report", action="store_true", help="show what ran before")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    os.chdir(ROOT)
    chosen = [f"harness/{name.removeprefix('harness/').removesuffix('.py')}.py" for name in arguments.files]
    if unknown := [name for name in chosen if name not in sources()]:
        parser.error(f"no such file among those that are changed: {', '.join(unknown)}")
    files = chosen or sources()
    if not arguments.report:
        change_functions(files, arguments.processes)
    known = Equivalents.read()
    scores = {name: move_gates() if name == GATES else read_score(name, known) for name in files}
    groups = {"named files": [name for name in files if name in STRICT], "all": files}
    columns = ("killed", "timeout", "equivalent", "survived", "not run")
    print(f"{'file':44}" + "".join(f"{column:>12}" for column in columns) + f"{'score':>9}")
    missed = False
    for name, score in scores.items():
        print(f"{name:44}" + "".join(f"{score.states[column]:12}" for column in columns) + f"{score.share:9.1%}")
    for group, names in groups.items():
        total = Score(sum((scores[name].states for name in names), Counter()))
        print(f"{group:44}" + "".join(f"{total.states[column]:12}" for column in columns) + f"{total.share:9.1%}")
        if names:
            # What was not run is not in the score: then the goal is not met, whatever the score.
            goal = STRICT_GOAL if group == "named files" else GOAL
            missed |= total.share < goal or total.states["not run"] > 0
    for name, score in scores.items():
        for mutant, change in score.survivors:
            print(f"  {name}: {mutant}\n      {change}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
