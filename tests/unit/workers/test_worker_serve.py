from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.runtimes.registry import RUNTIMES
from harness.runtimes.routes import ROUTES
from harness.workers.serve import MAX_LINE, Server, main

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("line", "identity", "kind", "message"),
    [
        ("{", None, "bad-input", "not a line of JSON"),
        (b"\xff\xfe", None, "bad-input", "not a line of JSON"),
        ("[1]", None, "bad-input", "JSON object"),
        ('{"id": 1}', None, "bad-input", "'id' and 'request'"),
        ('{"request": "describe"}', None, "bad-input", "an integer"),
        ('{"id": 1, "request": "predict", "batch_size": NaN}', None, "bad-input", "NaN is not a finite number"),
        (b"x" * (MAX_LINE + 1), None, "bad-input", "at most 1048576 bytes"),
        ('{"id": 1, "request": "fly"}', 1, "unsupported", "request 'fly' is not supported by python/onnx-reference"),
        ('{"id": 1, "request": "load"}', 1, "bad-input", "'path'"),
        ('{"id": 1, "request": "load", "path": "/x", "colour": 1}', 1, "bad-input", "'colour'"),
        ('{"id": 1, "request": "load", "path": 3}', 1, "bad-input", "a path must be a string, not 3"),
        ('{"id": 1, "request": "load", "path": "/nowhere.onnx"}', 1, "bad-input", "/nowhere.onnx: no such file"),
        ('{"id": 1, "request": "load", "path": "/tmp"}', 1, "bad-input", "is a folder"),
        ('{"id": 1, "request": "predict", "inputs": "/x", "outputs": "/y"}', 1, "bad-input", "no model is loaded"),
    ],
)
def test_bad_lines_are_answered_in_one_line(line: str | bytes, identity: int | None, kind: str, message: str) -> None:
    answer = json.loads(Server("python/onnx-reference", RUNTIMES["python/onnx-reference"].worker).handle(line))
    assert (answer["id"], answer["ok"], answer["error"]["kind"]) == (identity, False, kind)
    assert message in answer["error"]["message"]


def test_a_worker_module_that_does_not_exist_is_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    answer = json.loads(Server("python/tea", "harness.workers.tea").handle('{"id": 1, "request": "describe"}'))
    assert "harness.workers.tea" in answer["error"]["message"]
    assert main(["python/tea"]) == 2
    assert "RUNTIME MODULE" in capsys.readouterr().err


class Process:
    """The serve loop as a process of its own, as the harness starts it."""

    def __init__(self, runtime: str, log: Path, command: list[str] | None = None, **variables: str) -> None:
        self.log = log
        request_end, requests = os.pipe()
        answers, answer_end = os.pipe()
        self.process = subprocess.Popen(
            command or [sys.executable, "-m", "harness.workers.serve", runtime, RUNTIMES[runtime].worker],
            pass_fds=(request_end, answer_end),
            env={
                **os.environ,
                **variables,
                "HARNESS_REQUESTS_FD": str(request_end),
                "HARNESS_ANSWERS_FD": str(answer_end),
            },
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log.open("wb"),
            stderr=subprocess.STDOUT,
        )
        os.close(request_end)
        os.close(answer_end)
        self.requests = os.fdopen(requests, "wb", buffering=0)
        self.answers = os.fdopen(answers, "rb")

    def ask(self, line: bytes) -> dict[str, object]:
        self.requests.write(line + b"\n")
        answer: dict[str, object] = json.loads(self.answers.readline())
        return answer


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    started = Process("python/onnx-reference", tmp_path / "log")
    yield started
    started.process.kill()
    started.process.wait()


def test_lines_that_are_too_long_or_broken_leave_the_channel_in_order(process: Process) -> None:
    # Written in pieces by a thread of its own kind: a pipe holds less than the line.
    answer = process.ask(b"y" * (MAX_LINE + 100))
    assert answer["id"] is None
    assert process.ask(b"nonsense")["id"] is None
    assert process.ask(b'{"id": 2, "request": "describe"}')["ok"] is True


def test_it_outlives_ctrl_c_and_ends_at_end_of_file(process: Process) -> None:
    assert process.ask(b'{"id": 1, "request": "describe"}')["ok"] is True
    process.process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    assert process.ask(b'{"id": 2, "request": "describe"}')["ok"] is True
    process.requests.close()
    assert process.process.wait(timeout=120) == 0


def test_shutdown_ends_it(process: Process) -> None:
    assert process.ask(b'{"id": 9, "request": "shutdown"}') == {"id": 9, "ok": True, "result": {}}
    assert process.process.wait(timeout=120) == 0


def test_the_log_has_the_traceback(process: Process) -> None:
    process.ask(b'{"id": 1, "request": "load", "path": "/nowhere.onnx"}')
    assert "Traceback" in process.log.read_text()


def test_what_is_printed_goes_to_the_log(tmp_path: Path) -> None:
    code = (
        "import sys, harness.workers.serve as serve, harness.workers.onnx.reference as engine\n"
        "class Loud(engine.OnnxReference):\n"
        "    def versions(self):\n"
        "        print('noise'); import os; os.system('echo child noise'); os.write(1, b'raw noise\\n')\n"
        "        return super().versions()\n"
        "engine.ENGINE = Loud\n"
        "serve.main(['python/onnx-reference', 'harness.workers.onnx.reference'])\n"
    )
    read, write = os.pipe()
    answers, answer_end = os.pipe()
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            pass_fds=(read, answer_end),
            env={**os.environ, "HARNESS_REQUESTS_FD": str(read), "HARNESS_ANSWERS_FD": str(answer_end)},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    os.close(read)
    os.close(answer_end)
    os.write(write, b'{"id": 1, "request": "describe"}\n')
    os.close(write)
    with os.fdopen(answers, "rb") as stream:
        lines = stream.read().splitlines()
    process.wait(timeout=120)
    assert [json.loads(line)["id"] for line in lines] == [1]
    text = log.read_text()
    assert "\nnoise" in f"\n{text}"
    assert "child noise" in text
    assert "raw noise" in text


#: Engines of the harness's own Python; others run in an environment of their own alone.
HERE = [name for name, row in RUNTIMES.items() if row.worker and row.environment is None]

#: Serves one request as a worker does, then writes what was imported for it and which routes its engine implements.
SERVED = """
import importlib, json, sys
from pathlib import Path
import harness.workers.serve as serve
runtime, module, out = sys.argv[1:]
serve.serve_pipes(lambda emit: serve.Server(runtime, module, emit))
imported = sorted({"torch", "onnxruntime", "tensorflow"} & set(sys.modules))
routes = getattr(importlib.import_module(module).ENGINE, "routes", None)
options = ["opset", *(["fold"] if routes and routes.keeps_batch_normalisation else [])]
own = {name: [] for name in routes.own} if routes else {}
implemented = {name: options for name in routes.by_name} | own if routes else {}
Path(out).write_text(json.dumps([imported, implemented]))
"""


@pytest.mark.parametrize("runtime", HERE)
def test_a_worker_imports_one_framework_pins_every_pool_and_implements_the_routes_that_convert_it(
    runtime: str, tmp_path: Path
) -> None:
    row = RUNTIMES[runtime]
    out = tmp_path / "out.json"
    command = [sys.executable, "-c", SERVED, runtime, row.worker, str(out)]
    process = Process(runtime, tmp_path / "log", command, HARNESS_THREADS="2", OMP_NUM_THREADS="2")
    try:
        answer = process.ask(b'{"id": 1, "request": "describe"}')
        process.requests.close()
        assert process.process.wait(timeout=120) == 0, process.log.read_text()
    finally:
        process.process.kill()
        process.process.wait()
    assert answer["ok"] is True
    imported, implemented = json.loads(out.read_text())
    own = {
        **{"pytorch": "torch", "keras-torch": "torch", "onnx2torch": "torch"},
        **{"keras-tensorflow": "tensorflow", "tensorflow": "tensorflow", "onnxruntime": "onnxruntime"},
    }
    engine = runtime.removeprefix("python/")
    assert imported == ([own[engine]] if engine in own else [])
    # Every row of the table of routes has a function in the worker of each framework that it converts, and no other.
    framework = None if row.framework is None else row.framework.name
    fitting = [route for route in ROUTES.values() if framework and route.converts and route.fits(framework)]
    assert implemented == {route.name: list(route.options) for route in fitting}
    threads = answer["result"]["threads"]  # type: ignore[index]
    assert threads["OMP_NUM_THREADS"] == 2
    pools = {name: count for name, count in threads.items() if name.startswith(("torch", "tensorflow", "onnxruntime"))}
    assert set(pools.values()) <= {2}
    assert bool(pools) == (runtime != "python/onnx-reference")
