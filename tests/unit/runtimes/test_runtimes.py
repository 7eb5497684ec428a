"""Workers that misbehave, as real processes, and what the registry says of runtimes."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from harness.errors import BadInputError, ScenarioError, UnavailableError, UnsupportedError, WorkerError
from harness.runtimes import process, registry
from harness.runtimes.pool import Workers
from harness.runtimes.process import Worker
from harness.runtimes.registry import RUNTIMES, availability, runtime
from harness.runtimes.row import Runtime

ROW = Runtime("python/test", host="python", packages=("numpy",), reads=("onnx",), install="nothing")

PRELUDE = """
import json, os, signal, subprocess, sys, time
requests = os.fdopen(int(os.environ["HARNESS_REQUESTS_FD"]), "rb")
answers = os.fdopen(int(os.environ["HARNESS_ANSWERS_FD"]), "wb", buffering=0)
def answer(**content):
    answers.write((json.dumps(content) + "\\n").encode())
for line in requests:
    request = json.loads(line)
    i = request["id"]
    if request["request"] == "shutdown":
        break
"""

Start = Callable[[str], Worker]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    started = []

    def starter(body: str) -> Worker:
        code = PRELUDE + textwrap.indent(textwrap.dedent(body), "    ")
        monkeypatch.setattr(process, "command", lambda row: [sys.executable, "-c", code])
        worker = Worker.start(ROW, tmp_path / "log")
        started.append(worker)
        return worker

    yield starter  # type: ignore[misc]
    for worker in started:
        worker.close()


def test_an_answer_and_its_progress(start: Start) -> None:
    worker = start("answer(id=i, progress={'done': 1}); answer(id=i, ok=True, result={'echo': request['x']})")
    seen: list[dict[str, object]] = []
    assert worker.request("echo", x="ä", progress=seen.append) == {"echo": "ä"}
    assert seen == [{"done": 1}]
    assert worker.alive


@pytest.mark.parametrize(
    ("kind", "error"), [("unsupported", UnsupportedError), ("bad-input", BadInputError), ("failed", WorkerError)]
)
def test_a_refusal_has_its_kind_and_leaves_the_worker_in_order(
    start: Start, kind: str, error: type[WorkerError]
) -> None:
    worker = start(
        f"answer(id=i, ok=False, error={{'kind': '{kind}', 'message': 'no'}}) if i == 1 else "
        "answer(id=i, ok=True, result={})"
    )
    with pytest.raises(error, match="python/test: no") as caught:
        worker.request("load")
    assert type(caught.value) is error
    assert worker.request("load") == {}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("answers.write(b'not json\\n')", "not a JSON object"),
        ("answers.write(b'[1]\\n')", "not a JSON object"),
        ("answers.write(b'x' * (1 << 21))", "a line of over"),
        ("answer(id=i + 1, ok=True, result={})", "answered request 2"),
        ("answer(id=i)", "neither a result nor an error"),
        ("answer(id=i, ok=True, result=3)", "neither a result nor an error"),
        ("answer(id=i, ok='true', result={})", "neither a result nor an error"),
        ("print('last words', flush=True); sys.exit(7)", "ended with exit code 7"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "ended by SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", r"ended by SIGKILL \(out of memory\?\)"),
        ("answers.close(); time.sleep(60)", "closed its channel"),
        ("time.sleep(60)", "hung: no answer to 'load'"),
    ],
)
def test_a_broken_worker_is_one_error_and_then_gone(start: Start, body: str, words: str) -> None:
    worker = start(body)
    with pytest.raises(WorkerError, match=words) as caught:
        # Only one that hangs may end by its limit, however busy the machine is.
        worker.request("load", timeout=2.0 if words.startswith("hung") else 120.0)
    assert "\n" not in caught.value.line()
    assert not worker.alive
    with pytest.raises(WorkerError, match="closed"):
        worker.request("load")


def test_a_worker_past_its_memory_is_ended_and_says_so_while_one_within_it_goes_on(start: Start) -> None:
    body = "held = b'x' * (400 if i == 2 else 1) * 1_000_000; time.sleep(0.5); answer(id=i, ok=True, result={})"
    worker = start(body)
    worker.memory_limit = 0.3e9
    assert worker.request("load") == {}
    with pytest.raises(WorkerError) as caught:
        worker.request("export")
    assert caught.value.what.endswith(
        "while it was asked 'export', past its limit of 0.3 GB (limits.memory_gb); the worker was ended"
    )
    assert not worker.alive


def test_memory_is_that_of_all_the_processes_of_a_worker(start: Start) -> None:
    child = "import time; held = b'x' * 400_000_000; time.sleep(60)"
    worker = start(f"subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)")
    worker.memory_limit = 0.3e9
    with pytest.raises(WorkerError, match=r"limits\.memory_gb"):
        worker.request("export", timeout=120.0)


def test_the_log_tail_comes_with_the_error(start: Start) -> None:
    worker = start("print('last words', flush=True); sys.exit(7)")
    with pytest.raises(WorkerError) as caught:
        worker.request("load")
    assert caught.value.log_tail[-1] == "last words"


def test_what_libraries_print_does_not_reach_the_channel(start: Start) -> None:
    worker = start("print('{\"id\": 1}' * 1000, flush=True); os.system('echo noise'); answer(id=i, ok=True, result={})")
    assert worker.request("load") == {}


def test_a_worker_that_does_not_read_is_given_up(start: Start) -> None:
    worker = start("time.sleep(60)")
    with pytest.raises(WorkerError, match=r"does not read|hung"):
        worker.request("load", padding="x" * 500_000, timeout=2.0)


def test_one_that_ignores_everything_is_killed_with_its_children(start: Start, tmp_path: Path) -> None:
    worker = start(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '300'])\n"
        "answer(id=i, ok=True, result={'child': child.pid})\n"
        "time.sleep(300)"
    )
    child = worker.request("load")["child"]
    worker.close()
    assert not worker.alive
    deadline = time.monotonic() + 120
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_workers_do_not_see_ctrl_c(start: Start) -> None:
    worker = start("answer(id=i, ok=True, result={'session': os.getsid(0)})")
    assert worker.request("load")["session"] == worker.pid
    assert os.getsid(0) != worker.pid


def test_an_interruption_leaves_no_answer_under_way(start: Start) -> None:
    def interrupt(progress: dict[str, object]) -> None:
        raise KeyboardInterrupt

    worker = start("answer(id=i, progress={}); answer(id=i, ok=True, result={})")
    with pytest.raises(KeyboardInterrupt):
        worker.request("load", progress=interrupt)
    assert not worker.alive


def test_pipes_are_not_inherited_by_a_second_worker(start: Start) -> None:
    body = """
    links = [f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd")]
    answer(id=i, ok=True, result={"pipes": [os.readlink(link) for link in links if os.path.exists(link)]})
    """
    first, second = start(body), start(body)
    pipes = [
        {name for name in worker.request("load")["pipes"] if name.startswith("pipe:")} for worker in (first, second)
    ]
    assert len(pipes[0]) == len(pipes[1]) == 2
    assert not pipes[0] & pipes[1]


def test_a_missing_package_is_unavailable_with_its_remedy(tmp_path: Path) -> None:
    row = Runtime("python/x", host="python", packages=("no-such-package",), reads=("onnx",), install="pip install it")
    assert not availability(row).installed
    with pytest.raises(UnavailableError, match="no-such-package not installed; install it with: pip install it"):
        Worker.start(row, tmp_path / "log")


def test_r_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = availability(RUNTIMES["r/base"])
    assert not found.installed
    assert "Rscript is not on the path" in found.reason
    assert "apt-get install" in found.install


def test_names_are_suggested() -> None:
    with pytest.raises(ScenarioError, match="did you mean 'r/base'"):
        runtime("r/bas")
    with pytest.raises(ScenarioError, match="choose one of"):
        runtime("fortran/ifort")


def test_rows_are_consistent() -> None:
    for name, row in RUNTIMES.items():
        assert name == row.name == f"{row.language}/{row.engine}"
        assert row.install
        assert row.reads
    assert registry.framework_runtime("pytorch").name == "python/pytorch"


def test_a_worker_started_ahead_is_the_one_that_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = PRELUDE + "    answer(id=i, ok=True, result={'pid': os.getpid()})"
    monkeypatch.setattr(process, "command", lambda row: [sys.executable, "-c", code])
    workers = Workers(tmp_path, 1)
    workers.start_ahead(["python/onnxruntime", "python/onnx-reference"])
    (asked, left) = (worker.pid for worker in workers._started_ahead.values())

    assert workers.request("python/onnxruntime", "echo", timeout=20)["pid"] == asked
    assert workers.record()["python/onnxruntime"]["starts"] == 1
    assert "python/onnx-reference" not in workers.record()
    workers.close()
    assert not psutil.pid_exists(asked)
    assert not psutil.pid_exists(left)


def test_a_worker_that_cannot_be_started_ahead_says_so_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "command", lambda row: [str(tmp_path / "nothing")])
    workers = Workers(tmp_path, 1)
    workers.start_ahead(["python/onnxruntime"])
    with pytest.raises(WorkerError, match="cannot be started"):
        workers.request("python/onnxruntime", "echo", timeout=20)
