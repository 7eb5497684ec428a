"""What CONTRIBUTING.md says has to be touched to add one of a kind is enough: a copy of the project gets just these files.

``additions/`` holds the new files where they belong below the root; ROWS are the lines that go into files that exist.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ADDITIONS = Path(__file__).with_name("additions")

RUNTIME = """
        Runtime(
            "python/toyref",
            host="python",
            worker="harness.workers.onnx.toyref",
            packages=("onnx",),
            reads=("onnx",),
            install="pip install onnx",
        ),"""

FRAMEWORK = """
        Runtime(
            "python/toytorch",
            host="python",
            worker="harness.workers.pytorch.toytorch",
            packages=("torch",),
            reads=("safetensors",),
            install="pip install torch",
            framework=Framework("toytorch", "Toy on PyTorch", native="pytorch", mlm=("PyTorch", "torch")),
        ),"""

ROUTE = """
        Route("toy-script", "torch-script again", ("pytorch",), "onnx", ("onnx", "onnxscript"), ("opset", "fold")),"""

#: File, the line before which (a table's end) or after which (a table's beginning) something is added, and what.
ROWS = (
    ("harness/runtimes/table.py", "\n    )\n}", f"{RUNTIME}{FRAMEWORK}\n    )\n}}"),
    ("harness/runtimes/routes.py", "\n    )\n}", f"{ROUTE}\n    )\n}}"),
    ("harness/workers/pytorch/routes.py", "] = {\n", '] = {\n    "toy-script": _script,\n'),
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with one of each kind added."""
    copy = tmp_path_factory.mktemp("project")
    for name in ("harness", "native"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "_native"))
    shutil.copytree(ADDITIONS, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name, anchor, text in ROWS:
        before = (copy / name).read_text()
        assert before.count(anchor) == 1
        (copy / name).write_text(before.replace(anchor, text))
    return copy


def harness(project: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "harness", *arguments]
    variables = os.environ | {"PYTHONPATH": str(project), "HARNESS_THREADS": "1"}
    done = subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_runtime_and_a_framework_are_a_row_and_a_worker(project: Path) -> None:
    assert {"python/toyref", "python/toytorch"} <= set(json.loads(harness(project, "runtimes", "--json")))


def test_a_data_source_is_one_file(project: Path) -> None:
    assert "toy-waves" in harness(project, "data", "list", "--json")


def test_a_route_is_a_row_and_a_function_of_the_worker(project: Path) -> None:
    assert "toy-script" in harness(project, "schema")


@pytest.mark.slow
def test_all_of_them_work_together_with_a_model_and_a_figure(project: Path) -> None:
    """The model is one specification and one file for PyTorch, the figure is one file."""
    document = json.loads(harness(project, "run", "scenario.yaml", "--json"))
    assert {(cell["target"], cell["route_label"], cell["verdict"]) for cell in document["cells"]} == {
        ("python/toytorch", "safetensors", "identical"),
        ("python/toyref", "toy-script-opset17-folded", "identical"),
    }
    assert (project / "results" / "additions" / "figures" / "toy_line.png").is_file()


@pytest.mark.slow
def test_a_task_is_one_file(project: Path) -> None:
    """With a model and data for it: loss, decisions, scores, tables, figure and the words of the report follow."""
    assert "toy-flag" not in (ROOT / "harness" / "tasks" / "__init__.py").read_text()
    document = json.loads(harness(project, "run", "task.yaml", "--json"))
    (cell,) = document["cells"]
    assert cell["verdict"] == "identical"
    assert (cell["decisions"]["rule"], cell["decisions"]["decisions"]) == ("threshold", 128)
    results = project / "results" / "flags"
    with (results / "tables" / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["runner"] for row in rows] == ["source", "python/pytorch via safetensors"]
    assert all(0.8 < float(row["right_low"]) <= float(row["right"]) <= 1 for row in rows)
    with (results / "training.csv").open() as file:
        assert "right" in next(csv.reader(file))
    assert (results / "figures" / "score_per_part.png").is_file()
    assert not (results / "figures" / "f1_per_class.png").exists()
    assert "of 2 bands (first, second) with 2 flags (up, down)" in (results / "methods.txt").read_text()
