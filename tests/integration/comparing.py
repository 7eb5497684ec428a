"""``harness compare``, run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.integration.conftest import ROOT


def compare(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the command did in a folder; it is ended after ten minutes."""
    return subprocess.run(
        [sys.executable, "-m", "harness", "compare", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
