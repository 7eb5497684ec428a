"""Which process a temporary file or folder belongs to, told by its name, and whether that process still runs."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from harness.files.disk_errors import explained

#: How an owner and a random part stand in a name: ``<host>.<pid>.<start>.<random>``, after and before a full stop.
_IN_NAME = re.compile(r"(?:^|\.)(?P<host>[A-Za-z0-9-]+)\.(?P<pid>\d+)\.(?P<started>\d+)\.[0-9a-f]{8}(?:\.|$)")


class OwnerState(Enum):
    """What is known here of an owner."""

    ALIVE = "alive"
    DEAD = "dead"
    #: On another host, or in another container: nothing can be asked of it from here.
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class Owner:
    """A process: its host (and container), process id, and start.

    The start tells a process from a later one that got the same id. On Linux it is in clock ticks since the machine's start,
    which setting the clock does not change; elsewhere in seconds since 1970 UTC.
    """

    host: str
    pid: int
    started: int

    @classmethod
    def current(cls) -> Owner:
        """This process."""
        return _this_process(os.getpid())

    @classmethod
    def of(cls, pid: int) -> Owner:
        """A process of this host. Raises ProcessLookupError where there is none."""
        started = _start(pid)
        if started is None:
            raise ProcessLookupError(f"there is no process {pid}")
        return cls(_host(), pid, started)

    @classmethod
    def in_name(cls, name: str) -> Owner | None:
        """The owner that the name of a file or folder tells; None where it tells none."""
        found = _IN_NAME.search(name)
        return Owner(found["host"], int(found["pid"]), int(found["started"])) if found else None

    def __str__(self) -> str:
        return f"{self.host}.{self.pid}.{self.started}"

    def state(self) -> OwnerState:
        """Whether the process runs, as far as that can be seen from here."""
        if self.host != _host():
            return OwnerState.ELSEWHERE
        return OwnerState.ALIVE if _start(self.pid) == self.started else OwnerState.DEAD


@functools.cache
def _this_process(pid: int) -> Owner:
    return Owner.of(pid)


def _start(pid: int) -> int | None:
    """When a process started; None where it does not run (any more, though nobody may have asked how it ended)."""
    try:
        # proc_pid_stat(5): after the name in brackets come the state and, as the 20th entry, the start.
        entries = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if entries[0] in "ZX" else int(entries[19])
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
    import psutil

    try:
        return int(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


@functools.cache
def _host() -> str:
    """The host's name, and on Linux the namespace of process ids: containers may share a host's name, not their ids."""
    name = re.sub(r"[^A-Za-z0-9-]", "-", platform.node()) or "host"
    with contextlib.suppress(OSError):
        name += f"-{Path('/proc/self/ns/pid').stat().st_ino}"
    return name


def owned_name(stem: str, suffix: str = "") -> str:
    """A name that no other process chooses, and that tells its owner: ``<stem>.<host>.<pid>.<start>.<random><suffix>``."""
    return f"{stem}.{Owner.current()}.{secrets.token_hex(4)}{suffix}"


@contextlib.contextmanager
def temporary_folder(stem: str) -> Iterator[Path]:
    """A folder of this process in the system's folder for temporary files; removed at the end of the block."""
    folder = Path(tempfile.gettempdir()) / owned_name(stem)
    with explained(folder):
        folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
