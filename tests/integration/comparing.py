"""``harness compare``, run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.integration.conftest import ROOT, without


def compare(
    folder: Path, *arguments: str, languages: bool = True, imported_first: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """What the command did in a folder; it is ended after ten minutes.

    Not ``languages``: R and Julia are not to be found, so that a comparison takes a tenth of the time. ``imported_first``: a
    folder whose modules every Python process finds before all others.
    """
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
