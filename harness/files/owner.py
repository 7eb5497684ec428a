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

#: Seconds that two readings of one process's start may differ by: the clock may be set between them.
_START_TOLERANCE = 2
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
    """A process: its host (and container), process id, and start in whole seconds since 1970 UTC.

    The start tells a process from a later one that got the same id.
    """

    host: str
    pid: int
    started: int

    @classmethod
    def current(cls) -> Owner:
        """This process."""
        return _owner_of(os.getpid())

    @classmethod
    def in_name(cls, name: str) -> Owner | None:
        """The owner that the name of a file or folder tells; None where it tells none."""
        found = _IN_NAME.search(name)
        return Owner(found["host"], int(found["pid"]), int(found["started"])) if found else None

    def __str__(self) -> str:
        return f"{self.host}.{self.pid}.{self.started}"

    def state(self) -> OwnerState:
        """Whether the process runs, as far as that can be seen from here."""
        import psutil

        if self.host != _host():
            return OwnerState.ELSEWHERE
        try:
            started = psutil.Process(self.pid).create_time()
        except psutil.NoSuchProcess:
            return OwnerState.DEAD
        except psutil.Error:
            return OwnerState.ALIVE
        return OwnerState.ALIVE if abs(started - self.started) <= _START_TOLERANCE else OwnerState.DEAD


@functools.cache
def _owner_of(pid: int) -> Owner:
    import psutil

    return Owner(_host(), pid, int(psutil.Process(pid).create_time()))


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
