"""Memory that a worker holds, as its machine counts it, so that one that takes too much ends alone and by name."""

from __future__ import annotations

import contextlib


def resident_bytes(pid: int) -> int:
    """Bytes that a process and all below it hold in memory now; 0 for one that is gone.

    The address space cannot be limited instead: libraries reserve far more of it than they ever use.
    """
    import psutil

    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += int(one.memory_info().rss)
    return total
