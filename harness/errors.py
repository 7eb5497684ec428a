"""The errors a user sees: one line that says what was found, where, and what to do about it."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line, in the order in which they take precedence when several apply."""

    OK = 0
    #: A cell came out worse than the scenario expects.
    WORSE_THAN_EXPECTED = 1
    #: Bad usage, a bad scenario, bad data or an output folder that cannot be written.
    USAGE = 2
    #: A cell failed: its worker died, hung or refused to answer.
    CELL_FAILED = 3
    #: Interrupted by the user (Ctrl-C).
    INTERRUPTED = 130


class HarnessError(Exception):
    """Base of every error that the command line prints as one line.

    Args:
        what: what was found, in one sentence without a final full stop.
        where: file, line or object in which it was found; printed first.
        hint: what to do about it; printed last.
    """

    exit_code: ExitCode = ExitCode.USAGE

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(self.line())

    def line(self) -> str:
        """The message as one line: ``where: what; hint``."""
        text = " ".join(f"{self.where}: {self.what}".split()) if self.where else " ".join(self.what.split())
        return f"{text}; {' '.join(self.hint.split())}" if self.hint else text


class ScenarioError(HarnessError):
    """A scenario file that cannot be read or asks for something that does not exist."""


class DataError(HarnessError):
    """Data that is missing, truncated, of the wrong shape or not finite."""


class ModelError(HarnessError):
    """A model specification or model file that cannot be used."""


class StoreError(HarnessError):
    """A folder that cannot be written, is full or is in use by another run."""


class WorkerError(HarnessError):
    """A worker that died, hung, answered nonsense or reported a failure. Costs its cell, never the run.

    Args:
        what, where, hint: as in HarnessError.
        log_tail: the last lines of the worker's log.
    """

    exit_code = ExitCode.CELL_FAILED
    #: ``error.kind`` of the worker contract.
    kind: str = "failed"

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        log_tail: list[str] | None = None,
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.log_tail = log_tail or []


class BadInputError(WorkerError):
    """A worker refuses what it was given: a missing or corrupt file, a wrong name, dtype or shape."""

    kind = "bad-input"


class UnsupportedError(WorkerError):
    """A runtime or route refuses by name something it does not support."""

    kind = "unsupported"


class AccidentError(WorkerError):
    """A worker was lost: killed, out of memory, past its time, or it broke the contract. The next run tries again."""


class UnavailableError(WorkerError):
    """A runtime is not installed; the hint is the command that installs it."""

    kind = "unavailable"
