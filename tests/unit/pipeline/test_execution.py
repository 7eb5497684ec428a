"""What is finished is kept, what is damaged is made anew, and what was lost by accident is tried again."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from harness.compare.records import Verdict
from harness.errors import AccidentError, WorkerError
from harness.files.owner import Owner
from harness.files.store import Store
from harness.pipeline.execution import Execution, Failure, Finished
from harness.pipeline.layers import _Patience
from harness.pipeline.plan import Plan
from harness.pipeline.step import Context, Step
from harness.pipeline.worker_records import since, with_kept
from harness.runtimes.pool import Workers
from harness.runtimes.registry import RUNTIMES
from harness.runtimes.row import Availability
from harness.scenario.sections import LimitsSection

RUNTIME = "python/onnx-reference"
KEYS = {"data": "d" * 64, "oracle": "0" * 64, "target": "7" * 64}


@dataclass(frozen=True, kw_only=True)
class Written(Step):
    """A step that writes one file, or ends with the error that ``errors`` has for it."""

    kind = "written"
    errors: dict[str, Exception]

    def outside(self) -> dict[str, Any]:
        return {}

    def settings(self) -> dict[str, Any]:
        return {}

    def carry_out(self, context: Context) -> None:
        if self.id in self.errors:
            raise self.errors[self.id]
        (context.folder / "result.json").write_text(f'"{self.id}"')
        if self.runtime is not None:
            context.workers.note(self.runtime.name, 1, 0.5, 1.0)


def plan(errors: dict[str, Exception]) -> Plan:
    row = RUNTIMES[RUNTIME]
    return Plan(
        steps=(
            Written(id="data", errors=errors),
            Written(id="oracle", runtime=row, needs=("data",), errors=errors),
            Written(id="target", runtime=row, needs=("data",), errors=errors),
        ),
        cells=(),
    )


@dataclass
class Heard:
    """A listener that notes what it is told."""

    states: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    def planned(self, steps: int) -> None: ...

    def began(self, step: str) -> None: ...

    def progressed(self, progress: dict[str, Any]) -> None: ...

    def ended(self, step: str, state: str, seconds: float) -> None:
        self.states[step] = state

    def noticed(self, text: str) -> None:
        self.notices.append(text)


def run(root: Path, heard: Heard, errors: dict[str, Exception] | None = None) -> Finished:
    states = {RUNTIME: Availability(True, {"onnx": "1.23.2"})}
    limits = LimitsSection()
    return Execution(plan(errors or {}), KEYS, states, Store(root), heard, limits=limits, threads=1).all_steps()


def test_what_was_lost_by_accident_is_said_and_tried_again(tmp_path: Path) -> None:
    first = run(tmp_path, Heard(), {"oracle": AccidentError("the worker was ended by SIGKILL", where=RUNTIME)})
    assert first.accidents == {"oracle": f"{RUNTIME}: the worker was ended by SIGKILL"}
    assert first.failures["oracle"].verdict is Verdict.FAILED
    assert set(first.folders) == {"data", "target"}
    heard = Heard()
    second = run(tmp_path, heard)
    assert second.accidents == {}
    assert heard.states == {"data": "kept", "oracle": "done", "target": "kept"}


def test_what_needs_a_lost_step_is_not_an_accident_of_its_own(tmp_path: Path) -> None:
    found = run(tmp_path, Heard(), {"data": AccidentError("the worker was ended by SIGKILL")})
    assert set(found.failures) == {"data", "oracle", "target"}
    assert set(found.accidents) == {"data"}


@pytest.mark.parametrize("accident", [True, False])
def test_what_reads_a_lost_step_where_it_is_there_waits_for_it(tmp_path: Path, accident: bool) -> None:
    """Its result would be another with it, under the same key."""
    error = AccidentError("ended by SIGKILL") if accident else WorkerError("refused")
    steps = plan({"oracle": error}).steps
    steps = (*steps[:2], replace(steps[2], beside=("oracle",)))
    states = {RUNTIME: Availability(True, {})}
    made = Execution(
        Plan(steps, ()), KEYS, states, Store(tmp_path), Heard(), limits=LimitsSection(), threads=1
    ).all_steps()
    assert ("target" in made.folders) is not accident
    assert {*made.accidents} == ({"oracle"} if accident else set())


def test_an_answer_that_says_failed_is_no_accident(tmp_path: Path) -> None:
    found = run(tmp_path, Heard(), {"oracle": WorkerError("the operator has a fault", where=RUNTIME)})
    assert found.failures["oracle"] == Failure(Verdict.FAILED, f"{RUNTIME}: the operator has a fault")
    assert found.accidents == {}


def test_a_damaged_artifact_is_told_once_and_made_anew(tmp_path: Path) -> None:
    run(tmp_path, Heard())
    path = Store(tmp_path).folder("written", KEYS["oracle"]) / "result.json"
    path.write_text('"Oracle"')
    heard = Heard()
    run(tmp_path, heard)
    assert len(heard.notices) == 1
    assert f"{path.parent.name}: result.json" in heard.notices[0]
    assert heard.states == {"data": "kept", "oracle": "done", "target": "kept"}
    assert path.read_text() == '"oracle"'


def test_a_run_that_finds_everything_made_tells_what_making_it_took(
    tmp_path: Path,
) -> None:
    made = run(tmp_path, Heard())
    assert made.workers[RUNTIME] == {"starts": 2, "start_seconds": 1.0, "warnings": [], "kept": 0}
    assert set(made.seconds["steps"]) == set(KEYS)
    found = run(tmp_path, Heard())
    assert found.workers[RUNTIME] == {"starts": 2, "start_seconds": 1.0, "warnings": [], "kept": 2}
    assert found.seconds["steps"] == {}
    assert set(found.seconds["kept"]) == set(KEYS)
    artifact = Store(tmp_path).find("written", KEYS["oracle"])
    assert artifact is not None
    record = artifact.record
    assert record["availability"] == {"installed": True, "versions": {"onnx": "1.23.2"}}
    assert record["versions"]["harness"]
    assert record["seconds"] >= 0


def test_temporary_folders_of_dead_processes_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead = tmp_path / f"harness-run.{replace(Owner.current(), started=1_000_000_000)}.0123abcd"
    alive = tmp_path / f"harness-run.{Owner.current()}.0123abcd"
    others = tmp_path / "harness-of-somebody-else"
    for folder in (dead, alive, others):
        folder.mkdir()
    run(tmp_path / "store", Heard())
    assert [folder.exists() for folder in (dead, alive, others)] == [False, True, True]


def test_what_came_between_two_records_of_workers() -> None:
    before = {"r/base": {"starts": 1, "start_seconds": 1.0, "warnings": [{"line": "a", "times": 1}]}}
    after = {
        "r/base": {"starts": 1, "start_seconds": 1.0, "warnings": [{"line": "a", "times": 3}]},
        "julia/base": {"starts": 1, "start_seconds": 2.0, "warnings": []},
    }
    between = since(before, after)
    assert between == {
        "r/base": {"starts": 0, "start_seconds": 0.0, "warnings": [{"line": "a", "times": 2}]},
        "julia/base": {"starts": 1, "start_seconds": 2.0, "warnings": []},
    }
    assert since(after, after) == {}
    whole = with_kept(before, [between])
    assert whole["r/base"] == {"starts": 1, "start_seconds": 1.0, "warnings": [{"line": "a", "times": 3}], "kept": 0}
    assert whole["julia/base"]["kept"] == 1


def test_a_worker_that_is_killed_after_loading_is_an_accident(tmp_path: Path) -> None:
    workers = Workers(tmp_path, 1)
    try:
        workers.request(RUNTIME, "describe", timeout=60)
        worker = workers._running[RUNTIME]
        os.killpg(worker.pid, signal.SIGKILL)
        worker._process.wait()
        with pytest.raises(AccidentError, match="before it was asked 'predict'"):
            workers.request(RUNTIME, "predict", timeout=60, inputs="x", outputs="y", batch_size=None)
        # The next step begins with a request that needs no loaded model.
        assert workers.request(RUNTIME, "describe", timeout=60)
    finally:
        workers.close()


@pytest.mark.parametrize("words", ["MemoryError: Unable to allocate 3 GiB", "cannot allocate vector of size 2.0 Gb"])
def test_a_worker_that_gets_no_memory_is_an_accident(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    class Starved:
        alive = True

        def request(self, *_: Any, **__: Any) -> dict[str, Any]:
            raise WorkerError(words, where=RUNTIME)

    workers = Workers(tmp_path, 1)
    monkeypatch.setattr(workers, "_worker", lambda *_: Starved())
    with pytest.raises(AccidentError, match=words):
        workers.request(RUNTIME, "predict", timeout=1)


def test_a_node_that_an_accident_hit_is_asked_again_with_its_model() -> None:
    asked: list[str] = []

    def target(request: str, **_: Any) -> dict[str, Any]:
        asked.append(request)
        if asked == ["activations"]:
            raise AccidentError("the worker was ended by SIGKILL")
        return {}

    assert _Patience(target).ask(("activations", {}), anew=("load", {})) == ""
    assert asked == ["activations", "load", "activations"]


def test_a_node_that_breaks_its_target_twice_is_told() -> None:
    def target(request: str, **_: Any) -> dict[str, Any]:
        raise AccidentError("the worker was ended by SIGSEGV")

    assert "SIGSEGV" in _Patience(target).ask(("predict", {}))
