"""Everything that goes wrong gets one line that says what, where and what to do; then the same command goes on."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.integration.conftest import needs_r, without
from tests.integration.quick import Quick


@pytest.fixture
def workplace(tmp_path: Path, programs: str) -> Quick:
    """None of this is about a runtime in Julia, but for the one test that asks for it."""
    return Quick(tmp_path, programs)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The error line: the last of standard error, and no traceback anywhere."""
    assert "Traceback" not in done.stderr + done.stdout
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("harness: ")
    return line


def wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.02)


def workers(process: subprocess.Popen[str], fragment: str) -> list[psutil.Process]:
    """The living workers of a harness process whose command line contains a fragment."""
    found: list[psutil.Process] = []
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return found
    for child in children:
        try:
            if fragment in " ".join(child.cmdline()) and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"titel": "x"}, "unknown key 'titel'; did you mean 'title'?"),
        ({"targets": ["python/onnxruntim"]}, "did you mean 'python/onnxruntime'?"),
        ({"model": {"name": "tempcn"}}, "there is no model 'tempcn'; did you mean 'tempcnn'?"),
        (
            {"model": {"name": "tempcnn", "hyperparameters": {"kernels": [4, 5, 5]}, "preset": "sits"}},
            "kernels must be odd",
        ),
        ({"model": {"name": "tempcnn", "preset": "sits", "hyperparameters": {"filter": [8]}}}, "filter"),
        ({"data": {"source": "synthetic-crops", "options": {"parcel": 3}}}, "parcel"),
        ({"data": {"source": "sits-csv", "options": {"train": "a.csv", "test": "b.csv", "bands": ["NIR"]}}}, "a.csv"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_scenarios_end_with_code_2(workplace: Quick, change: dict[str, object], expected: str) -> None:
    workplace.document.update(change)
    done = workplace.run()
    assert done.returncode == 2, done.stderr
    assert expected in one_line(done)
    assert not workplace.results.joinpath("manifest.json").exists()


def test_a_missing_scenario(workplace: Quick) -> None:
    done = workplace.harness("run", "nowhere.yaml")
    assert done.returncode == 2
    assert "nowhere.yaml: no such file" in one_line(done)


def test_bad_usage_ends_with_code_2(workplace: Quick) -> None:
    for arguments in (["run"], ["run", "a.yaml", "--colour"], ["fly"], ["data", "get"]):
        assert workplace.harness(*arguments).returncode == 2, arguments


def test_debug_shows_the_traceback(workplace: Quick) -> None:
    done = workplace.harness("--debug", "run", "nowhere.yaml")
    assert "Traceback" in done.stderr


def test_truncated_data(workplace: Quick) -> None:
    made = workplace.harness("data", "get", "synthetic-crops", "--folder", "data")
    assert made.returncode == 0, made.stderr
    files = [Path(line) for line in made.stdout.splitlines() if line.endswith(".h5")]
    assert files
    for path in (workplace.folder / file for file in files):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    workplace.document["data"] = {"source": "breizhcrops", "options": {"root": "data/synthetic-crops"}}
    done = workplace.run()
    assert done.returncode == 2, done.stderr
    assert ".h5" in one_line(done)


def test_data_that_are_not_finite(workplace: Quick) -> None:
    row = "{label},{polygon}," + ",".join(["1.5"] * 8)
    lines = [row.format(label=index % 2, polygon=index) for index in range(80)]
    (workplace.folder / "train.csv").write_text("\n".join(lines) + "\n")
    bad = [row.format(label=index % 2, polygon=1000 + index) for index in range(80)]
    bad[40] = bad[40].replace("1.5", "nan", 1)
    (workplace.folder / "test.csv").write_text("\n".join(bad) + "\n")
    workplace.document["data"] = {
        "source": "sits-csv",
        "options": {"train": "train.csv", "test": "test.csv", "bands": ["NIR", "R"]},
    }
    done = workplace.run()
    assert done.returncode == 2, done.stderr
    assert "test.csv" in one_line(done)
    assert "41" in one_line(done)


@pytest.mark.parametrize(
    ("program", "runtime", "remedy"),
    [("Rscript", "r/base", "apt-get install r-base-core"), ("julia", "julia/base", "make setup")],
)
def test_a_language_that_is_missing_costs_its_cells_only(
    workplace: Quick, program: str, runtime: str, remedy: str
) -> None:
    workplace.document["targets"] = ["python/onnxruntime", runtime]
    environment = without(program, without("julia")["PATH"])
    done = workplace.run(environment=environment)
    assert done.returncode == 0, done.stderr
    cells = {cell["target"]: cell for cell in json.loads((workplace.results / "cells.json").read_text())}
    assert cells[runtime]["verdict"] == "unavailable"
    assert remedy in cells[runtime]["sentence"]
    assert cells["python/onnxruntime"]["verdict"] == "equivalent"
    workplace.document["require"] = [runtime]
    assert workplace.run(environment=environment).returncode == 1


@needs_r
def test_a_killed_worker_costs_its_cell_and_the_next_run_mends_it(workplace: Quick) -> None:
    process = workplace.start("run", str(workplace.scenario))
    # The library is made by other R processes; the worker is the one that serves.
    wait_for(lambda: bool(workers(process, "plainonnx::onnx_serve")) or process.poll() is not None)
    for worker in workers(process, "plainonnx::onnx_serve"):
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()
    out, err = process.communicate(timeout=300)
    cells = {cell["target"]: cell for cell in json.loads((workplace.results / "cells.json").read_text())}
    # r/base serves as second oracle first; whichever of its steps was hit, the Python cells stand.
    assert cells["python/onnxruntime"]["verdict"] == "equivalent"
    assert process.returncode == 3, err
    assert "Lost by accident: " in out
    assert "SIGKILL" in out
    done = workplace.run()
    assert done.returncode == 0, done.stderr
    assert "train" not in done.stderr


@pytest.mark.slow
@needs_r
def test_a_hanging_worker_is_given_up_after_its_limit(workplace: Quick) -> None:
    assert workplace.run(environment=without("Rscript", workplace.programs)).returncode == 0
    workplace.document["limits"] = {"request_seconds": 3}
    process = workplace.start("run", str(workplace.scenario))
    wait_for(lambda: bool(workers(process, "plainonnx::onnx_serve")) or process.poll() is not None)
    stopped = time.monotonic()
    # Every worker of R is stopped: the first is given up, and so are those that are started in its place.
    while process.poll() is None and time.monotonic() - stopped < 300:
        for worker in workers(process, "plainonnx::onnx_serve"):
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.suspend()
        time.sleep(0.05)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 3, err
    cells = {cell["target"]: cell for cell in json.loads((workplace.results / "cells.json").read_text())}
    assert cells["r/base"]["verdict"] == "failed"
    assert "no answer" in cells["r/base"]["error"]
    assert cells["python/onnxruntime"]["verdict"] == "equivalent"


def test_an_output_folder_that_is_a_file(workplace: Quick) -> None:
    (workplace.folder / "taken").write_text("")
    done = workplace.harness("run", str(workplace.scenario), "--output", "taken")
    assert done.returncode == 2
    line = one_line(done)
    assert "taken" in line
    assert "--output" in line
    assert (workplace.folder / "taken").read_text() == ""


@pytest.mark.slow
def test_a_full_disk_ends_the_run_and_the_next_one_goes_on(workplace: Quick) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        # Enough for everything that is small, too little for the data.
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    done = workplace.run(before=limit)
    assert done.returncode == 2, done.stderr
    assert "run" in one_line(done)
    assert not list(workplace.folder.glob("results/*/manifest.json"))
    assert workplace.run().returncode == 0


def test_ctrl_c_leaves_nothing_behind_and_the_next_run_goes_on(workplace: Quick) -> None:
    workplace.document["source"]["training"]["epochs"] = 60
    workplace.document["targets"] = ["python/onnxruntime"]
    process = workplace.start("run", str(workplace.scenario))
    partial = workplace.folder / "exported" / ".partial"
    wait_for(lambda: any(partial.glob("train-*/train-*/checkpoint.json")))
    children = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert err.strip().splitlines()[-1].startswith("harness: interrupted")
    assert "Traceback" not in err
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in children), 10)
    assert not (workplace.results / "manifest.json").exists()
    done = workplace.run()
    assert done.returncode == 0, done.stderr
    training = json.loads(next((workplace.folder / "exported").glob("train-*/training.json")).read_text())
    assert training["resumed_at"] > 0
    # It differs from run to run, so that it stands with the timings.
    assert "resumed_at" not in json.loads((workplace.results / "manifest.json").read_text())["training"]
    seconds = json.loads((workplace.results / "seconds.json").read_text())
    assert seconds["training"]["resumed_at"] == training["resumed_at"]


def test_a_killed_harness_leaves_no_worker(workplace: Quick) -> None:
    workplace.document["source"]["training"]["epochs"] = 60
    process = workplace.start("run", str(workplace.scenario))
    wait_for(lambda: bool(workers(process, "harness.workers.serve")))
    children = [child.pid for child in workers(process, "harness.workers.serve")]
    process.kill()
    process.communicate()
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in children), 60)


def test_the_same_run_started_twice(workplace: Quick) -> None:
    workplace.document["source"]["training"]["epochs"] = 60
    scenario = str(workplace.scenario)
    first = workplace.start("run", scenario)
    try:
        wait_for(lambda: bool(workers(first, "harness.workers.serve")))
        second = workplace.harness("run", scenario)
        assert second.returncode == 2
        line = one_line(second)
        assert f"another run of this scenario is writing here (process {first.pid})" in line
        assert "--output" in line
    finally:
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=300)


def test_report_of_a_folder_without_results(workplace: Quick) -> None:
    done = workplace.harness("report", "nowhere")
    assert done.returncode == 2
    assert "nowhere" in one_line(done)


def test_a_closed_pipe_is_not_an_error(workplace: Quick) -> None:
    done = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$0" -m harness schema | head -1', workplace.command()[0]],
        cwd=workplace.folder,
        env=workplace.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert os.linesep in done.stdout


@pytest.mark.slow
@needs_r
def test_an_environment_that_cannot_be_made_costs_its_cells_only(workplace: Quick) -> None:
    workplace.document["targets"] = ["python/onnxruntime", "r/onnxruntime"]
    cache = workplace.folder / "cache"
    unreachable = {
        "HARNESS_CACHE": str(cache),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": "",
        "PIP_CONFIG_FILE": os.devnull,
    }
    environment = workplace.environment() | unreachable
    done = workplace.run(environment=environment)
    assert done.returncode == 0, done.stderr
    cells = {cell["target"]: cell for cell in json.loads((workplace.results / "cells.json").read_text())}
    assert cells["python/onnxruntime"]["verdict"] == "equivalent"
    assert cells["r/onnxruntime"]["verdict"] == "unavailable"
    # Without reticulate it is that which is missing.
    assert "cannot be made" in cells["r/onnxruntime"]["error"] or "reticulate" in cells["r/onnxruntime"]["error"]
    assert not list(cache.glob("*making*"))
    one_line(workplace.harness("prepare", "r/onnxruntime", environment=environment))
    assert workplace.harness("prepare", "r/onnx-runtime").returncode == 2
