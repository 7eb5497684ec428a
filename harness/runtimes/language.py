"""What the harness asks of a language: one file of this package implements it for each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol

from harness.errors import ScenarioError
from harness.runtimes.row import Availability, Runtime
from harness.runtimes.tooling import Package


@dataclass(frozen=True)
class Sources:
    """Where what a worker runs begins: ``modules`` of the harness by dotted name, and folders of ``native/``."""

    modules: tuple[str, ...] = ()
    native: tuple[str, ...] = ()


class Language(Protocol):
    """One language, registered by name in :data:`harness.runtimes.registry.LANGUAGES`.

    No other code compares the name of a language: what differs between languages is a method here.
    """

    #: As names of runtimes begin: ``python``.
    name: str
    #: Whether what a worker loads may have to be compiled first for a minute, which the step that asks it should tell.
    compiled_first: bool = False

    def availability(self, row: Runtime) -> Availability:
        """Whether a runtime can be started here, found out without loading its engine into this process."""

    def host_of(self, row: Runtime) -> str:
        """The host that a runtime is started in here. Raises ScenarioError where an unknown one is asked for."""

    def lacks_environment(self, row: Runtime) -> bool:
        """Whether a runtime waits for nothing but its own environment, which can be made."""

    def command(self, row: Runtime) -> list[str]:
        """The command that starts a runtime's worker."""

    def variables(self, row: Runtime, inherited: dict[str, str], threads: int) -> dict[str, str]:
        """All environment variables of a runtime's worker, from those it would inherit.

        Raises WorkerError where what the worker loads has to be installed or compiled first and cannot be.
        """

    def packages(self, row: Runtime) -> list[Package]:
        """The packages of an installed runtime and, as far as they are installed, all that they depend on, by name.

        Left out are the language itself, what comes with it, and what a system's package manager installed for it.
        """

    def sources(self, row: Runtime) -> Sources:
        """The sources of this project that decide what a worker computes."""


def asked_host(variable: str, embedded: str, separate: str) -> str | None:
    """The host that an environment variable asks for, None where it asks for none. Raises ScenarioError."""
    asked = os.environ.get(variable, "")
    for host in (embedded, separate):
        if asked == host:
            return host
    if asked:
        raise ScenarioError(f"{variable} is '{asked}'", hint=f"set it to {embedded} or {separate}, or not at all")
    return None
