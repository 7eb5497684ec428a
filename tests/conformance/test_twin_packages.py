"""The packages of ``native/r`` and ``native/julia`` are twins: what one of them can do, the other can, in every engine."""

from __future__ import annotations

import pytest

from harness.conformance.bench import Bench
from harness.runtimes.registry import RUNTIMES, ready
from tests.conformance.conftest import bench_of

#: What Julia does not have yet: the operators that onnxruntime's optimiser writes. Goes when both have them.
AWAITED = "com.microsoft."


@pytest.mark.parametrize("runtime", ["julia/base", "r/torch", pytest.param("julia/flux", marks=pytest.mark.slow)])
def test_all_have_the_operator_table_of_plain_r(
    runtime: str, benches: dict[str, Bench], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tables = []
    for name in ("r/base", runtime):
        here = ready(RUNTIMES[name])
        if not here.installed:
            pytest.skip(f"{name}: {here.reason}; install it with: {here.install}")
        tables.append(bench_of(name, benches, tmp_path_factory).operators)
    plain, other = tables
    assert plain
    if runtime.startswith("julia/"):
        assert not any(name.startswith(AWAITED) for name in other)
        plain = {name: since for name, since in plain.items() if not name.startswith(AWAITED)}
    assert plain == other
