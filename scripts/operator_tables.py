"""Writes the tables of operators in ``docs/onnx-in-r.md`` and ``docs/onnx-in-julia.md`` as the packages themselves say it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MARK = "<!-- operators -->"
PAGES = {"r": ROOT / "docs" / "onnx-in-r.md", "julia": ROOT / "docs" / "onnx-in-julia.md"}

_R = (
    "x <- plainonnx::onnx_operators(); cat(jsonlite::toJSON(setNames(as.list(x$since), x$operator), auto_unbox = TRUE))"
)
_JULIA = 'using PlainONNX; for (name, since) in onnx_operators() println(name, "\\t", join(since, ", ")) end'


def operators_of_r() -> dict[str, str]:
    """Opsets by operator, as the R package says; it is installed where it is not yet."""
    from harness.runtimes.r_package import library

    env = os.environ | {"R_LIBS": str(library())}
    said = subprocess.run(["Rscript", "--vanilla", "-e", _R], env=env, capture_output=True, text=True, check=True)
    return dict(json.loads(said.stdout))


def operators_of_julia() -> dict[str, str]:
    """Opsets by operator, as the Julia package says."""
    env = os.environ | {"JULIA_LOAD_PATH": f"{ROOT / 'native' / 'julia'}:@stdlib"}
    command = ["julia", "--startup-file=no", "--compile=min", "-e", _JULIA]
    said = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return dict(tuple(line.split("\t")) for line in said.stdout.splitlines())


def table(operators: dict[str, str]) -> str:
    """A Markdown table: operators of the standard by name, then those of other domains."""
    rows = sorted(operators.items(), key=lambda row: ("." in row[0], row[0].lower()))
    return "\n".join(["| operator | opsets |", "| --- | --- |", *(f"| `{name}` | {since} |" for name, since in rows)])


def held(page: Path) -> dict[str, str]:
    """The table of a page."""
    return dict(re.findall(r"^\| `([^`]+)` \| ([\d, ]+) \|$", page.read_text().partition(MARK)[2], re.MULTILINE))


def write(page: Path, operators: dict[str, str]) -> None:
    """Replace what stands behind the mark of a page."""
    page.write_text(f"{page.read_text().partition(MARK)[0]}{MARK}\n\n{table(operators)}\n")


if __name__ == "__main__":
    write(PAGES["r"], operators_of_r())
    write(PAGES["julia"], operators_of_julia())
