"""Help and a scenario that is wrong are answered before anything heavy is imported; ``benchmarks/start_up.py`` times them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

BAD = "scenario: bad\ntitle: Bad\ntitel: misspelt\ndata: {source: synthetic-crops}\nmodel: {name: tempcnn}\n"


def imported(error: str) -> set[str]:
    """The packages that Python reports with ``-X importtime``."""
    return {name.partition(".")[0] for name in re.findall(r"^import time:.*\|\s*([\w.]+)$", error, re.MULTILINE)}


@pytest.mark.parametrize(
    ("arguments", "code", "heavy"),
    [
        (["--help"], 0, {"numpy", "pandas", "matplotlib", "h5py", "jinja2", "pydantic", "yaml"}),
        (["run", "bad.yaml"], 2, {"numpy", "pandas", "matplotlib", "h5py", "jinja2"}),
    ],
)
def test_it_is_answered_before_anything_heavy_is_imported(
    tmp_path: Path, arguments: list[str], code: int, heavy: set[str]
) -> None:
    (tmp_path / "bad.yaml").write_text(BAD)
    command = [sys.executable, "-X", "importtime", "-m", "harness", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    packages = imported(done.stderr)
    assert {"harness", "typer"} <= packages
    assert not packages & heavy
    if code:
        assert "titel" in done.stderr.splitlines()[-1]
