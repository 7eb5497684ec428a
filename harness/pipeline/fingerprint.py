"""What a runtime's part in a result is: the code of its worker, and the versions that change what it computes."""

from __future__ import annotations

from typing import Any

from harness.pipeline.source_code import code_hash, native_hash
from harness.runtimes.registry import availability, sources
from harness.runtimes.row import Runtime

#: Packages that only carry text and arrays: another version of them gives the same result.
CARRIERS = ("python", "jsonlite", "reticulate", "rpy2", "juliacall", "PythonCall")


def worker_hash(row: Runtime) -> str:
    """SHA-256 over the code of a runtime's worker: modules that it may load, its language's package, models by hand."""
    found = sources(row)
    return code_hash(*found.modules) + native_hash(*found.native)


def result_versions(row: Runtime) -> dict[str, str]:
    """Versions of a runtime that change what it computes."""
    return {name: version for name, version in availability(row).versions.items() if name not in CARRIERS}


def of_runtime(row: Runtime) -> dict[str, Any]:
    """Both, as parts of a key."""
    return {"worker": worker_hash(row), "versions": result_versions(row)}
