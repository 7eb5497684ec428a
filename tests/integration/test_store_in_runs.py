"""Damage on the disk and killed workers change no table: what was hit is made anew, and said."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import psutil
import pytest

from harness.files.artifact import Artifact, Damage, read_artifact
from tests.integration.conftest import needs_r
from tests.integration.quick import Quick
from tests.integration.results import assert_equal_results
from tests.integration.test_bad_input import wait_for, workers


@pytest.fixture
def copied(whole: Quick, tmp_path: Path) -> Quick:
    """A copy of it that may be spoilt."""
    for name in ("exported", "results"):
        shutil.copytree(whole.folder / name, tmp_path / name)
    return Quick(tmp_path, whole.programs)


def flip(path: Path, position: int | None = None) -> None:
    """Change one bit, in the middle of the file where no position is given."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if position is None else position] ^= 1
    path.write_bytes(content)


def of_kinds(store: Path, wanted: Iterable[str]) -> list[Path]:
    return [path for pattern in wanted for path in sorted(store.glob(pattern))]


def test_a_flipped_byte_in_any_file_of_any_artifact_is_noticed(copied: Quick) -> None:
    files = [path for path in copied.store.glob("*-*/**/*") if path.is_file()]
    assert {path.suffix for path in files} >= {".json", ".safetensors", ".onnx", ".csv"}
    for path in files:
        folder = copied.store / path.relative_to(copied.store).parts[0]
        kind, _, key = folder.name.partition("-")
        assert isinstance(read_artifact(folder, kind, key), Artifact)
        kept = path.read_bytes()
        flip(path)
        assert isinstance(read_artifact(folder, kind, key), Damage), path
        path.write_bytes(kept)


def test_after_damage_the_tables_are_those_of_a_clean_run(whole: Quick, copied: Quick) -> None:
    damaged = of_kinds(
        copied.store,
        (
            "data-*/dataset.json",
            "train-*/weights.safetensors",
            "source-*/probe.float64.safetensors",
            "oracle-*/probe.float64.safetensors",
            "target-*/parameters.safetensors",
            "layers-*/layers.json",
            "export-*/model.onnx",
            "inputs-*/step.json",
        ),
    )
    assert len(damaged) >= 8
    for path in damaged:
        flip(path)
    checked = copied.harness("store", "check", "--json")
    assert checked.returncode == 1
    assert json.loads(checked.stdout)["damaged"] == len(damaged)
    shutil.rmtree(copied.results)
    done = copied.run()
    assert done.returncode == 0, done.stderr
    for path in damaged:
        lines = [
            line for line in done.stderr.splitlines() if line.startswith(f"damaged: {path.parent.name}: {path.name} ")
        ]
        assert len(lines) == 1, path
    assert_equal_results(copied.results, whole.results)
    assert copied.harness("store", "check").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "pattern",
    ["target-*/target.json", "target-*/probe.float32.safetensors", "oracle-*/structure.json", "train-*/training.json"],
)
def test_damage_of_one_kind_of_file_costs_its_steps_alone(whole: Quick, copied: Quick, pattern: str) -> None:
    for path in of_kinds(copied.store, [pattern]):
        flip(path)
    shutil.rmtree(copied.results)
    done = copied.run()
    assert done.returncode == 0, done.stderr
    redone = {line.split()[3] for line in done.stderr.splitlines() if line.split()[:1] == ["done"]}
    assert redone == {pattern.partition("-")[0], "comparisons"}
    assert_equal_results(copied.results, whole.results)


@pytest.mark.parametrize(
    "name",
    [
        "cells.json",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("manifest.json", "predictions.csv.gz", "tables/cells.csv", "digests.json")
        ),
    ],
)
def test_damaged_results_are_written_anew(whole: Quick, copied: Quick, name: str) -> None:
    flip(copied.results / name)
    done = copied.run()
    assert done.returncode == 0, done.stderr
    assert "finished before" not in done.stdout
    notices = [line for line in done.stderr.splitlines() if line.startswith("damaged: ")]
    assert len(notices) == 1
    assert name in notices[0]
    assert_equal_results(copied.results, whole.results)
    assert "finished before" in copied.run().stdout


def test_pages_that_a_person_edits_stay_as_they_are(copied: Quick) -> None:
    page = copied.results / "report.md"
    page.write_text("my own words")
    done = copied.run()
    assert done.returncode == 0
    assert "finished before" in done.stdout
    assert page.read_text() == "my own words"


def test_a_report_that_is_built_again_counts_as_whole(copied: Quick) -> None:
    assert copied.harness("report", str(copied.results), "--pdf").returncode == 0
    assert "finished before" in copied.run().stdout
    # Building a report does not bless what it is built from.
    flip(copied.results / "training.csv", -4)
    copied.harness("report", str(copied.results))
    assert "finished before" not in copied.run().stdout


def test_what_made_the_artifacts_is_told_by_a_run_that_found_them(whole: Quick, copied: Quick) -> None:
    shutil.rmtree(copied.results)
    assert copied.run().returncode == 0
    made, found = (json.loads((one.results / "workers.json").read_text()) for one in (whole, copied))
    assert made
    for runtime, record in made.items():
        assert record["kept"] == 0
        assert found[runtime]["starts"] == found[runtime]["kept"] == record["starts"]
        assert found[runtime]["start_seconds"] == pytest.approx(record["start_seconds"])
    seconds = json.loads((copied.results / "seconds.json").read_text())
    in_whole = json.loads((whole.results / "seconds.json").read_text())["steps"]
    # A step whose runtime is not there is tried, and left, by either.
    assert set(seconds["kept"]) == {step for step in in_whole if "julia" not in step}
    assert set(seconds["steps"]) == {step for step in in_whole if "julia" in step}
    assert_equal_results(copied.results, whole.results)


def test_cleaning_says_what_it_frees_and_leaves_what_results_need(copied: Quick) -> None:
    done = copied.harness("store", "clean", "--unused")
    assert done.returncode == 0, done.stderr
    assert "nothing to remove" in done.stdout
    shutil.rmtree(copied.results)
    done = copied.harness("store", "clean", "--unused")
    assert "MB were freed" in done.stdout
    assert not list(copied.store.glob("*-*"))


@needs_r
@pytest.mark.parametrize(
    ("runtime", "command"),
    [
        ("r/base", "plainonnx::onnx_serve"),
        pytest.param("python/onnx-reference", "python/onnx-reference", marks=pytest.mark.slow),
    ],
)
def test_an_oracle_that_is_killed_is_said_counted_and_made_by_the_next_run(
    whole: Quick, tmp_path: Path, runtime: str, command: str
) -> None:
    workplace = Quick(tmp_path, whole.programs)
    process = workplace.start("run", str(workplace.scenario))
    # The first worker of either is that of its oracle step.
    wait_for(lambda: bool(workers(process, command)) or process.poll() is not None)
    for worker in workers(process, command):
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 3, out + err
    assert f"Lost by accident: oracle torch-script-opset17-unfolded {runtime}" in out
    assert "SIGKILL" in out
    assert "Lost by accident" in (workplace.results / "report.md").read_text()
    again = workplace.run()
    assert again.returncode == 0, again.stderr
    assert "finished before" not in again.stdout
    assert "Lost by accident" not in again.stdout
    assert_equal_results(workplace.results, whole.results)
    assert "finished before" in workplace.run().stdout


@needs_r
def test_an_oracle_of_a_given_file_that_is_killed_is_said_and_counted(whole: Quick, tmp_path: Path) -> None:
    workplace = Quick(tmp_path, whole.programs)
    model = next(whole.store.glob("export-*/model.onnx"))
    bands = len(json.loads(next(whole.store.glob("data-*/dataset.json")).read_text())["bands"])
    probe = np.random.default_rng(3).normal(size=(64, bands, 20)).astype(np.float32)
    np.save(tmp_path / "probe.npy", probe)
    command = ("compare", str(model), "--to", "python/onnxruntime", "--probe", str(tmp_path / "probe.npy"))
    process = workplace.start(*command)
    wait_for(lambda: bool(workers(process, "plainonnx::onnx_serve")) or process.poll() is not None)
    for worker in workers(process, "plainonnx::onnx_serve"):
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 3, out + err
    assert "Lost by accident: oracle " in out
    done = workplace.harness(*command)
    assert done.returncode == 0, done.stderr
    assert "Lost by accident" not in done.stdout
