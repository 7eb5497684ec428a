"""PyTorch's thread pools in a worker: their size, pinned once and told."""

from __future__ import annotations

import torch

from harness.workers.engine import thread_count


def pin() -> None:
    """Size both pools as the worker was told to."""
    torch.set_num_threads(thread_count())
    # PyTorch lets this pool be sized once per process.
    if torch.get_num_interop_threads() != thread_count():
        torch.set_num_interop_threads(thread_count())


def sizes() -> dict[str, int]:
    """Threads by pool."""
    return {
        "torch intra-op": torch.get_num_threads(),
        "torch inter-op": torch.get_num_interop_threads(),
    }
