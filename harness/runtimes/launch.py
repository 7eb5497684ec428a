"""How a worker's process is started: its command, and its environment variables."""

from __future__ import annotations

import os

from harness.files.native import native_folder
from harness.runtimes.registry import LANGUAGES
from harness.runtimes.row import Runtime

#: Variables by which thread pools take their size; every one is set, since a library may read any of them.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "JULIA_NUM_THREADS",
    "HARNESS_THREADS",
)


def command(row: Runtime) -> list[str]:
    """The command that starts a runtime's worker."""
    return LANGUAGES[row.language].command(row)


def environment(row: Runtime, threads: int) -> dict[str, str]:
    """The environment variables of a runtime's worker: fixed numbers of threads, quiet libraries, and its library path."""
    variables = dict(os.environ)
    variables |= {name: str(threads) for name in THREAD_VARIABLES}
    # Spinning barriers make small models a hundred times slower on a busy machine.
    variables |= {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}
    # Hash randomisation and user start-up files must not decide what a worker computes.
    variables |= {"PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1", "PYTHONNOUSERSITE": "1"}
    # The folder of the hand-written models that weights without a graph are loaded into.
    variables["HARNESS_NATIVE"] = str(native_folder())
    return LANGUAGES[row.language].variables(row, variables, threads)
