"""The sizes of TensorFlow's thread pools in a worker."""

from __future__ import annotations

import tensorflow

from harness.workers.engine import thread_count

_POOLS = tensorflow.config.threading


def pin() -> None:
    """Set both pools to the worker's number of threads."""
    # Once TensorFlow has computed, setting a size is an error, even to its present value.
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
