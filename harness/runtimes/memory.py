"""The memory of a worker, by which one that takes too much is ended."""

from __future__ import annotations

import contextlib


def resident_bytes(pid: int) -> int:
    """Resident bytes of a process and all its descendants; 0 where it has ended.

    The address space cannot be limited instead: libraries reserve far more address space than they use.
    """
    import psutil

    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += int(one.memory_info().rss)
    return total
