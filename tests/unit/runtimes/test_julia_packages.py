"""Julia inside Python and apart, and what is said of packages that an engine is an extension for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.errors import ScenarioError, WorkerError
from harness.runtimes import julia, julia_package, process
from harness.runtimes.launch import command, environment
from harness.runtimes.process import Worker
from harness.runtimes.registry import RUNTIMES, availability, host_of
from harness.workers.juliacall_host import main

FLUX = RUNTIMES["julia/flux"]
BASE = RUNTIMES["julia/base"]
#: Flux's identity in Julia's General registry.
FLUX_UUID = "587475ba-b771-5e3f-ad9e-33799f191a9c"

needs_julia = pytest.mark.skipif(
    not availability(BASE).installed, reason=f"julia/base is not installed: {availability(BASE).reason}"
)

needs_flux = pytest.mark.skipif(
    not availability(FLUX).installed, reason=f"julia/flux is not installed: {availability(FLUX).reason}"
)
needs_juliacall = pytest.mark.skipif(
    bool(julia.juliacall_broken()), reason=f"juliacall does not host Julia here: {julia.juliacall_broken()}"
)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program ``julia`` that is the only one on the path, to be written by the test; nothing is remembered of it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    for variable in (julia.HOST_VARIABLE, "PYTHON_JULIACALL_PROJECT", "JULIA_PROJECT"):
        monkeypatch.delenv(variable, raising=False)
    return folder / "julia"


@pytest.fixture
def environment_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an environment that Julia starts in, to be written by the test, instead of the user's own."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.setenv("JULIA_PROJECT", str(folder))
    # The user's shared environment would have what this one lacks.
    monkeypatch.setenv("JULIA_LOAD_PATH", "@:@stdlib")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    for variable in (julia.HOST_VARIABLE, "PYTHON_JULIACALL_PROJECT"):
        monkeypatch.delenv(variable, raising=False)
    return folder


def write(program: Path, version: str, *packages: str) -> None:
    """A Julia of a version whose environment holds packages, each a name and a version."""
    lines = "".join(f'echo "package {package}"\n' for package in packages)
    program.write_text(
        f'#!/bin/sh\nif [ "$1" = --version ]; then echo "julia version {version}"; exit 0; fi\n'
        f'case "$*" in *find_package*) echo "project {program.parent}"\n{lines};; esac\n'
    )
    program.chmod(0o755)


def test_flux_missing_says_how_to_install_it(program: Path) -> None:
    write(program, "1.10.1")
    found = availability(FLUX)
    assert (found.installed, found.reason) == (False, "Julia package Flux not installed")
    assert 'Pkg.add("Flux")' in found.install


def test_a_julia_without_extensions_serves_base_alone(program: Path) -> None:
    write(program, "1.5.3", "Flux 0.11.1")
    assert availability(RUNTIMES["julia/base"]).installed
    found = availability(FLUX)
    assert not found.installed
    assert found.reason == "Julia 1.5.3 has no package extensions; 1.9 or newer is needed"
    # Set-up would bring that very Julia again.
    assert found.install.startswith("Julia 1.9 or newer from https://julialang.org/downloads/, then: julia -e")


def test_versions_and_the_manifest_are_told(program: Path) -> None:
    write(program, "1.10.1", "Flux 0.16.9")
    (program.parent / "Manifest.toml").write_text("# a manifest\n")
    found = availability(FLUX)
    assert found.installed
    assert found.versions["Flux"] == "0.16.9"
    assert found.versions["Manifest.toml"].startswith("sha256:")


def test_juliacall_hosts_where_both_halves_are_of_one_version(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(julia.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(julia, "juliacall_version", lambda: "0.9.34")
    write(program, "1.10.1", "Flux 0.16.9", "PythonCall 0.9.34")
    assert host_of(FLUX) == "juliacall"
    assert command(FLUX) == [sys.executable, "-m", "harness.workers.juliacall_host", "julia/flux", "Flux"]
    monkeypatch.setenv(julia.HOST_VARIABLE, "julia")
    assert command(FLUX)[-1] == 'import Flux, PlainONNX; PlainONNX.serve("flux")'


def test_halves_of_two_versions_cost_only_who_asked_for_juliacall(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(julia.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(julia, "juliacall_version", lambda: "0.9.20")
    write(program, "1.10.1", "Flux 0.16.9", "PythonCall 0.9.34")
    assert host_of(FLUX) == "julia"
    assert availability(FLUX).installed
    monkeypatch.setenv(julia.HOST_VARIABLE, "juliacall")
    found = availability(FLUX)
    assert not found.installed
    assert "juliacall 0.9.20 wants the Julia package PythonCall 0.9.20, not 0.9.34" in found.reason


def test_juliacall_asked_for_without_pythoncall_resolves_its_own_packages(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(julia.importlib.util, "find_spec", lambda name: object())
    write(program, "1.10.1", "Flux 0.16.9")
    assert host_of(FLUX) == "julia"
    monkeypatch.setenv(julia.HOST_VARIABLE, "juliacall")
    assert availability(FLUX).installed
    # Nothing says which Julia or project to take: juliacall decides.
    assert not {"PYTHON_JULIACALL_EXE", "PYTHON_JULIACALL_PROJECT"} & set(julia.juliacall_variables(1))


def test_a_host_that_there_is_not_is_a_mistake_of_the_caller(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(julia.HOST_VARIABLE, "pyjulia")
    with pytest.raises(ScenarioError, match="pyjulia"):
        host_of(FLUX)


def test_the_host_wants_a_runtime_of_julia(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["r/torch"]) == 2
    assert "usage" in capsys.readouterr().err


@needs_flux
@pytest.mark.parametrize("host", ["julia", pytest.param("juliacall", marks=needs_juliacall)])
def test_both_hosts_answer_as_who_they_are(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(julia.HOST_VARIABLE, host)
    variables = environment(FLUX, 1)
    assert "@stdlib" in variables["JULIA_LOAD_PATH"]
    with Worker.start(FLUX, tmp_path / "log") as worker:
        said = worker.request("describe", timeout=300)
        assert (said["runtime"], said["host"]) == ("julia/flux", host)
        assert said["threads"]["julia"] == 1
        pid = worker.pid
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.slow
@needs_flux
@needs_juliacall
def test_a_project_that_does_not_resolve_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "project"
    empty.mkdir()
    (empty / "Project.toml").write_text("")
    monkeypatch.setenv(julia.HOST_VARIABLE, "juliacall")
    monkeypatch.setenv("PYTHON_JULIACALL_EXE", julia.shutil.which("julia") or "julia")
    monkeypatch.setenv("PYTHON_JULIACALL_PROJECT", str(empty))
    # The user's own environment would have what this one lacks.
    monkeypatch.setenv("HOME", str(tmp_path))
    with Worker.start(FLUX, tmp_path / "log") as worker, pytest.raises(WorkerError) as error:
        worker.request("describe", timeout=300)
    assert "\n" not in error.value.line()
    assert "juliacall does not start Julia" in error.value.what


def test_an_environment_that_julia_cannot_read_is_not_taken_for_empty(program: Path) -> None:
    program.write_text(
        '#!/bin/sh\nif [ "$1" = --version ]; then echo "julia version 1.10.1"; exit 0; fi\n'
        'case "$*" in *find_package*) echo "could not parse Project.toml" >&2; exit 1;; esac\n'
    )
    program.chmod(0o755)
    found = availability(FLUX)
    assert not found.installed
    assert "does not tell what its environment holds: could not parse Project.toml" in found.reason
    assert "Pkg.resolve()" in found.install


@needs_julia
def test_an_extension_that_did_not_load_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        process, "command", lambda row: julia_package.command('import PlainONNX; PlainONNX.serve("flux")')
    )
    with Worker.start(BASE, tmp_path / "log") as worker:
        with pytest.raises(WorkerError, match="julia/flux is a package extension that has not been loaded") as error:
            worker.request("describe", timeout=120)
        assert "\n" not in error.value.line()
        assert "Flux" in error.value.what


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ('write(answers, "[ Info: Precompiling Flux\\n"); flush(answers); sleep(60)', "not a JSON object"),
        ("ccall(:abort, Cvoid, ())", "was ended by SIGABRT while it was asked 'describe'"),
        ('println(stderr, "no memory left"); exit(3)', "ended with exit code 3 while it was asked 'describe'"),
    ],
    ids=["prints on its channel", "crashes", "ends"],
)
@needs_julia
def test_a_julia_that_dies_or_prints_on_its_channel_is_one_error(
    code: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = 'answers = Base.fdio(parse(Int, ENV["HARNESS_ANSWERS_FD"])); println(stderr, "begun"); flush(stderr); '
    monkeypatch.setattr(process, "command", lambda row: julia_package.command(begun + code))
    worker = Worker.start(BASE, tmp_path / "log")
    with pytest.raises(WorkerError) as error:
        worker.request("describe", timeout=60)
    assert words in error.value.what
    assert "\n" not in error.value.line()
    assert error.value.log_tail
    assert (tmp_path / "log").read_text().startswith("begun\n")
    assert not worker.alive


@needs_flux
@pytest.mark.parametrize(
    ("project", "manifest", "words"),
    [
        ("[deps\nFlux = ", "", "does not tell what its environment holds"),
        # Asked for and never resolved.
        (f'[deps]\nFlux = "{FLUX_UUID}"\n', "", "Julia package Flux not installed"),
        # Resolved to files that are gone.
        (
            f'[deps]\nFlux = "{FLUX_UUID}"\n',
            f'julia_version = "1.10.1"\nmanifest_format = "2.0"\n[[deps.Flux]]\nuuid = "{FLUX_UUID}"\n'
            f'version = "0.16.9"\ngit-tree-sha1 = "{"0" * 40}"\n',
            "Julia package Flux not installed",
        ),
    ],
    ids=["unreadable", "not resolved", "files gone"],
)
def test_a_project_that_does_not_resolve_costs_what_needs_it(
    project: str, manifest: str, words: str, environment_of: Path
) -> None:
    (environment_of / "Project.toml").write_text(project)
    if manifest:
        (environment_of / "Manifest.toml").write_text(manifest)
    found = availability(FLUX)
    assert not found.installed
    assert words in found.reason
    assert "\n" not in found.reason
    assert availability(BASE).installed


@needs_flux
def test_a_flux_that_does_not_load_is_one_error(environment_of: Path, tmp_path: Path) -> None:
    package = environment_of / "Flux"
    (package / "src").mkdir(parents=True)
    named = f'name = "Flux"\nuuid = "{FLUX_UUID}"\nversion = "0.16.9"\n'
    (package / "Project.toml").write_text(named)
    (package / "src" / "Flux.jl").write_text("module Flux\nimport NotThere\nend\n")
    (environment_of / "Project.toml").write_text(f'[deps]\nFlux = "{FLUX_UUID}"\n')
    (environment_of / "Manifest.toml").write_text(
        f'julia_version = "1.10.1"\nmanifest_format = "2.0"\n[[deps.Flux]]\npath = "Flux"\nuuid = "{FLUX_UUID}"\n'
        'version = "0.16.9"\n'
    )
    assert availability(FLUX).installed
    with pytest.raises(WorkerError, match="PlainONNX beside Flux could not be loaded") as error:
        Worker.start(FLUX, tmp_path / "log")
    assert "\n" not in error.value.line()
    assert "NotThere" in error.value.what
