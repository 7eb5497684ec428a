"""Runs the node cases of all runtimes side by side: one worker and one thread each, in the order of the tests.

The tests of :mod:`tests.conformance.test_node_cases` only judge; what they judge is made here. The first of them sets
the work of all that were selected going, so that a suite of several runtimes takes as long as the slowest alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from harness.conformance.bench import Bench, Ending

if TYPE_CHECKING:
    from harness.workers.case_pack import Pack

#: Picks from all records those that a test is about, given the operator table of the runtime and the test's opset.
Select = Callable[[list[dict[str, Any]], dict[str, list[int]] | None, int | None], list[dict[str, Any]]]
#: What is done with each.
Act = Callable[[Bench, "Pack", dict[str, Any]], Ending]

MARKER = "node_cases"


@dataclass(frozen=True)
class Done:
    """The endings of one test's cases, and how long they took in seconds."""

    endings: list[tuple[dict[str, Any], Ending]]
    seconds: float


class Schedule:
    """The work of the selected tests, one queue per runtime."""

    def __init__(
        self,
        items: Iterable[pytest.Item],
        pack: Pack,
        bench_of: Callable[[str], Bench | None],
    ) -> None:
        self._pack = pack
        self._queues: dict[str, ThreadPoolExecutor] = {}
        self._futures: dict[str, Future[Done]] = {}
        self._ended = False
        for item in items:
            marker = item.get_closest_marker(MARKER)
            if marker is None:
                continue
            parameters = item.callspec.params  # type: ignore[attr-defined]
            runtime: str = parameters["runtime"]
            bench = bench_of(runtime)
            if bench is None:
                continue
            queue = self._queues.setdefault(runtime, ThreadPoolExecutor(1, thread_name_prefix=runtime))
            self._futures[item.nodeid] = queue.submit(
                self._work, bench, marker.kwargs["select"], marker.kwargs["act"], parameters.get("opset")
            )

    def _work(self, bench: Bench, select: Select, act: Act, opset: int | None) -> Done:
        started = time.monotonic()
        endings = []
        for record in select(self._pack.records, bench.operators, opset):
            if self._ended:
                break
            endings.append((record, act(bench, self._pack, record)))
        return Done(endings, time.monotonic() - started)

    def result(self, nodeid: str) -> Done:
        """Wait for the work of one test; raises what its worker raised."""
        return self._futures[nodeid].result()

    def end(self) -> None:
        """Stop what is still going, at the next case."""
        self._ended = True
        for queue in self._queues.values():
            queue.shutdown(wait=True, cancel_futures=True)
