"""Looks runtimes and frameworks up by name, and asks their language whether they are installed here."""

from __future__ import annotations

import difflib
from functools import cache

from harness.errors import ScenarioError
from harness.runtimes.julia import Julia
from harness.runtimes.language import Language, Sources
from harness.runtimes.locked_environment import Tell
from harness.runtimes.python import Python
from harness.runtimes.r import R
from harness.runtimes.row import Availability, Runtime
from harness.runtimes.table import RUNTIMES, frameworks
from harness.runtimes.tooling import Package
from harness.runtimes.versioned import in_version
from harness.runtimes.whole_models import WHOLE_MODELS
from harness.version_names import split

__all__ = [
    "LANGUAGES",
    "REFERENCE",
    "RUNTIMES",
    "availability",
    "framework_runtime",
    "host_of",
    "lacks_environment",
    "packages",
    "ready",
    "runtime",
    "sources",
]

#: The runtime that takes graphs apart, and whose float32 run is the floor of their nodes and of a given file.
REFERENCE = "python/onnx-reference"

#: The languages by name.
LANGUAGES: dict[str, Language] = {language.name: language for language in (Python(), R(), Julia())}


def runtime(name: str) -> Runtime:
    """The runtime of that name, which may end in a version: ``python/onnxruntime@1.20``.

    Raises ScenarioError with the nearest name where there is none, and on a version that the runtime does not take.
    """
    base, version = split(name)
    if base in RUNTIMES:
        return _in_version(base, version) if "@" in name else RUNTIMES[base]
    if name in WHOLE_MODELS:
        return WHOLE_MODELS[name]
    near = difflib.get_close_matches(base, RUNTIMES, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(RUNTIMES)}"
    raise ScenarioError(f"there is no runtime '{base}'", hint=hint)


@cache
def _in_version(base: str, version: str) -> Runtime:
    return in_version(RUNTIMES[base], version)


def framework_runtime(framework: str) -> Runtime:
    """The runtime that trains with a framework, in the version that its name may end in. Raises ScenarioError."""
    base, version = split(framework)
    for row in RUNTIMES.values():
        if row.framework is not None and row.framework.name == base:
            return runtime(f"{row.name}@{version}" if "@" in framework else row.name)
    raise ScenarioError(f"there is no framework '{base}'", hint=f"choose one of {', '.join(frameworks())}")


def availability(row: Runtime) -> Availability:
    """Whether a runtime's packages are there, found out without importing any of them into this process."""
    return LANGUAGES[row.language].availability(row)


def host_of(row: Runtime) -> str:
    """The host that a runtime is started in here.

    A row that says ``rpy2`` is hosted by rpy2 where that works, and by ``Rscript`` otherwise: both run the same R code.
    ``HARNESS_R_HOST`` (``rpy2`` or ``rscript``) asks for one of them; its being broken then costs the runtime.
    In the same way ``HARNESS_JULIA_HOST`` (``juliacall`` or ``julia``) chooses for a row that says ``juliacall``. Raises
    ScenarioError on another value.
    """
    return LANGUAGES[row.language].host_of(row)


def lacks_environment(row: Runtime) -> bool:
    """Whether a runtime waits for nothing but its environment, which :func:`ready` would make."""
    return LANGUAGES[row.language].lacks_environment(row)


def ready(row: Runtime, tell: Tell = lambda text: None) -> Availability:
    """As :func:`availability`, after making the environment that a runtime runs in where it is not there yet.

    ``tell`` hears what is being done while it is made.
    """
    if row.environment is not None and lacks_environment(row):
        row.environment.try_to_make(tell)
    return availability(row)


def packages(row: Runtime) -> list[Package]:
    """The packages of an installed runtime and all that they depend on, see :meth:`Language.packages`."""
    return LANGUAGES[row.language].packages(row)


def sources(row: Runtime) -> Sources:
    """The sources of this project that decide what a runtime computes, see :meth:`Language.sources`."""
    return LANGUAGES[row.language].sources(row)
