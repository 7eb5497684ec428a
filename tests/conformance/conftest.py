"""Fixtures of the conformance suite: the cases, made once and kept, and one worker per runtime."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.conformance.bench import Bench
from harness.runtimes.process import Worker
from harness.runtimes.registry import RUNTIMES, availability, ready
from harness.runtimes.row import Availability
from harness.workers import case_pack
from harness.workers.case_pack import Pack
from tests.conformance.running import Tally
from tests.conformance.schedule import MARKER, Done, Schedule

try:
    import onnx
except ImportError:
    onnx = None

HERE = Path(__file__).parent
PACKAGE = Path(case_pack.__file__).parents[1]
GENERATORS = (
    *(HERE / name for name in ("cases.py", "draft.py", "legality.py", "older_opsets.py", "pack.py")),
    Path(case_pack.__file__),
    PACKAGE / "workers" / "onnx" / "published_cases.py",
)
#: Held to whole models instead (tests/integration/test_onnx2tf.py): it converts every case anew, for seconds, and computes one in
#: sixteen of ONNX's own wrongly without saying so.
NOT_CASE_BY_CASE = ("python/onnx2tf",)
#: Their environments take a gigabyte and more: they are tested where these are made already.
LARGE = ("python/onnx2tf", "python/keras-jax")
#: Runtimes that load ONNX files; a new row of the registry is picked up by itself.
ONNX_RUNTIMES = [name for name, row in RUNTIMES.items() if "onnx" in row.reads and name not in NOT_CASE_BY_CASE]
#: From 7 to the newest of the installed onnx package; one that stands for all where there is none.
OPSETS = range(7, onnx.defs.onnx_opset_version() + 1) if onnx is not None else [7]

TALLIES = pytest.StashKey[dict[str, Tally]]()


def pytest_configure(config: pytest.Config) -> None:
    """Make room for what the closing lines say."""
    config.stash[TALLIES] = {}
    config.addinivalue_line("markers", f"{MARKER}(select, act): node cases that are run ahead, side by side")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what every runtime did with ONNX's node cases."""
    tallies = config.stash.get(TALLIES, {})
    if not tallies:
        return
    terminalreporter.section("ONNX node cases, opsets 7 to the newest")
    for runtime, tally in sorted(tallies.items()):
        counts = ", ".join(f"{tally.ended[key]} {key}" for key in sorted(tally.ended, key=ending_order))
        terminalreporter.write_line(f"{runtime}: {counts} ({tally.seconds:.0f} s)")
        for reason, count in tally.reasons.most_common():
            terminalreporter.write_line(f"    {count:5d}  {reason}")


def ending_order(key: str) -> int:
    """Passed first, failures last."""
    order = ["passed", "refused", "known deviation", "not claimed, refused by name"]
    return order.index(key) if key in order else len(order)


def generator_key() -> str:
    """Changes with the onnx package and with the code that makes the cases."""
    digest = hashlib.sha256(onnx.__version__.encode())
    for path in GENERATORS:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@pytest.fixture(scope="session")
def pack(request: pytest.FixtureRequest) -> Pack:
    """The cases, generated when the generator or the onnx package is another."""
    pytest.importorskip("onnx", reason="the node cases come from the onnx package: pip install onnx")
    from tests.conformance.pack import make_pack

    store = request.config.cache.mkdir("onnx-node-cases")
    folder = store / generator_key()
    if not folder.is_dir():
        for old in store.iterdir():
            shutil.rmtree(old, ignore_errors=True)
        beside = store / f".{os.getpid()}.part"
        beside.mkdir()
        make_pack(beside)
        beside.rename(folder)
    return Pack(folder)


@pytest.fixture(scope="session")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Bench]]:
    """Benches by runtime, one worker each, ended together."""
    made: dict[str, Bench] = {}
    yield made
    for bench in made.values():
        bench.close()


@pytest.fixture
def bench(runtime: str, benches: dict[str, Bench], tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The bench of the test's ``runtime``; skips the test where that is not installed."""
    here = state(runtime)
    if not here.installed:
        pytest.skip(f"{runtime}: {here.reason}; install it with: {here.install}")
    return bench_of(runtime, benches, tmp_path_factory)


@pytest.fixture
def worker(bench: Bench) -> Worker:
    """The running worker of the test's ``runtime``."""
    return bench.worker


def state(runtime: str) -> Availability:
    """Whether a runtime is installed; environments are made for the tests, but the large ones."""
    return availability(RUNTIMES[runtime]) if runtime in LARGE else ready(RUNTIMES[runtime])


def bench_of(runtime: str, benches: dict[str, Bench], tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The bench of one runtime, made when there is none."""
    if runtime not in benches:
        benches[runtime] = Bench(RUNTIMES[runtime], tmp_path_factory.mktemp(runtime.replace("/", "-")))
    return benches[runtime]


@pytest.fixture(scope="session")
def schedule(
    request: pytest.FixtureRequest,
    pack: Pack,
    benches: dict[str, Bench],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Schedule]:
    """The work of all selected tests of node cases, set going."""

    def installed_bench(runtime: str) -> Bench | None:
        return bench_of(runtime, benches, tmp_path_factory) if state(runtime).installed else None

    made = Schedule(request.session.items, pack, installed_bench)
    yield made
    made.end()


@pytest.fixture
def done(request: pytest.FixtureRequest, bench: Bench, schedule: Schedule) -> Done:
    """What became of the node cases of this test."""
    return schedule.result(request.node.nodeid)


@pytest.fixture(scope="session")
def tallies(request: pytest.FixtureRequest) -> dict[str, Tally]:
    """What the closing lines are made from."""
    return request.config.stash[TALLIES]
