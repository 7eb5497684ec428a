"""``harness compare``, run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.integration.conftest import ROOT, without


def compare(
    folder: Path, *arguments: str, languages: bool | None = None, imported_first: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """What the command did in a folder; it is ended after ten minutes.

    R and Julia are to be found where ``languages`` says so; by default where a target in one of them is asked for. Without
    them a comparison takes half of the time and less: their oracles do not vote. ``imported_first``: a folder whose modules
    every Python process finds before all others.
    """
    if languages is None:
        languages = any(part.startswith(("r/", "julia/")) for argument in arguments for part in argument.split(","))
    environment = dict(os.environ)
    if not languages:
        for program in ("julia", "Rscript"):
            environment["PATH"] = without(program, environment["PATH"])["PATH"]
    modules = [str(place) for place in (imported_first, ROOT) if place is not None]
    return subprocess.run(
        [sys.executable, "-m", "harness", "compare", *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": os.pathsep.join(modules)},
        capture_output=True,
        text=True,
        timeout=600,
    )
