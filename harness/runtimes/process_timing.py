"""The harness's half of timing: fresh processes, one at a time, and nothing else timed on the machine meanwhile."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.files.cache import cache_folder
from harness.files.disk_errors import explained
from harness.files.owner import temporary_folder
from harness.models.sampling import Sampling
from harness.runtimes.process import Worker
from harness.runtimes.row import Runtime

#: Bytes of the arrays whose echo tells what the bridge costs: the cost of an exchange, and that of the arrays in it.
ECHO_BYTES = (1_000, 8_000_000)
#: Echoes of each size and process.
ECHOES = 3

Tell = Callable[[str], None]


@contextmanager
def machine_lock(tell: Tell = lambda text: None, *, every: float = 0.1) -> Iterator[None]:
    """Held while something is timed: a second timing on this machine, in whatever run of this user, waits for it.

    ``tell`` hears of it once where there is something to wait for.
    """
    path = cache_folder() / "timing.lock"
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+")
    with handle:
        waited = False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waited:
                    tell("waiting for another timing on this machine")
                waited = True
                time.sleep(every)
        yield


def measure(
    row: Runtime,
    model: Path,
    inputs: Path,
    log: Path,
    *,
    batch_sizes: list[int],
    seconds: float,
    processes: int,
    threads: int,
    sampling: Sampling,
    timeout: float,
    tell: Tell = lambda text: None,
) -> dict[str, Any]:
    """Time a model file in fresh processes of a runtime, under the lock of the machine.

    Returns ``runtime``, ``threads``, ``seconds`` and ``processes``, each of which holds ``start_seconds`` (until the
    first answer), ``load_seconds``, the ``batches`` and ``resident_peak_bytes`` of the worker contract's ``time``, and
    ``echo``: ``bytes`` and ``round_trips`` (seconds as the harness sees them) by size. Raises WorkerError.
    """
    found = []
    # The seconds asked for, and as many for calibration, are added to the limit of a request.
    asked = 2 * seconds * len(batch_sizes)
    with machine_lock(tell), temporary_folder("harness-timing") as scratch:
        for number in range(1, processes + 1):
            tell(f"process {number} of {processes}")
            with Worker.start(row, log, threads=threads) as worker:
                worker.request("describe", timeout=min(timeout, 300.0))
                loaded = worker.request("load", path=str(model), precision="float32", timeout=timeout)
                # A file of one batch size is timed at that.
                fixed = sampling.fixed(loaded)
                axes: dict[str, Any] = {"sample_axes": found_axes} if (found_axes := sampling.of(loaded)) else {}
                timed = worker.request(
                    "time",
                    inputs=str(inputs),
                    batch_sizes=batch_sizes if fixed is None else [fixed],
                    seconds=seconds,
                    timeout=timeout + asked,
                    **axes,
                )
                found.append(
                    {
                        "start_seconds": worker.start_seconds,
                        "load_seconds": loaded.get("seconds"),
                        "echo": echoes(worker, scratch, timeout),
                        **{name: timed.get(name) for name in ("batches", "resident_peak_bytes", "threads")},
                    }
                )
    return {"runtime": row.name, "threads": threads, "seconds": seconds, "processes": found}


def echoes(worker: Worker, scratch: Path, timeout: float) -> list[dict[str, Any]]:
    """Seconds to pass float32 arrays to a worker and back, for a small and a large one.

    The files are in the page cache: they have just been written.
    """
    import numpy as np
    from safetensors.numpy import save_file

    found = []
    for size in ECHO_BYTES:
        given, back = scratch / f"given-{size}.safetensors", scratch / f"back-{size}.safetensors"
        save_file({"x": np.arange(size // 4, dtype=np.float32)}, given)
        trips = []
        for _ in range(ECHOES):
            began = time.perf_counter()
            worker.request("echo", inputs=str(given), outputs=str(back), timeout=timeout)
            trips.append(time.perf_counter() - began)
        back.unlink()
        found.append({"bytes": size, "round_trips": trips})
    return found
