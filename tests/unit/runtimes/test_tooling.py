"""Packages of runtimes as package managers wrote them down, found without importing any of them."""

import shutil
import subprocess
import sys

import pytest

from harness.runtimes.julia_package import julia_packages
from harness.runtimes.pool import Workers
from harness.runtimes.python import DISTRIBUTIONS
from harness.runtimes.r_package import r_packages
from harness.runtimes.registry import RUNTIMES, availability, packages
from harness.runtimes.tooling import python_packages


def installed(folder, name, version, *, requires=(), sizes=None):
    """A distribution as pip leaves it; ``sizes``: bytes by file, None for a file that RECORD has no size of."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    (info / "METADATA").write_text("\n".join(lines + [f"Requires-Dist: {line}" for line in requires]) + "\n")
    if sizes is not None:
        rows = [f"{file},sha256=x,{'' if size is None else size}" for file, size in sizes.items()]
        (info / "RECORD").write_text("\n".join(rows) + "\n")


def test_requirements_are_followed_through_markers_extras_and_circles(tmp_path):
    installed(
        tmp_path,
        "Engine",
        "2.0",
        requires=[
            "my_library[fast]>=1; python_version >= '3.0'",
            "elsewhere; sys_platform == 'win32'",
            "unused; extra == 'gpu'",
            "missing",
        ],
        sizes={"engine/a.so": 1000, "engine/__pycache__/a.pyc": None},
    )
    installed(tmp_path, "My.Library", "1.5", requires=["engine"], sizes={"my.py": 10})
    installed(tmp_path, "unused", "1", sizes={"u.py": 7})
    installed(tmp_path, "elsewhere", "1", sizes={"e.py": 7})
    found = python_packages(["engine"], [str(tmp_path)])
    assert [(one.name, one.version, one.bytes, one.direct) for one in found] == [
        ("Engine", "2.0", 1000, True),
        ("My.Library", "1.5", 10, False),
    ]


def test_a_distribution_without_a_list_of_files_has_no_size(tmp_path):
    installed(tmp_path, "system-one", "1.0")
    assert [one.bytes for one in python_packages(["system-one"], [str(tmp_path)])] == [None]


def test_warnings_of_a_worker_are_lines_of_its_logs_and_not_of_source(tmp_path):
    workers = Workers(tmp_path, threads=1)
    workers.note("r/base", 2, 1.5, 0.0)
    workers.note("python/pytorch", 1, 0.5, 0.0)
    (tmp_path / "timing-r-base.log").write_text("")
    (tmp_path / "r-base.log").write_text("loading\nWarning message:\npackage 'x' was built under R 4.3\n")
    (tmp_path / "timing-python-pytorch.log").write_text(
        "a.py:3: UserWarning: old\n  warnings.warn('old')\na.py:3: UserWarning: old\n  warnings.warn('old')\n"
    )
    assert workers.record() == {
        "python/pytorch": {
            "starts": 1,
            "start_seconds": 0.5,
            "warnings": [{"line": "a.py:3: UserWarning: old", "times": 2}],
        },
        "r/base": {
            "starts": 2,
            "start_seconds": 1.5,
            "warnings": [{"line": "Warning message: package 'x' was built under R 4.3", "times": 1}],
        },
    }


def test_no_framework_is_imported_for_it():
    program = (
        "import sys; from harness.runtimes.registry import RUNTIMES, packages;"
        "packages(RUNTIMES['python/onnxruntime']); packages(RUNTIMES['python/pytorch']);"
        "print([name for name in ('torch', 'onnx', 'onnxruntime', 'rpy2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("name", [name for name, row in RUNTIMES.items() if row.language == "python"])
def test_an_installed_runtime_has_its_packages_and_says_which_it_asked_for(name):
    row = RUNTIMES[name]
    if not (here := availability(row)).installed:
        pytest.skip(here.reason)
    found = packages(row)
    names = {one.name.lower().replace("_", "-") for one in found if one.direct}
    assert len(names) == len(row.packages)
    assert all(names & set(DISTRIBUTIONS.get(package, (package,))) for package in row.packages)
    assert all(one.bytes for one in found if one.direct)
    assert {one.version for one in found if one.direct} == {here.versions[package] for package in row.packages}


def test_packages_of_r_are_followed_and_measured():
    if shutil.which("Rscript") is None:
        pytest.skip("Rscript is not on the path")
    if not (here := availability(RUNTIMES["r/base"])).installed:
        pytest.skip(here.reason)
    found = {one.name: one for one in r_packages(("plainonnx", "jsonlite", "no.such.package"))}
    assert {"plainonnx", "jsonlite"} <= set(found)
    assert found["jsonlite"].version == here.versions["jsonlite"]
    assert all(one.bytes and one.bytes > 10_000 for one in found.values())
    # What comes with R is no effort.
    assert not set(found) & {"R", "base", "utils", "methods", "stats", "no.such.package"}


@pytest.mark.parametrize("name", [name for name, row in RUNTIMES.items() if row.language == "julia"])
def test_packages_of_julia_are_followed_and_measured(name):
    row = RUNTIMES[name]
    if not (here := availability(row)).installed:
        pytest.skip(here.reason)
    found = {one.name: one for one in packages(row)}
    assert {one.name for one in found.values() if one.direct} >= {"PlainONNX", *row.packages}
    assert all(found[package].version == here.versions[package] for package in row.packages)
    assert all(one.bytes and one.bytes > 200 for one in found.values())
    assert found["PlainONNX"].bytes > 100_000
    # What comes with Julia is no effort, nor is what only an extension asks for.
    assert not set(found) & {"LinearAlgebra", "Artifacts", "TOML", "CUDA"}
    if name == "julia/base":
        assert set(found) == {"PlainONNX"}
    if name == "julia/flux":
        assert {"NNlib", "Zygote", "Optimisers"} <= set(found)
        assert not found["NNlib"].direct
        assert ("PythonCall" in found) == ("juliacall" in found) == ("juliacall" in here.versions)
    if name == "julia/onnxruntime":
        # Its library is an artifact beside the package.
        assert found["ONNXRunTime"].bytes > 10_000_000


def test_without_julia_there_are_no_packages_of_julia(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert julia_packages(("PlainONNX", "Flux")) == []
