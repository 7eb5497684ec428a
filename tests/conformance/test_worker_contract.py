"""The worker contract (docs/worker-contract.md), on every installed runtime."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import BadInputError, UnsupportedError, WorkerError
from harness.runtimes.environments import command, environment
from harness.runtimes.process import MAX_LINE, Worker
from harness.runtimes.registry import RUNTIMES, host_of
from harness.workers.tensors import read_tensors, write_tensors
from tests.conformance import small_models
from tests.conformance.conftest import ONNX_RUNTIMES, state
from tests.conformance.noise import NOISE, noisy_environment
from tests.conformance.running import Bench

LIMIT = 120.0

every_runtime = pytest.mark.parametrize("runtime", list(RUNTIMES))
onnx_runtimes = pytest.mark.parametrize("runtime", ONNX_RUNTIMES)


@pytest.fixture
def worker(bench: Bench) -> Worker:
    """The running worker of the test's runtime."""
    return bench.worker


def predict(
    worker: Worker, folder: Path, inputs: dict[str, Any], batch_size: int | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Send arrays to the loaded model. Returns its outputs and the answer."""
    given, results = folder / "inputs.safetensors", folder / "outputs.safetensors"
    write_tensors(given, inputs)
    results.unlink(missing_ok=True)
    answer = worker.request("predict", inputs=str(given), outputs=str(results), batch_size=batch_size, timeout=LIMIT)
    return read_tensors(results), answer


def load(worker: Worker, path: Path, precision: str = "float32") -> dict[str, Any]:
    """Load a model file."""
    return worker.request("load", path=str(path), precision=precision, timeout=LIMIT)


def assert_refused(worker: Worker, error: pytest.ExceptionInfo[WorkerError], kind: type[WorkerError]) -> None:
    """The error is of one kind, says something on one line, and left the same process in order."""
    assert type(error.value) is kind
    assert error.value.what.strip()
    assert "\n" not in error.value.what
    assert worker.alive
    assert worker.request("describe", timeout=LIMIT)["runtime"] == worker.runtime.name


# ------------------------------------------------------------------------------------------------- description


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
        assert name[0].isupper()
        assert versions
        assert all(isinstance(version, int) for version in versions)


@every_runtime
def test_a_runtime_that_serves_as_oracle_computes_in_double_precision(runtime: str, worker: Worker) -> None:
    if RUNTIMES[runtime].oracle:
        assert "float64" in worker.request("describe", timeout=LIMIT)["precisions"]


# ----------------------------------------------------------------------------------------------------- channel


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
            assert process.wait(timeout=20) == 0
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
            assert process.wait(timeout=20) == 0
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


# --------------------------------------------------------------------------------------------------- bad files


@every_runtime
@pytest.mark.parametrize("made", [lambda p: p / "absent.onnx", lambda p: p], ids=["missing", "folder"])
def test_loading_what_is_no_file_is_bad_input(
    runtime: str, worker: Worker, made: Callable[[Path], Path], tmp_path: Path
) -> None:
    with pytest.raises(WorkerError) as error:
        load(worker, made(tmp_path))
    assert_refused(worker, error, BadInputError)
    assert made(tmp_path).name in error.value.what


@onnx_runtimes
def test_a_truncated_model_is_bad_input(runtime: str, worker: Worker, tmp_path: Path) -> None:
    whole = small_models.affine(tmp_path / "whole.onnx").read_bytes()
    for cut in (0, 1, 7, len(whole) // 3, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        path = tmp_path / f"cut-{cut}.onnx"
        path.write_bytes(whole[:cut])
        with pytest.raises(WorkerError) as error:
            load(worker, path)
        assert_refused(worker, error, BadInputError)


@onnx_runtimes
def test_a_file_of_something_else_is_bad_input(runtime: str, worker: Worker, tmp_path: Path) -> None:
    noise = np.random.default_rng(3).bytes(5000)
    for name, content in {"text.onnx": b"import torch\n" * 50, "noise.onnx": noise, "nought.onnx": bytes(500)}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WorkerError) as error:
            load(worker, tmp_path / name)
        assert_refused(worker, error, BadInputError)


@onnx_runtimes
def test_an_operator_nobody_knows_is_refused_by_name_at_load(runtime: str, worker: Worker, tmp_path: Path) -> None:
    path = small_models.write_model(
        tmp_path / "model.onnx",
        [("Frobnicate", ["x"], ["y"], {})],
        {"x": (np.float32, [2])},
        {"y": (np.float32, [2])},
    )
    with pytest.raises(WorkerError) as error:
        load(worker, path)
    assert_refused(worker, error, UnsupportedError)
    assert "Frobnicate" in error.value.what


# ------------------------------------------------------------------------------------------------------- loading


@onnx_runtimes
def test_load_says_what_the_model_takes_gives_and_carries(runtime: str, worker: Worker, tmp_path: Path) -> None:
    metadata = {"harness.model": "affine", "harness.classes": '["Mais", "Rüben"]'}
    said = load(worker, small_models.affine(tmp_path / "model.onnx", metadata))
    (given,), (result,) = said["inputs"], said["outputs"]
    assert (given["name"], given["dtype"], given["shape"][1]) == ("x", "float32", 3)
    assert (result["name"], result["dtype"], result["shape"][1]) == ("y", "float32", 2)
    assert given["shape"][0] in ("batch", None)
    assert said["metadata"] == metadata
    assert said["seconds"] >= 0


@onnx_runtimes
def test_parameters_come_back_bit_for_bit(runtime: str, worker: Worker, tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    for build in (small_models.hard_bits, small_models.transposition, small_models.affine):
        path = build(tmp_path / "model.onnx")
        load(worker, path)
        answer = worker.request("parameters", outputs=str(tmp_path / "parameters.safetensors"), timeout=LIMIT)
        held = read_tensors(tmp_path / "parameters.safetensors")
        stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
        assert answer["count"] == len(stored)
        assert {n: (a.dtype, a.shape, a.tobytes()) for n, a in held.items()} == {
            n: (a.dtype, a.shape, a.tobytes()) for n, a in stored.items()
        }


@onnx_runtimes
@pytest.mark.parametrize("build", [small_models.weights_in_branches, small_models.constants_in_branches])
def test_parameters_of_graphs_inside_of_nodes_are_held_too(
    runtime: str, worker: Worker, build: Callable[[Path], Path], tmp_path: Path
) -> None:
    import onnx
    from onnx import numpy_helper

    path = build(tmp_path / "model.onnx")
    try:
        load(worker, path)
    except UnsupportedError as error:
        pytest.skip(f"{runtime} refuses If by name: {error.what}")
    worker.request("parameters", outputs=str(tmp_path / "parameters.safetensors"), timeout=LIMIT)
    held = read_tensors(tmp_path / "parameters.safetensors")
    # By the names of the attributes, else_branch comes first; the second of equal names is told apart.
    graph_of = {attribute.name: attribute.g for attribute in onnx.load(path).graph.node[0].attribute}
    for name, attribute in (("w", "else_branch"), ("w#2", "then_branch")):
        graph = graph_of[attribute]
        stored = graph.initializer[0] if graph.initializer else graph.node[0].attribute[0].t
        assert held[name].tobytes() == numpy_helper.to_array(stored).tobytes()
    assert len(held) == 2
    x = np.array([1, -2, 3, -4, 5, -6], np.float32)
    found, _ = predict(worker, tmp_path, {"c": np.array(False), "x": x})
    assert np.array_equal(found["y"], x * np.arange(6, dtype=np.float32))


@onnx_runtimes
def test_weights_in_constant_nodes_are_told_like_initializers(runtime: str, worker: Worker, tmp_path: Path) -> None:
    load(worker, small_models.weights_in_constants(tmp_path / "model.onnx"))
    answer = worker.request("parameters", outputs=str(tmp_path / "parameters.safetensors"), timeout=LIMIT)
    held = read_tensors(tmp_path / "parameters.safetensors")
    # A number without an axis is no weight, nor is a shape.
    assert (answer["count"], list(held)) == (1, ["w"])
    assert held["w"].dtype == np.float32
    assert held["w"].tobytes() == small_models.HARD_BITS.tobytes()


@onnx_runtimes
def test_structure_tells_nodes_and_hashes_of_the_file(runtime: str, worker: Worker, tmp_path: Path) -> None:
    path = small_models.hard_bits(tmp_path / "model.onnx")
    worker.request("structure", path=str(path), outputs=str(tmp_path / "structure.json"), timeout=LIMIT)
    graph = json.loads((tmp_path / "structure.json").read_text(encoding="utf-8"))
    assert (graph["format"], graph["ir_version"], graph["opsets"]) == ("onnx", 8, {"": 17})
    assert graph["bytes"] == path.stat().st_size
    assert [(node["name"], node["operator"], node["inputs"], node["outputs"]) for node in graph["nodes"]] == [
        ("add_0", "Add", ["x", "w"], ["y"]),
        ("cast_1", "Cast", ["half"], ["wide_half"]),
        ("add_2", "Add", ["wide_half", "double"], ["z"]),
    ]
    assert graph["nodes"][1]["attributes"] == {"to": 11}
    weight = next(tensor for tensor in graph["initializers"] if tensor["name"] == "w")
    assert (weight["dtype"], weight["shape"]) == ("float32", [6])
    assert weight["sha256"] == hashlib.sha256(small_models.HARD_BITS.tobytes()).hexdigest()


# ---------------------------------------------------------------------------------------------------- predicting


@onnx_runtimes
def test_wrong_inputs_are_bad_input_and_the_model_stays(runtime: str, worker: Worker, tmp_path: Path) -> None:
    load(worker, small_models.affine(tmp_path / "model.onnx"))
    x = np.ones((2, 3), np.float32)
    wrong: dict[str, dict[str, Any]] = {
        "name": {"X": x},
        "none": {},
        "one too many": {"x": x, "extra": x},
        "dtype float64": {"x": x.astype(np.float64)},
        "dtype int64": {"x": x.astype(np.int64)},
        "size": {"x": np.ones((2, 4), np.float32)},
        "axes missing": {"x": np.ones(3, np.float32)},
        "axes too many": {"x": np.ones((1, 2, 3), np.float32)},
    }
    for what, inputs in wrong.items():
        with pytest.raises(WorkerError) as error:
            predict(worker, tmp_path, inputs)
        assert_refused(worker, error, BadInputError)
        assert "x" in error.value.what, what
        assert not (tmp_path / "outputs.safetensors").exists()
    outputs, _ = predict(worker, tmp_path, {"x": x})
    assert np.array_equal(outputs["y"], np.array([[6.5, 8.75]] * 2, np.float32))


@onnx_runtimes
def test_inputs_that_are_no_safetensors_file_are_bad_input(runtime: str, worker: Worker, tmp_path: Path) -> None:
    load(worker, small_models.affine(tmp_path / "model.onnx"))
    good = tmp_path / "good.safetensors"
    write_tensors(good, {"x": np.ones((2, 3), np.float32)})
    whole = good.read_bytes()
    contents = {
        "empty": b"",
        "short": whole[:5],
        "header": whole[:20],
        "cut": whole[:-4],
        "text": b"hello, world\n" * 9,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for name in [*contents, "absent"]:
        with pytest.raises(WorkerError) as error:
            worker.request(
                "predict",
                inputs=str(tmp_path / name),
                outputs=str(tmp_path / "out.safetensors"),
                batch_size=None,
                timeout=LIMIT,
            )
        assert_refused(worker, error, BadInputError)


@onnx_runtimes
def test_predicting_without_a_model_is_bad_input(runtime: str, bench: Bench, tmp_path: Path) -> None:
    with Worker.start(RUNTIMES[runtime], tmp_path / "log") as fresh:
        with pytest.raises(WorkerError) as error:
            predict(fresh, tmp_path, {"x": np.ones((1, 3), np.float32)})
        assert_refused(fresh, error, BadInputError)


@onnx_runtimes
def test_batches_change_nothing(runtime: str, worker: Worker, tmp_path: Path) -> None:
    load(worker, small_models.affine(tmp_path / "model.onnx"))
    x = np.arange(15, dtype=np.float32).reshape(5, 3)
    whole, answer = predict(worker, tmp_path, {"x": x})
    assert answer["batches"] == 1
    assert answer["seconds"] >= 0
    assert answer["cpu_seconds"] >= 0
    parts, answer = predict(worker, tmp_path, {"x": x}, batch_size=2)
    assert answer["batches"] == 3
    assert np.array_equal(whole["y"], parts["y"])
    assert np.array_equal(whole["y"], x @ np.arange(6, dtype=np.float32).reshape(3, 2) + np.float32([0.5, -0.25]))


@onnx_runtimes
def test_nan_and_infinity_pass_through(runtime: str, worker: Worker, tmp_path: Path) -> None:
    load(worker, small_models.passing_through(tmp_path / "model.onnx"))
    x = np.zeros((1, 1000), np.float32)
    x[0, :5] = [np.nan, np.inf, -np.inf, -0.0, np.float32(1e-45)]
    y = predict(worker, tmp_path, {"x": x})[0]["y"]
    assert np.array_equal(x, y, equal_nan=True)
    assert np.isnan(y[0, 0])
    assert np.signbit(y[0, 3])


@onnx_runtimes
def test_float64_is_float64_and_float32_float32(runtime: str, worker: Worker, tmp_path: Path) -> None:
    path = small_models.cancellation(tmp_path / "model.onnx")
    load(worker, path, "float32")
    single = predict(worker, tmp_path, {"x": np.array([1e-4], np.float32)})[0]["y"]
    assert single.dtype == np.float32
    if "float64" not in worker.request("describe", timeout=LIMIT)["precisions"]:
        pytest.skip(f"{runtime} has no double precision")
    declared = load(worker, path, "float64")["inputs"][0]["dtype"]
    double = predict(worker, tmp_path, {"x": np.array([1e-4], np.dtype(declared))})[0]["y"]
    assert double.dtype == np.float64
    assert double[0] == pytest.approx(1e-4, rel=1e-5)


@onnx_runtimes
def test_outputs_are_row_major_whatever_the_engine_holds(runtime: str, worker: Worker, tmp_path: Path) -> None:
    load(worker, small_models.transposition(tmp_path / "model.onnx"))
    x = np.arange(30, dtype=np.float32).reshape(2, 3, 5)
    outputs, _ = predict(worker, tmp_path, {"x": x})
    assert np.array_equal(outputs["t"], x.transpose(2, 0, 1))
    assert np.array_equal(outputs["y"], x.transpose(2, 0, 1)[1:])


@onnx_runtimes
def test_names_beyond_ascii_in_models_and_paths(runtime: str, worker: Worker, tmp_path: Path) -> None:
    folder = tmp_path / "Grüße an 世界"
    folder.mkdir()
    said = load(worker, small_models.unicode_names(folder / "modèle.onnx"))
    assert [given["name"] for given in said["inputs"]] == ["größe"]
    outputs, _ = predict(worker, folder, {"größe": np.array([1.0, 2.0], np.float32)})
    assert {name: value.tolist() for name, value in outputs.items()} == {"出力": [3.0, 4.0]}


@onnx_runtimes
def test_large_arrays_travel(runtime: str, worker: Worker, tmp_path: Path) -> None:
    load(worker, small_models.passing_through(tmp_path / "model.onnx"))
    x = np.random.default_rng(5).standard_normal((3000, 1000), dtype=np.float32)
    assert np.array_equal(predict(worker, tmp_path, {"x": x})[0]["y"], x)
    assert np.array_equal(predict(worker, tmp_path, {"x": x}, batch_size=700)[0]["y"], x)


@onnx_runtimes
def test_an_empty_batch_gives_an_empty_result(runtime: str, worker: Worker, tmp_path: Path) -> None:
    load(worker, small_models.passing_through(tmp_path / "model.onnx"))
    y = predict(worker, tmp_path, {"x": np.zeros((0, 1000), np.float32)})[0]["y"]
    assert (y.shape, y.dtype) == ((0, 1000), np.float32)


# --------------------------------------------------------------------------------------------------- activations


@onnx_runtimes
def test_activations_are_the_named_tensors(runtime: str, worker: Worker, tmp_path: Path) -> None:
    if "activations" not in worker.request("describe", timeout=LIMIT)["requests"]:
        pytest.skip(f"{runtime} shows no activations")
    load(worker, small_models.affine(tmp_path / "model.onnx"))
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_tensors(tmp_path / "inputs.safetensors", {"x": x})
    asked = {"inputs": str(tmp_path / "inputs.safetensors"), "outputs": str(tmp_path / "found.safetensors")}
    assert worker.request("activations", names=["hidden", "y"], timeout=LIMIT, **asked)["count"] == 2
    found = read_tensors(tmp_path / "found.safetensors")
    hidden = x @ np.arange(6, dtype=np.float32).reshape(3, 2)
    assert np.array_equal(found["hidden"], hidden)
    assert np.array_equal(found["y"], hidden + np.array([0.5, -0.25], np.float32))
    with pytest.raises(WorkerError) as error:
        worker.request("activations", names=["hiden"], timeout=LIMIT, **asked)
    assert_refused(worker, error, BadInputError)
    assert "hiden" in error.value.what
