"""The sizes of PyTorch's thread pools in a worker."""

from __future__ import annotations

import torch

from harness.workers.engine import thread_count


def pin() -> None:
    """Set both pools to the worker's number of threads."""
    torch.set_num_threads(thread_count())
    # The size of this pool can be set once per process.
    if torch.get_num_interop_threads() != thread_count():
        torch.set_num_interop_threads(thread_count())


def sizes() -> dict[str, int]:
    """Threads by pool."""
    return {
        "torch intra-op": torch.get_num_threads(),
        "torch inter-op": torch.get_num_interop_threads(),
    }
