"""What the registry says of a Julia that is missing, too old or broken, and what a worker of Julia is started with."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import UnavailableError, WorkerError
from harness.files.native import native_folder
from harness.runtimes import julia_installation
from harness.runtimes.julia_package import package, variables
from harness.runtimes.launch import command, environment
from harness.runtimes.process import Worker
from harness.runtimes.registry import RUNTIMES, availability

BASE = RUNTIMES["julia/base"]

needs_julia = pytest.mark.skipif(
    not availability(BASE).installed, reason=f"julia/base is not installed: {availability(BASE).reason}"
)


@pytest.fixture
def julia(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program ``julia`` that is the only one on the path, to be written by the test; nothing is remembered of it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return folder / "julia"


def write(program: Path, version: str, otherwise: str = "exit 0") -> None:
    program.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo "{version}"; exit 0; fi\n{otherwise}\n')
    program.chmod(0o755)


def test_julia_missing_says_how_to_get_it(julia: Path, tmp_path: Path) -> None:
    found = availability(BASE)
    assert (found.installed, found.reason) == (False, "julia is not on the path")
    assert "https://julialang.org/downloads/" in found.install
    with pytest.raises(UnavailableError, match="julia is not on the path; install it with: make setup") as error:
        Worker.start(BASE, tmp_path / "log")
    assert "\n" not in error.value.line()


@pytest.mark.parametrize(
    ("version", "installed", "words"),
    [
        ("julia version 1.4.2", False, "Julia 1.4.2 is too old; 1.5 or newer is needed"),
        ("julia version 0.6.4", False, "too old"),
        ("julia version 1.5.3", True, ""),
        ("julia version 1.10.1", True, ""),
        ("julia version 1.13.0-rc1", True, ""),
        ("julia version 2.0.0", True, ""),
        ("no manifest found", False, "does not say its version but 'no manifest found'"),
        ("", False, "does not say its version"),
    ],
)
def test_a_julia_that_is_too_old_is_told_by_its_version(julia: Path, version: str, installed: bool, words: str) -> None:
    write(julia, version)
    found = availability(BASE)
    assert found.installed is installed
    assert words in found.reason
    if installed:
        assert version.endswith(found.versions["julia"])


@pytest.mark.parametrize(
    ("otherwise", "words"),
    [
        ("kill -SEGV $$", "Julia 1.5.3 crashes at its first error (SIGSEGV)"),
        ("echo 'no system image' >&2; exit 1", "does not run (it ended with 1): no system image"),
    ],
)
def test_a_julia_that_breaks_is_not_available(julia: Path, otherwise: str, words: str) -> None:
    write(julia, "julia version 1.5.3", otherwise)
    found = availability(BASE)
    assert not found.installed
    assert words in found.reason


def test_that_julia_works_is_found_out_once(julia: Path, tmp_path: Path) -> None:
    write(julia, "julia version 1.6.7", f"echo run >> {tmp_path}/runs")
    assert availability(BASE).installed
    julia_installation._broken.cache_clear()
    assert availability(BASE).installed
    assert (tmp_path / "runs").read_text() == "run\n"


def test_a_package_that_does_not_load_is_one_error_with_the_end_of_what_julia_said(julia: Path) -> None:
    write(julia, "julia version 1.6.7", 'case "$*" in *PlainONNX*) echo "LoadError: no" >&2; exit 1;; esac')
    with pytest.raises(WorkerError, match=r"could not be loaded \(julia ended with 1\)") as error:
        package()
    assert error.value.log_tail == ["LoadError: no"]


def test_the_users_depots_come_after_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JULIA_DEPOT_PATH", raising=False)
    ours = variables(Path("/p"), Path("/d"))
    assert ours["JULIA_LOAD_PATH"] == "/p:@stdlib"
    # The empty last entry stands for Julia's own depots.
    assert ours["JULIA_DEPOT_PATH"] == "/d:"
    monkeypatch.setenv("JULIA_DEPOT_PATH", "/mine:/theirs")
    assert variables(Path("/p"), Path("/d"))["JULIA_DEPOT_PATH"] == "/d:/mine:/theirs:"


def test_a_level_of_optimisation_reaches_julia() -> None:
    assert "-O0" in command(replace(BASE, optimisation=0))
    assert not [part for part in command(BASE) if part.startswith("-O")]


@needs_julia
def test_the_package_is_compiled_apart_and_nothing_is_written_to_the_checkout() -> None:
    sources = native_folder() / "julia"
    before = sorted((str(path), path.stat().st_mtime_ns) for path in sources.rglob("*"))
    project, depot = package()
    assert sorted((str(path), path.stat().st_mtime_ns) for path in sources.rglob("*")) == before
    assert not project.is_relative_to(sources)
    assert list(depot.glob("compiled/v*/PlainONNX/*.ji"))
    assert not (project / "test").exists()
    # What is compiled is used: another start makes no other file in its place.
    compiled = {path: path.stat().st_ino for path in depot.rglob("*.ji")}
    subprocess.run([*command(BASE)[:-1], "using PlainONNX"], env=os.environ | variables(project, depot), check=True)
    assert {path: path.stat().st_ino for path in depot.rglob("*.ji")} == compiled


@needs_julia
def test_a_worker_of_julia_has_its_threads_pinned_and_reads_no_start_up_file(tmp_path: Path) -> None:
    pinned = environment(BASE, 1)
    assert pinned["JULIA_NUM_THREADS"] == pinned["OPENBLAS_NUM_THREADS"] == "1"
    assert "--startup-file=no" in command(BASE)
    with Worker.start(BASE, tmp_path / "log", threads=2) as worker:
        assert worker.request("describe", timeout=120)["threads"] == {"julia": 2, "blas": 2}
