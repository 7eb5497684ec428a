"""What is known of a runtime before anybody looks whether it is installed, and what is known of it then."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from harness.errors import ScenarioError
from harness.runtimes.locked_environment import LockedEnvironment
from harness.version_names import split

Language = Literal["python", "r", "julia"]
FileFormat = Literal["onnx", "safetensors", "savedmodel", "keras"]
Host = Literal["python", "rscript", "rpy2", "julia", "juliacall"]


@dataclass(frozen=True)
class Pinned:
    """What a version after a runtime's name fixes.

    ``parts``: distributions by the short name that is written before their number, which is empty where there is only one;
    ``example``: a number for each; ``beside``: requirements of what the worker needs beside them.
    """

    parts: tuple[tuple[str, str], ...]
    example: tuple[str, ...]
    beside: tuple[str, ...]


@dataclass(frozen=True)
class Runtime:
    """One row: what executes a model file and how it is reached.

    ``host`` is how it is reached; a row that says ``rpy2`` (R inside a Python process) can be reached by ``Rscript`` as
    well, one that says ``juliacall`` by a plain ``julia``, see :func:`harness.runtimes.registry.host_of`. ``packages`` are
    the packages of its language it cannot do without; ``reads`` the file formats it loads; ``framework`` names the
    framework it trains with, where it can train; ``oracle`` marks those that can serve as a route oracle of
    all that they load, ``oracle_of`` names formats of which they can; ``pinned`` says
    what a version in its name means, see :mod:`harness.runtimes.versioned`. ``environment`` is a Python of its own: the one
    that a runtime in a version runs in, or one that R calls by reticulate, used where the harness's own does not fit.
    """

    name: str
    host: Host
    packages: tuple[str, ...]
    reads: tuple[FileFormat, ...]
    install: str
    framework: str | None = None
    oracle: bool = False
    oracle_of: tuple[FileFormat, ...] = ()
    pinned: Pinned | None = None
    environment: LockedEnvironment | None = None

    @property
    def base(self) -> str:
        """The name without a version."""
        return split(self.name)[0]

    @property
    def language(self) -> Language:
        """The part of the name before the slash."""
        return self.name.partition("/")[0]  # type: ignore[return-value]

    @property
    def engine(self) -> str:
        """The part of the name after the slash, without a version."""
        return self.base.partition("/")[2]


@dataclass(frozen=True)
class Availability:
    """Whether a runtime can be started here; ``versions`` by package; ``reason`` and ``install`` where it cannot."""

    installed: bool
    versions: dict[str, str]
    reason: str = ""
    install: str = ""


def asked_host(variable: str, embedded: Host, apart: Host) -> Host | None:
    """The host that a variable of the environment asks for, None where it asks for none. Raises ScenarioError."""
    asked = os.environ.get(variable, "")
    for host in (embedded, apart):
        if asked == host:
            return host
    if asked:
        raise ScenarioError(f"{variable} is '{asked}'", hint=f"set it to {embedded} or {apart}, or not at all")
    return None
