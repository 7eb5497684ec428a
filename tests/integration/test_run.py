"""The main job from end to end: real workers, real files, real verdicts."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.integration.conftest import Workplace, needs_julia, needs_r


def read(workplace: Workplace, name: str) -> object:
    return json.loads((workplace.results / name).read_text())


def test_every_cell_that_can_run_is_as_expected(finished: Workplace) -> None:
    cells = read(finished, "cells.json")
    verdicts = {(cell["route"], cell["target"]): cell["verdict"] for cell in cells}
    assert verdicts[("safetensors", "python/pytorch")] == "identical"
    assert verdicts[("torch-script", "python/onnxruntime")] == "equivalent"
    assert verdicts[("torch-script", "r/base")] in ("equivalent", "unavailable")
    assert verdicts[("torch-script", "julia/base")] in ("equivalent", "unavailable")


@needs_r
def test_r_answers_and_its_parameters_are_the_sources_bit_for_bit(finished: Workplace) -> None:
    cell = next(cell for cell in read(finished, "cells.json") if cell["target"] == "r/base")
    assert cell["verdict"] == "equivalent"
    rows = cell["parameters"]["rows"]
    assert len(rows) == 26
    assert {row["relation"] for row in rows} == {"equal"}
    # R computes in double precision: its error is the rounding of the outputs alone.
    assert cell["runtime_comparison"]["rms_ratio"] <= 1.5
    assert cell["route_comparison"]["oracle_agreement"] < 1e-10


@needs_julia
def test_julia_answers_and_no_third_oracle_is_asked_where_two_agree(finished: Workplace) -> None:
    cell = next(cell for cell in read(finished, "cells.json") if cell["target"] == "julia/base")
    assert cell["verdict"] == "equivalent"
    rows = cell["parameters"]["rows"]
    assert len(rows) == 26
    assert {row["relation"] for row in rows} == {"equal"}
    # Julia computes in single precision, as the source does.
    assert cell["runtime_comparison"]["rms_ratio"] <= 4
    assert len(cell["route_comparison"]["oracles"]) == 2
    assert cell["route_comparison"]["oracle_agreement"] < 1e-10


def test_no_probe_number_without_its_probe(finished: Workplace) -> None:
    manifest = read(finished, "manifest.json")
    for cell in read(finished, "cells.json"):
        assert cell["probe_sha256"] == manifest["probe"]["sha256"]
        assert cell["probe_samples"] == 64
        assert cell["head"] == "logits"


def test_predictions_hold_probabilities_that_sum_to_one(finished: Workplace) -> None:
    import pandas as pd

    table = pd.read_csv(finished.results / "predictions.csv.gz")
    classes = read(finished, "manifest.json")["data"]["class_names"]
    runners = {name.rpartition(".")[0] for name in table.columns if name.endswith(".prediction")}
    assert {"source", "python/onnxruntime via torch-script-opset17-unfolded"} <= runners
    for runner in runners:
        shares = table[[f"{runner}.p.{name}" for name in classes]].to_numpy()
        np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-4)
        best = np.asarray(classes)[shares.argmax(axis=1)]
        assert (best == table[f"{runner}.prediction"]).mean() > 0.99
    assert set(table["truth"]) <= set(classes)
    assert table["id"].is_unique


def test_the_report_is_there_and_says_synthetic(finished: Workplace) -> None:
    page = (finished.results / "report.html").read_text()
    assert "synthetic" in page.lower()
    assert "http-equiv" not in page
    assert 'src="http' not in page
    text = (finished.results / "report.md").read_text()
    for cell in read(finished, "cells.json"):
        assert cell["verdict"] in text
    assert list((finished.results / "figures").glob("*.png"))
    assert list((finished.results / "figures").glob("*.svg"))
    assert (finished.results / "tables" / "cells.csv").exists()


def test_nothing_written_names_this_machine(finished: Workplace) -> None:
    for path in [*finished.results.rglob("*"), *finished.folder.glob("exported/export-*/*")]:
        if path.is_file() and path.name != ".lock":
            raw = path.read_bytes()
            content = gzip.decompress(raw) if path.suffix == ".gz" else raw
            assert str(finished.folder).encode() not in content, path
            assert str(Path(__file__).resolve().parents[2]).encode() not in content, path


def test_a_finished_scenario_is_not_run_again(finished: Workplace) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.results.rglob("*") if path.is_file()}
    done = finished.run()
    assert done.returncode == 0
    assert "finished before" in done.stdout
    assert before == {path: path.stat().st_mtime_ns for path in finished.results.rglob("*") if path.is_file()}


def test_json_output_is_one_document(finished: Workplace) -> None:
    done = finished.harness("run", str(finished.scenario), "--json")
    assert done.returncode == 0
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    assert answer["exit_code"] == 0
    assert {cell["verdict"] for cell in answer["cells"]} <= {"identical", "equivalent", "unavailable"}


@pytest.mark.slow
def test_two_runs_from_nothing_are_byte_equal(finished: Workplace, repeated: Workplace) -> None:
    timings = {"seconds.json", "training_seconds.csv", "timings.csv", "workers.json", "digests.json"}
    names = {path.relative_to(finished.results) for path in finished.results.rglob("*") if path.is_file()}
    assert names == {path.relative_to(repeated.results) for path in repeated.results.rglob("*") if path.is_file()}
    for name in names:
        # The pages show the timings of their run.
        if name.name in timings or name.name in ("report.md", "report.html") or "second" in name.name:
            continue
        assert (finished.results / name).read_bytes() == (repeated.results / name).read_bytes(), name


def test_the_report_is_rebuilt_from_result_files_alone(finished: Workplace, tmp_path: Path) -> None:
    copy = tmp_path / "small"
    kept = (
        "manifest.json",
        "cells.json",
        "training*.csv",
        "predictions.csv.gz",
        "outputs_probe.csv.gz",
        "seconds.json",
        "structures.json",
        "workers.json",
    )
    copy.mkdir()
    for pattern in kept:
        for path in finished.results.glob(pattern):
            shutil.copy(path, copy)
    done = finished.harness("report", str(copy))
    assert done.returncode == 0, done.stderr
    for name in ("report.md", "report.html"):
        assert (copy / name).read_bytes() == (finished.results / name).read_bytes()


def test_a_scenario_that_expects_more_ends_with_code_1(finished: Workplace, tmp_path: Path) -> None:
    strict = Workplace(tmp_path)
    strict.document["expect"] = "identical"
    shutil.copytree(finished.folder / "exported", tmp_path / "exported")
    done = strict.run()
    assert done.returncode == 1, done.stderr
