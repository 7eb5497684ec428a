"""The score of a mutation run: what is kept of each file, merged and judged. No mutation runs here."""

from __future__ import annotations

import ast
import sys
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "mutants.py"
VERDICT, LAYERS = "harness/compare/verdict.py", "harness/compare/layers.py"
CHANGE = "x_compute__mutmut_1"
LISTED = tomllib.loads((Path(__file__).parent / "equivalent.toml").read_text())["change"]


@pytest.fixture
def score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, on a checkout of two files."""
    spec = spec_from_file_location("mutants", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    # Dataclasses look their module up by name.
    monkeypatch.setitem(sys.modules, "mutants", module)
    spec.loader.exec_module(module)
    for name in (VERDICT, LAYERS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("code")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "KEPT", tmp_path / "found")
    monkeypatch.setattr(module, "STRICT", (VERDICT,))
    monkeypatch.setattr(module, "EQUIVALENT", tmp_path / "equivalent.toml")
    (tmp_path / "equivalent.toml").write_text(
        f'[[change]]\nfile = "{VERDICT}"\nbefore = "a = 1"\nafter = ["a = 2"]\nreason = ""\n'
        f'[[change]]\nfile = "{VERDICT}"\nfunction = "one"\nbefore = "continue"\nafter = ["break"]\nreason = ""\n'
        '[[kind]]\nbefore = ", strict=True"\nafter = [""]\nreason = ""\n'
    )
    return module


def keep(score: ModuleType, name: str, killed: int, *unnoticed: tuple[str, str, str], **states: int) -> None:
    score.Found(score.hash_of(name), 2.5, {"killed": killed} | states, list(unnoticed)).keep(name)


def shown(score: ModuleType, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str]]:
    sys.argv = ["mutants.py", "--report", *arguments]
    code = score.main()
    return code, capsys.readouterr().out.splitlines()


def row(lines: list[str], name: str) -> list[str]:
    (found,) = (line for line in lines if line.startswith(name + " "))
    return found[len(name) :].split()


def test_kept_results_of_files_are_merged(
    score: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(score.ROOT)
    monkeypatch.setattr(sys, "argv", [])
    keep(score, VERDICT, 96, ("x_1", "a = 1", "a = 2"), ("x_2", "b = 1", "b = 2"), timeout=2)
    keep(score, LAYERS, 85, *[(f"y_{place}", "a = 1", "a = 2") for place in range(15)])
    code, lines = shown(score, capsys)
    assert code == 0
    #  killed, timeout, equivalent, survived, not run, score, seconds
    assert row(lines, VERDICT) == ["96", "2", "1", "1", "0", "99.0%", "2"]
    assert row(lines, LAYERS) == ["85", "0", "0", "15", "0", "85.0%", "2"]
    assert row(lines, "named files (goal 95%)") == ["96", "2", "1", "1", "0", "99.0%", "2"]
    assert row(lines, "all (goal 85%)") == ["181", "2", "1", "16", "0", "92.0%", "5"]
    assert lines[-2:] == ["      - a = 1", "      + a = 2"]
    assert sum("x_2" in line for line in lines) == 1
    assert not any("x_1" in line for line in lines)


@pytest.mark.parametrize(("killed", "survived", "code"), [(95, 5, 0), (94, 6, 1)])
def test_a_goal_that_is_missed_is_the_exit_code(
    score: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: Any, killed: int, survived: int, code: int
) -> None:
    monkeypatch.chdir(score.ROOT)
    monkeypatch.setattr(sys, "argv", [])
    keep(score, VERDICT, killed, *[("x", "b", "c")] * survived)
    assert shown(score, capsys, "--file", VERDICT)[0] == code
    # The goal of all files is lower, but one that did not run misses it.
    keep(score, LAYERS, killed, *[("x", "b", "c")] * survived)
    assert shown(score, capsys, "--file", LAYERS)[0] == 0
    (score.ROOT / LAYERS).write_text("changed")
    found, lines = shown(score, capsys, "--file", LAYERS)
    assert (found, row(lines, LAYERS)[:5]) == (1, ["0", "0", "0", "0", "1"])


def test_a_change_of_a_kind_is_the_same_in_every_file(score: ModuleType) -> None:
    known = score.Equivalents.read()
    assert known.cover(LAYERS, CHANGE, "zip(a, b, strict=True)", "zip(a, b)")
    assert not known.cover(LAYERS, CHANGE, "zip(a, b, strict=True)", "zip(a)")
    assert known.cover(VERDICT, CHANGE, "a = 1", "a = 2")
    assert not known.cover(LAYERS, CHANGE, "a = 1", "a = 2")


@pytest.mark.parametrize(
    ("change", "covered"),
    [
        ("x_one__mutmut_12", True),
        ("xǁVerdictǁone__mutmut_3", True),
        ("x_two__mutmut_12", False),
        ("x_one_more__mutmut_1", False),
    ],
)
def test_a_change_that_names_its_function_is_no_other_functions(score: ModuleType, change: str, covered: bool) -> None:
    assert score.Equivalents.read().cover(VERDICT, change, "continue", "break") is covered


def functions_with(name: str, line: str) -> set[str]:
    """The functions of a file that have a line, the empty name standing for the lines outside of all."""
    text = (SCRIPT.parents[1] / name).read_text()
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    places = [place for place, one in enumerate(text.splitlines(), start=1) if one.strip() == line]
    around = [[one for one in functions if one.lineno <= place <= (one.end_lineno or 0)] for place in places]
    return {max(found, key=lambda one: one.lineno).name if found else "" for found in around}


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: f"{Path(entry['file']).stem}: {entry['before'][:40]}")
def test_an_entry_of_the_list_is_of_one_function_that_has_its_line(entry: dict[str, Any]) -> None:
    """An entry for lines of several functions would hide what no test notices in the others."""
    found = functions_with(entry["file"], entry["before"])
    assert found
    if "function" in entry:
        assert entry["function"] in found
    else:
        assert len(found) == 1
