"""Timing from end to end: fresh workers, a table of its own, and nothing else that differs from run to run."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.integration.conftest import Workplace
from tests.integration.test_compare_given import MAKE

#: What a second timing may change; the pages show the timings of their run.
TIMED = {
    "timings.json",
    "timings.csv",
    "timing_costs.csv",
    "timing_by_batch_size.png",
    "timing_by_batch_size.svg",
    "digests.json",
    "seconds.json",
    "seconds.csv",
    "workers.json",
    "tooling_seconds.csv",
    "tooling_seconds.tex",
    "report.md",
    "report.html",
}


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    workplace = Workplace(tmp_path_factory.mktemp("timed"))
    workplace.document |= {
        "targets": ["python/pytorch", "python/onnxruntime"],
        "timing": {"batch_sizes": [1, 8], "processes": 2, "seconds": 0.05},
    }
    done = workplace.run()
    assert done.returncode == 0, done.stdout + done.stderr
    return workplace


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_source_and_cells_are_timed_in_fresh_processes(timed: Workplace) -> None:
    found = json.loads((timed.results / "timings.json").read_text())
    assert [part["label"] for part in found["timed"]] == [
        "source (pytorch)",
        "python/onnxruntime via torch-script-opset17-unfolded",
    ]
    for part in found["timed"]:
        processes = part["measurement"]["processes"]
        assert len(processes) == 2
        for process in processes:
            assert [batch["batch_size"] for batch in process["batches"]] == [1, 8]
            # A fresh process has everything to do at its first call that later ones find done.
            assert process["batches"][0]["first_seconds"] > float(np.median(process["batches"][0]["seconds"]))
            assert set(process["threads"].values()) == {1}
    rows = list(csv.DictReader((timed.results / "tables" / "timings.csv").open()))
    assert len(rows) == 4
    assert all(float(row["median_seconds"]) > 0 for row in rows)
    assert "\n## Timing\n" in (timed.results / "report.md").read_text()


def test_no_timing_is_among_the_cells(timed: Workplace) -> None:
    for cell in json.loads((timed.results / "cells.json").read_text()):
        assert not [key for key in cell if "second" in key or "timing" in key]


@pytest.mark.slow
def test_a_timing_is_kept_and_taking_it_again_changes_nothing_else(timed: Workplace) -> None:
    before = contents(timed.results)
    shutil.rmtree(timed.results)
    assert timed.run().returncode == 0
    kept = contents(timed.results)
    assert kept["timings.json"] == before["timings.json"]
    for folder in (timed.folder / "exported").glob("timing-*"):
        shutil.rmtree(folder)
    shutil.rmtree(timed.results)
    assert timed.run().returncode == 0
    after = contents(timed.results)
    assert after.keys() == before.keys()
    assert after["timings.json"] != before["timings.json"]
    differ = {Path(name).name for name in before if before[name] != after[name]}
    assert differ <= TIMED


@pytest.mark.slow
def test_a_given_model_is_timed_where_asked(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", MAKE, str(tmp_path / "patch.onnx")], check=True, capture_output=True)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(70, 4, 8, 8)).astype(np.float32))
    arguments = ("compare", "patch.onnx", "--to", "python/onnxruntime,python/onnx-reference", "--probe", "x.npy")
    done = Workplace(tmp_path).harness(*arguments, "--batch-size", "16", "--time")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "results" / "compare_patch"
    rows = list(csv.DictReader((folder / "tables" / "timings.csv").open()))
    assert [(row["what"], row["batch_size"]) for row in rows] == [
        ("python/onnxruntime", "1"),
        ("python/onnxruntime", "16"),
        ("python/onnx-reference", "1"),
        ("python/onnx-reference", "16"),
    ]
    assert float(rows[2]["ratio"]) > 1
