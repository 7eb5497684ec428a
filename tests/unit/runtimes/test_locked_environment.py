"""Python environments of their own: made once and whole, or not at all."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from pathlib import Path

import pytest

from harness.errors import UnavailableError
from harness.runtimes import locked_environment, r, reticulate
from harness.runtimes.launch import environment
from harness.runtimes.locked_environment import LockedEnvironment
from harness.runtimes.registry import RUNTIMES, availability, lacks_environment, ready
from harness.runtimes.row import Availability, Runtime

ROW = RUNTIMES["r/onnxruntime"]
OWN = LockedEnvironment("r_onnxruntime")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, and nothing remembered of what could not be made."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("HARNESS_CACHE", str(cache))
    monkeypatch.setattr(locked_environment, "_NOT_MADE", {})
    return cache


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip as it is where no package index can be reached."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


def with_reticulate(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """R and reticulate as far as the registry can see."""
    found = {"R": "4.2.2", "jsonlite": "1.8.4", "reticulate": version}
    monkeypatch.setattr(r, "packages", lambda row: Availability(True, found))
    monkeypatch.setattr(r.shutil, "which", lambda name: "/usr/bin/Rscript")


def of_lock(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> LockedEnvironment:
    """An environment of another lock."""
    lock = folder / "other.lock"
    lock.write_text(text, encoding="utf-8")
    monkeypatch.setattr(LockedEnvironment, "shipped_lock", property(lambda self: lock))
    return LockedEnvironment("other")


def made_folders(cache: Path) -> list[str]:
    """What lies among the environments, files of locks left out."""
    return [path.name for path in (cache / "environments").iterdir() if path.is_dir()]


def test_the_lock_pins_everything_and_the_onnxruntime_of_the_harness() -> None:
    # Two onnxruntimes of one version differ by their host alone.
    lines = (Path(__file__).parents[3] / "requirements.lock").read_text(encoding="utf-8").splitlines()
    locked = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    for package in ("onnxruntime", "protobuf", "flatbuffers", "packaging"):
        assert OWN.packages[package] == locked[package]
    assert OWN.packages["numpy"].startswith("1.")
    assert all(re.fullmatch(r"[0-9.]+", version) for version in OWN.packages.values())


def test_an_environment_is_made_once_and_moved_into_its_place(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = of_lock("# no package at all\n", tmp_path, monkeypatch)
    assert not made.made
    made.make()
    assert made.made
    assert made_folders(empty_cache) == [made.folder.name]
    said = subprocess.run([str(made.python), "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True)
    assert said.stdout.strip() == str(made.folder)
    before = made.python.lstat().st_mtime_ns
    made.make()
    assert made.python.lstat().st_mtime_ns == before


def test_two_that_make_it_at_once_end_with_one(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = of_lock("# no package at all\n", tmp_path, monkeypatch)
    failures: list[BaseException] = []

    def make() -> None:
        try:
            made.make()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert made_folders(empty_cache) == [made.folder.name]


def test_another_lock_is_another_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = of_lock("numpy==1.26.4\n", tmp_path, monkeypatch).folder
    same = of_lock("# a word on it\nnumpy==1.26.4\n", tmp_path, monkeypatch).folder
    other = of_lock("numpy==1.26.3\n", tmp_path, monkeypatch).folder
    assert one == same != other


@pytest.mark.usefixtures("no_index")
def test_where_nothing_can_be_fetched_one_line_says_so_and_nothing_is_left(empty_cache: Path) -> None:
    with pytest.raises(
        UnavailableError, match=r"r_onnxruntime cannot be made: no package index that can be reached has flatbuffers 25"
    ) as caught:
        OWN.make()
    assert "\n" not in caught.value.line()
    assert made_folders(empty_cache) == []


@pytest.mark.usefixtures("no_index")
def test_what_could_not_be_made_is_not_tried_again_and_costs_the_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    with_reticulate("1.28", monkeypatch)
    tries = []
    make = LockedEnvironment.make
    monkeypatch.setattr(LockedEnvironment, "make", lambda self, tell: (tries.append(1), make(self, tell)))
    assert lacks_environment(ROW)
    for _ in range(2):
        here = ready(ROW)
        assert not here.installed
        assert "cannot be made" in here.reason
        assert here.install == "python -m harness prepare r/onnxruntime"
    assert len(tries) == 1


def test_asking_makes_nothing(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_reticulate("1.28", monkeypatch)
    here = availability(ROW)
    assert (here.installed, "not made yet" in here.reason) == (False, True)
    assert not empty_cache.exists()


def test_newer_reticulate_is_given_the_python_of_the_harness() -> None:
    for version, expected in {"1.28": OWN, "1.38.0": OWN, "1.39.0": None, "1.41": None, "2.0": None}.items():
        assert reticulate.interpreter(version, "numpy", OWN).environment == expected, version
    # ... but only where that holds the package.
    assert reticulate.interpreter("1.41", "no_such_package", OWN_WITH_IT).environment is OWN_WITH_IT


class _Holding(LockedEnvironment):
    packages = {"no_such_package": "1", "numpy": "1.26.4"}  # noqa: RUF012


OWN_WITH_IT = _Holding("r_onnxruntime")


def test_a_python_that_r_cannot_use_costs_the_runtime(tmp_path: Path, empty_cache: Path) -> None:
    rscript = tmp_path / "Rscript"
    rscript.write_text("#!/bin/sh\necho 'Error: Python shared library not found' >&2\nexit 1\n", encoding="utf-8")
    rscript.chmod(0o755)
    said = reticulate.broken(str(rscript), "1.28", Path("/nowhere/python"), "onnxruntime")
    assert said == "R cannot use Python's onnxruntime: Error: Python shared library not found"
    assert not empty_cache.exists()
    rscript.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    reticulate.broken.cache_clear()
    assert reticulate.broken(str(rscript), "1.28", Path("/nowhere/python"), "onnxruntime") == ""
    assert [path.name.rpartition("-")[0] for path in empty_cache.iterdir()] == ["reticulate-works"]


def test_the_worker_gets_its_python_and_no_path_to_the_packages_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_reticulate("1.28", monkeypatch)
    monkeypatch.setattr("harness.runtimes.r.library", lambda: tmp_path)
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    variables = environment(ROW, 1)
    assert variables["RETICULATE_PYTHON"] == str(OWN.python)
    assert "PYTHONPATH" not in variables
    assert environment(RUNTIMES["r/base"], 1)["PYTHONPATH"] == "/elsewhere"


def test_a_missing_reticulate_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(r, "_versions", lambda rscript, packages: {"R": "4.2.2", "jsonlite": "1.8.4"})
    monkeypatch.setattr(r.shutil, "which", lambda name: "/usr/bin/Rscript")
    here = ready(ROW)
    assert here.reason == "R package reticulate not installed"
    assert here.install.endswith("r-cran-reticulate")


def test_only_runtimes_with_an_environment_wait_for_one() -> None:
    assert not lacks_environment(RUNTIMES["python/onnxruntime"])
    row = Runtime("python/x", host="python", packages=("no-such-package",), reads=("onnx",), install="pip install it")
    assert ready(row) == availability(row)
