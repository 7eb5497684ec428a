"""TensorFlow's thread pools in a worker: their size, pinned once and told."""

from __future__ import annotations

import tensorflow

from harness.workers.engine import thread_count

_POOLS = tensorflow.config.threading


def pin() -> None:
    """Size both pools as the worker was told to."""
    # TensorFlow lets neither be sized again once it has computed, not even to what it is.
    if _POOLS.get_intra_op_parallelism_threads() != thread_count():
        _POOLS.set_intra_op_parallelism_threads(thread_count())
    if _POOLS.get_inter_op_parallelism_threads() != thread_count():
        _POOLS.set_inter_op_parallelism_threads(thread_count())


def sizes() -> dict[str, int]:
    """Threads by pool."""
    return {
        "tensorflow intra-op": _POOLS.get_intra_op_parallelism_threads(),
        "tensorflow inter-op": _POOLS.get_inter_op_parallelism_threads(),
    }
