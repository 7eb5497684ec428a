"""Which host an R runtime gets, and what a broken rpy2 costs."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import ScenarioError
from harness.runtimes import r
from harness.runtimes.launch import command
from harness.runtimes.r import HOST_VARIABLE
from harness.runtimes.registry import RUNTIMES, availability, host_of
from harness.runtimes.row import Availability

TORCH = RUNTIMES["r/torch"]


@pytest.fixture(autouse=True)
def r_torch_is_there(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """R torch as far as the registry can see, and no host asked for."""
    monkeypatch.delenv(HOST_VARIABLE, raising=False)
    monkeypatch.setattr(r, "packages", lambda row: Availability(True, {"R": "4.2.2", "torch": "0.17.0"}))
    r.rpy2_broken.cache_clear()
    yield
    r.rpy2_broken.cache_clear()


def rpy2_that_says(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An rpy2 whose ``rinterface`` runs some code when imported."""
    package = folder / "rpy2"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "rinterface.py").write_text(code, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    # What works is remembered on disk; here it must be found out.
    monkeypatch.setenv("HARNESS_CACHE", str(folder / "cache"))
    spec = importlib.machinery.ModuleSpec("rpy2", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)


def test_rpy2_hosts_where_it_works_and_rscript_where_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rpy2_that_says("def initr(): pass\n", tmp_path, monkeypatch)
    assert host_of(TORCH) == "rpy2"
    assert command(TORCH) == [sys.executable, "-m", "harness.workers.rpy2_host", "r/torch"]
    monkeypatch.setenv(HOST_VARIABLE, "rscript")
    assert host_of(TORCH) == "rscript"
    assert command(TORCH)[-1] == "plainonnx::onnx_serve('torch')"
    assert host_of(RUNTIMES["r/base"]) == "rscript"


def test_an_rpy2_that_does_not_fit_r_costs_only_who_asked_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rpy2_that_says("raise ImportError('undefined symbol: R_getVar')\n", tmp_path, monkeypatch)
    assert host_of(TORCH) == "rscript"
    assert availability(TORCH).installed
    monkeypatch.setenv(HOST_VARIABLE, "rpy2")
    found = availability(TORCH)
    assert not found.installed
    assert "R_getVar" in found.reason
    assert "rpy2-rinterface==3.6.5" in found.install
    assert availability(RUNTIMES["r/base"]).installed


def test_a_missing_rpy2_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert host_of(TORCH) == "rscript"
    monkeypatch.setenv(HOST_VARIABLE, "rpy2")
    found = availability(TORCH)
    assert (found.installed, "not installed" in found.reason) == (False, True)


def test_a_host_that_there_is_not_is_a_mistake_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOST_VARIABLE, "webr")
    with pytest.raises(ScenarioError, match="webr"):
        host_of(TORCH)


def test_r_torch_without_its_libtorch_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(r.shutil, "which", lambda name: "/usr/bin/Rscript")
    found = {"R": "4.2.2", "jsonlite": "1.8.4", "torch": "0.17.0"}
    monkeypatch.setattr(r, "_versions", lambda rscript, packages: found)
    monkeypatch.setenv(HOST_VARIABLE, "rscript")
    here = availability(TORCH)
    assert not here.installed
    assert "libtorch" in here.reason
    assert "torch::install_torch()" in here.install
    found["libtorch"] = "2.8.0"
    assert availability(TORCH).installed
    del found["torch"]
    assert "install.packages('torch')" in availability(TORCH).install
