"""The R package of ``native/r``, installed for workers, and the other R packages that a runtime needs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, WorkerError
from harness.files.cache import cache_folder
from harness.files.native import native_folder
from harness.files.source_hash import source_hash
from harness.runtimes.tooling import Package

_LIST_PACKAGES = Path(__file__).with_name("r_packages.R")


def library() -> Path:
    """The library folder with the R package of ``native/r``, which is installed if it is not there yet.

    Raises WorkerError with the last lines of ``R CMD INSTALL`` where that fails.
    """
    package = native_folder() / "r"
    rscript = shutil.which("Rscript")
    if rscript is None:
        raise WorkerError("Rscript is not on the path", hint="install R, or leave r/... out of the targets")
    identity = f"{source_hash(package)} {Path(rscript).resolve()} {_r_version(rscript)}"
    library = cache_folder() / f"r-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    if library.is_dir():
        return library
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent, prefix="making-r-") as scratch:
        # Built from a copy: R CMD INSTALL must not write into the user's checkout.
        source = Path(scratch) / "source"
        shutil.copytree(package, source, ignore=shutil.ignore_patterns("tests", "*.Rcheck", "*.tar.gz"))
        made = Path(scratch) / "library"
        made.mkdir()
        done = subprocess.run(
            [
                str(Path(rscript).with_name("R")),
                "CMD",
                "INSTALL",
                "--no-docs",
                "--no-test-load",
                f"--library={made}",
                str(source),
            ],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            tail = (done.stdout + done.stderr).splitlines()[-12:]
            raise WorkerError(
                f"the R package could not be installed (R CMD INSTALL ended with {done.returncode})",
                where=str(package),
                hint="the worker's log has its last lines",
                log_tail=tail,
            )
        try:
            made.rename(library)
        except OSError:
            # Another process made the same library meanwhile; use that one.
            if not library.is_dir():
                raise
    return library


def _r_version(rscript: str) -> str:
    done = subprocess.run([rscript, "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return (done.stdout + done.stderr).strip()


def r_packages(names: Sequence[str]) -> list[Package]:
    """R packages and all they depend on (Depends, Imports, LinkingTo), with the bytes of their folders, libtorch included.

    Packages that come with R are left out. Empty where R cannot be run.
    """
    rows = _ask_r(tuple(names))
    return [Package(row["name"], row["version"], "r", row["bytes"], row["name"] in names) for row in rows]


@cache
def _ask_r(names: tuple[str, ...]) -> list[dict[str, Any]]:
    rscript = shutil.which("Rscript")
    if rscript is None:
        return []
    try:
        done = subprocess.run(
            [rscript, "--vanilla", str(_LIST_PACKAGES), *names],
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            # The library of workers, with the R package of this project.
            env=os.environ | {"R_LIBS": str(library())},
        )
        return [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else []
    except (OSError, ValueError, subprocess.TimeoutExpired, HarnessError):
        return []
