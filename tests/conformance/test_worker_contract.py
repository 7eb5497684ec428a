"""The worker contract (docs/worker-contract.md), on every installed runtime: who answers, and the channel."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from harness.conformance.bench import Bench
from harness.errors import BadInputError, UnsupportedError, WorkerError
from harness.runtimes import julia_package
from harness.runtimes.launch import command, environment
from harness.runtimes.process import MAX_LINE, Worker
from harness.runtimes.registry import RUNTIMES, host_of
from tests.conformance import small_models
from tests.conformance.asking import LIMIT, assert_refused, every_runtime, load, onnx_runtimes, predict
from tests.conformance.conftest import state
from tests.conformance.noise import NOISE, noisy_environment


@every_runtime
def test_describe_says_who_answers(runtime: str, worker: Worker) -> None:
    said = worker.request("describe", timeout=LIMIT)
    assert said["runtime"] == runtime
    assert f"{said['language']}/{said['engine']}" == runtime
    assert said["versions"]
    assert all(isinstance(version, str) and version for version in said["versions"].values())
    assert said["threads"]
    assert set(said["threads"].values()) == {1}
    assert {"describe", "load", "parameters", "predict", "shutdown"} <= set(said["requests"])
    assert "float32" in said["precisions"]
    assert set(said["precisions"]) <= {"float32", "float64"}
    for name, versions in (said.get("operators") or {}).items():
        # Operators of other domains than ONNX's own are named with their domain.
        assert name.rpartition(".")[2][0].isupper()
        assert versions
        assert all(isinstance(version, int) for version in versions)


@every_runtime
def test_a_runtime_that_serves_as_oracle_computes_in_double_precision(runtime: str, worker: Worker) -> None:
    if RUNTIMES[runtime].oracle:
        assert "float64" in worker.request("describe", timeout=LIMIT)["precisions"]


@every_runtime
@pytest.mark.parametrize(
    "line",
    [b"{not json\n", b"\n", b"[1, 2]\n", b"3\n", b"null\n", b'{"id": 1, "request"\n', b"\xff\xfe\x00\n", b"{}\n"],
    ids=["not-json", "empty", "array", "number", "null", "cut", "bytes", "no-request"],
)
def test_a_line_that_is_no_request_is_bad_input(runtime: str, worker: Worker, line: bytes) -> None:
    with pytest.raises(WorkerError) as error:
        worker.exchange(line, None, "a malformed line", timeout=LIMIT)
    assert_refused(worker, error, BadInputError)


@every_runtime
def test_an_over_long_line_is_bad_input(runtime: str, worker: Worker) -> None:
    line = json.dumps({"id": 1, "request": "describe", "padding": "x" * (MAX_LINE + 10)}).encode() + b"\n"
    with pytest.raises(WorkerError) as error:
        worker.exchange(line, None, "an over-long line", timeout=LIMIT)
    assert_refused(worker, error, BadInputError)


@every_runtime
def test_an_unknown_request_is_refused_by_name(runtime: str, worker: Worker) -> None:
    with pytest.raises(WorkerError) as error:
        worker.request("make-coffee", timeout=LIMIT)
    assert_refused(worker, error, UnsupportedError)
    assert "make-coffee" in error.value.what


@every_runtime
def test_a_request_without_its_arguments_is_bad_input(runtime: str, worker: Worker) -> None:
    with pytest.raises(WorkerError) as error:
        worker.request("load", timeout=LIMIT)
    assert_refused(worker, error, BadInputError)


def spawn(runtime: str) -> tuple[subprocess.Popen[bytes], int, int]:
    """A worker process with bare pipes: the process, the end to write requests to, the end to read answers from."""
    here = state(runtime)
    if not here.installed:
        pytest.skip(f"{runtime}: {here.reason}; install it with: {here.install}")
    read_request, write_request = os.pipe()
    read_answer, write_answer = os.pipe()
    variables = environment(RUNTIMES[runtime], 1)
    variables |= {"HARNESS_REQUESTS_FD": str(read_request), "HARNESS_ANSWERS_FD": str(write_answer)}
    process = subprocess.Popen(
        command(RUNTIMES[runtime]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(read_request, write_answer),
        env=variables,
        start_new_session=True,
    )
    os.close(read_request)
    os.close(write_answer)
    return process, write_request, read_answer


@every_runtime
def test_the_end_of_the_requests_ends_the_process(runtime: str) -> None:
    process, requests, answers = spawn(runtime)
    try:
        os.write(requests, b'{"id": 1, "request": "describe"}\n')
        with os.fdopen(answers, "rb") as lines:
            assert json.loads(lines.readline())["ok"] is True
            os.close(requests)
            assert process.wait(timeout=120) == 0
            assert lines.read() == b""
    finally:
        process.kill()
        process.wait()


@every_runtime
def test_shutdown_is_answered_and_ends_the_process(runtime: str) -> None:
    process, requests, answers = spawn(runtime)
    try:
        os.write(requests, b'{"id": 7, "request": "shutdown"}\n')
        with os.fdopen(answers, "rb") as lines:
            assert json.loads(lines.readline()) == {"id": 7, "ok": True, "result": {}}
            assert process.wait(timeout=120) == 0
    finally:
        process.kill()
        process.wait()
        os.close(requests)


@onnx_runtimes
def test_what_libraries_print_does_not_reach_the_channel(
    runtime: str, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = RUNTIMES[runtime]
    # juliacall reads what its Julia prints at the start: there it is Python's own half that prints.
    language = "python" if host_of(row) == "juliacall" else row.language
    if language == "julia":
        # The noisy program is another Julia to the harness, for which all would be compiled anew.
        environment(row, 1)
        compiled = julia_package._copied()
        monkeypatch.setattr(julia_package, "_copied", lambda: compiled)
    for name, value in noisy_environment(language, tmp_path).items():
        monkeypatch.setenv(name, value)
    model = small_models.affine(tmp_path / "model.onnx")
    x = np.ones((4000, 3), np.float32)
    with Worker.start(row, tmp_path / "noisy.log") as noisy:
        for _ in range(5):
            load(noisy, model)
            outputs, _ = predict(noisy, tmp_path, {"x": x})
    assert np.array_equal(outputs["y"], np.tile(np.array([6.5, 8.75], np.float32), (4000, 1)))
    assert NOISE in (tmp_path / "noisy.log").read_text(encoding="utf-8", errors="replace")
