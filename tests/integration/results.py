"""What two runs of one scenario must have in common, byte by byte."""

from __future__ import annotations

from pathlib import Path

#: Files that hold timings, or show them, or the digests of such.
TIMED = {
    "digests.json",
    "seconds.json",
    "seconds.csv",
    "workers.json",
    "training_seconds.csv",
    "tooling_seconds.csv",
    "tooling_seconds.tex",
    "report.md",
    "report.html",
}


def stable(results: Path) -> dict[str, bytes]:
    """The content of every result file that does not differ from run to run, by name."""
    return {
        path.relative_to(results).as_posix(): path.read_bytes()
        for path in sorted(results.rglob("*"))
        if path.is_file() and path.name not in TIMED
    }


def assert_equal_results(one: Path, other: Path) -> None:
    """The results of two runs are equal but for timings; names the files where they are not."""
    first, second = stable(one), stable(other)
    assert set(first) == set(second)
    assert [name for name in first if first[name] != second[name]] == []
    assert "cells.json" in first
