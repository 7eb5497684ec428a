"""The packages of ``native/r`` and ``native/julia`` are twins: what one of them can do, the other can."""

from __future__ import annotations

import pytest

from harness.runtimes.registry import RUNTIMES, ready
from tests.conformance.conftest import bench_of
from tests.conformance.running import Bench


def test_both_have_the_same_operator_table(benches: dict[str, Bench], tmp_path_factory: pytest.TempPathFactory) -> None:
    tables = []
    for runtime in ("r/base", "julia/base"):
        here = ready(RUNTIMES[runtime])
        if not here.installed:
            pytest.skip(f"{runtime}: {here.reason}; install it with: {here.install}")
        tables.append(bench_of(runtime, benches, tmp_path_factory).operators)
    in_r, in_julia = tables
    assert in_r
    assert in_r == in_julia
