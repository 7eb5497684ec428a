"""The R and Julia code of documents runs and prints what it says, and tables of operators are those of the packages."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.runtimes.julia_installation import find_packages
from harness.runtimes.registry import RUNTIMES, ready
from harness.workers.tensors import read_tensors

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
#: Operators that R has and Julia has not.
ONLY_IN_R = "com.microsoft."


def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("operator_tables", ROOT / "scripts" / "operator_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def needs(runtime: str) -> None:
    here = ready(RUNTIMES[runtime])
    if not here.installed:
        pytest.skip(f"{runtime}: {here.reason}; install it with: {here.install}")


def ran(command: list[str], folder: Path, env: dict[str, str], limit: float = 600) -> str:
    # With what the process has, and nothing of its threads.
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | env
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=limit)
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-500:]
    return done.stdout


def run_r(page: str, folder: Path, *prelude: str) -> str:
    from harness.runtimes.r_package import library

    command = [
        "Rscript",
        "--vanilla",
        str(HERE / "run_page.R"),
        str(ROOT / page),
        *(str(HERE / name) for name in prelude),
    ]
    return ran(command, folder, {"R_LIBS": str(library())})


def run_julia(page: str, folder: Path, packages: tuple[str, ...] = (), *prelude: str) -> str:
    if shutil.which("julia") is None:
        pytest.skip("julia is not on the path")
    if reason := find_packages(packages)[1]:
        pytest.skip(reason)
    environment = "@v#.#:" if packages else ""
    load_path = f"{ROOT / 'native' / 'julia'}:{environment}@stdlib"
    command = ["julia", "--startup-file=no", str(HERE / "run_page.jl"), str(ROOT / page)]
    # Where nothing of Flux is compiled yet, that alone takes minutes.
    return ran([*command, *(str(HERE / name) for name in prelude)], folder, {"JULIA_LOAD_PATH": load_path}, limit=2400)


def test_code_of_the_page_for_r_runs(tmp_path: Path) -> None:
    needs("r/base")
    assert run_r("docs/onnx-in-r.md", tmp_path).strip() == "blocks run: 4"


def test_code_of_the_vignette_runs(tmp_path: Path) -> None:
    needs("r/base")
    said = run_r("native/r/vignettes/plainonnx.Rmd", tmp_path)
    # One for a raster where terra is installed, one for torch where that is.
    assert int(said.rpartition(":")[2]) >= 9


def test_a_page_whose_code_prints_something_else_is_noticed(tmp_path: Path) -> None:
    needs("r/base")
    (tmp_path / "page.md").write_text("```r\n1 + 1\n#> [1] 3\n```\n")
    with pytest.raises(AssertionError, match="the block at line 1 prints"):
        run_r(str(tmp_path / "page.md"), tmp_path)


def test_r_code_that_answers_for_a_model_of_torch_runs(tmp_path: Path) -> None:
    needs("r/torch")
    run_r("docs/why-does-my-onnx-differ.md", tmp_path, "reference_answers.R")
    written: Any = read_tensors(tmp_path / "Y.safetensors")["scores"]
    assert (written.shape, str(written.dtype)) == ((4, 2), "float64")


@pytest.mark.slow
def test_code_of_the_page_for_julia_runs(tmp_path: Path) -> None:
    assert run_julia("docs/onnx-in-julia.md", tmp_path).strip() == "blocks run: 4"


@pytest.mark.slow
def test_julia_code_that_answers_for_a_model_of_flux_runs(tmp_path: Path) -> None:
    run_julia("docs/why-does-my-onnx-differ.md", tmp_path, ("Flux",), "reference_answers.jl")
    written: Any = read_tensors(tmp_path / "Y.safetensors")["scores"]
    # The axes of Julia are those of the file reversed.
    assert (written.shape, str(written.dtype)) == ((4, 2), "float64")


def test_tables_of_operators_are_those_of_the_packages() -> None:
    needs("r/base")
    module = tables()
    known = module.operators_of_r()
    assert module.held(module.PAGES["r"]) == known
    # Both packages have the same operators in all opsets, which a test of its own says.
    shared = {name: since for name, since in known.items() if not name.startswith(ONLY_IN_R)}
    assert module.held(module.PAGES["julia"]) == shared
