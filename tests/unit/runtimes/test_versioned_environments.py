"""A runtime in a version of its own: its environment is locked, made once and whole, and removed again."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import ScenarioError, UnavailableError
from harness.runtimes import locked_environment, made_environments, registry, resolution
from harness.runtimes.launch import command, environment
from harness.runtimes.locked_environment import LockedEnvironment, read_pins
from harness.runtimes.python import package_alone
from harness.runtimes.registry import RUNTIMES, availability, lacks_environment, packages, ready
from harness.runtimes.resolution import Pin, check_size, platform, reason
from harness.runtimes.row import Runtime, VersionedPackages
from tests.unit.runtimes.wheels import only_from, write_wheel

ROW = Runtime(
    "python/tiny",
    host="python",
    packages=("tinyengine",),
    reads=("onnx",),
    install="pip install tinyengine",
    versioned=VersionedPackages((("", "tinyengine"),), ("1.0",), ("tinybeside",)),
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, an engine in two versions, and no network."""
    wheels = tmp_path / "wheels"
    write_wheel(wheels, "tinyengine", "1.0.3", ("tinybelow<3",))
    write_wheel(wheels, "tinyengine", "1.1.0", ("tinybelow>=3",))
    write_wheel(wheels, "tinybelow", "2.5")
    write_wheel(wheels, "tinybelow", "3.0")
    write_wheel(wheels, "tinybeside", "0.1")
    only_from(wheels, monkeypatch)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(locked_environment, "_NOT_MADE", {})
    monkeypatch.setitem(RUNTIMES, ROW.name, ROW)
    registry._in_version.cache_clear()
    yield tmp_path / "cache"
    registry._in_version.cache_clear()


def in_version(version: str) -> tuple[Runtime, LockedEnvironment]:
    row = registry.runtime(f"python/tiny@{version}")
    assert row.environment is not None
    return row, row.environment


def folders(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "environments").iterdir() if path.is_dir())


def test_two_versions_lie_side_by_side_each_with_what_it_asks_for() -> None:
    for version, below in (("1.0", "2.5"), ("1.1", "3.0")):
        row, own = in_version(version)
        assert lacks_environment(row)
        assert "not made yet" in availability(row).reason
        told: list[str] = []
        here = ready(row, told.append)
        assert here.installed
        assert told == ["asking pip which versions fit", "fetching and installing 3 packages"]
        assert own.packages["tinybelow"] == below
        assert here.versions["tinyengine"].startswith(version)
        assert here.versions["environment.lock"] == own.lock_hash
        listed = {package.name: package.version for package in packages(row)}
        assert listed == {name: own.packages[name] for name in ("tinyengine", "tinybelow")}
        said = subprocess.run(
            [str(own.python), "-c", "import tinyengine; print(tinyengine.__version__)"], capture_output=True, text=True
        )
        assert said.stdout.strip() == here.versions["tinyengine"]
    assert in_version("1.0")[1].folder != in_version("1.1")[1].folder


def test_the_lock_names_the_file_of_every_package(tmp_path: Path) -> None:
    own = in_version("1.0")[1]
    own.make()
    assert own.lock.read_text().splitlines()[0] == f"# for {platform()}"
    assert [pin.name for pin in own.pins] == ["tinybelow", "tinybeside", "tinyengine"]
    for pin in own.pins:
        wheel = next((tmp_path / "wheels").glob(f"{pin.name}-{pin.version}*"))
        assert len(pin.sha256) == 64
        assert pin.sha256 == subprocess.run(["sha256sum", str(wheel)], capture_output=True, text=True).stdout.split()[0]
        assert Pin.read(pin.line) == pin


def ship(own: LockedEnvironment, lines: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = folder / "shipped.lock"
    lock.write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.setattr(LockedEnvironment, "shipped_lock", property(lambda self: lock))


def test_a_shipped_lock_gives_the_same_set_without_asking_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = in_version("1.0")[1]
    own.make()
    lines = own.lock.read_text().splitlines()
    write_wheel(tmp_path / "wheels", "tinyengine", "1.0.4")
    ship(own, lines, tmp_path, monkeypatch)
    assert not own.made
    told: list[str] = []
    own.make(told.append)
    assert told == ["fetching and installing 3 packages"]
    assert own.packages["tinyengine"] == "1.0.3"
    # Elsewhere its files are others: the same versions, and hashes of that platform's own.
    ship(own, ["# for cp399 vax", *lines[1:]], tmp_path, monkeypatch)
    made_environments.clean()
    told.clear()
    own.make(told.append)
    assert told[0] == "asking pip which versions fit"
    assert own.lock.read_text().splitlines() == lines


def test_a_file_that_is_not_the_locked_one_is_refused(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = in_version("1.0")[1]
    own.make()
    lines = own.lock.read_text().splitlines()
    ship(own, [*lines[:-1], lines[-1].rpartition(":")[0] + ":" + "0" * 64], tmp_path, monkeypatch)
    made_environments.clean()
    with pytest.raises(UnavailableError) as caught:
        own.make()
    assert "cannot be made" in caught.value.line()
    assert "HASHES" in caught.value.line()
    assert "\n" not in caught.value.line()
    assert folders(cache) == []


@pytest.mark.parametrize(
    ("requires", "version", "words"),
    [
        ((), "9.9", "cannot be resolved: there is no tinyengine 9.9 for Python 3"),
        (("tinybelow>=9",), "1.2", "tinybelow>=9"),
        (("tinybeside<0.1",), "1.2", "tinyengine 1.2.0 depends on tinybeside<0.1"),
    ],
)
def test_what_cannot_be_resolved_is_one_line_and_leaves_nothing(
    requires: tuple[str, ...], version: str, words: str, tmp_path: Path, cache: Path
) -> None:
    if requires:
        write_wheel(tmp_path / "wheels", "tinyengine", "1.2.0", requires)
        write_wheel(tmp_path / "wheels", "tinyothers", "1", ("tinyengine",))
    row, own = in_version(version)
    here = ready(row)
    assert not here.installed
    assert words in here.reason
    assert "\n" not in here.reason
    assert here.install == f"python -m harness prepare python/tiny@{version}"
    assert folders(cache) == []
    assert not own.made


def test_what_pip_says_becomes_one_line() -> None:
    assert "can be reached has onnx 3" in reason(
        ["ERROR: Could not find a version that satisfies the requirement onnx==3.* (from versions: none)"]
    )
    assert reason(["WARNING: x", "ERROR: [Errno 28] No space left on device", "bye"]).startswith("ERROR: [Errno 28]")
    assert reason([]) == "no reason given"


def test_cuda_is_fetched_only_where_somebody_allows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pins = [Pin("torch", "2.8.0"), Pin("nvidia-cudnn-cu12", "9.10.2.21"), Pin("numpy", "2.4.6")]
    monkeypatch.delenv(resolution.CUDA_VARIABLE, raising=False)
    with pytest.raises(UnavailableError, match=r"about 7 GB on the disk.*HARNESS_ALLOW_CUDA=1"):
        check_size(pins, tmp_path, "the environment x")
    check_size([Pin("torch", "2.13.0+cpu")], tmp_path, "the environment x")
    monkeypatch.setenv(resolution.CUDA_VARIABLE, "1")
    usage = resolution.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(resolution.shutil, "disk_usage", lambda path: usage._replace(free=10**11))
    check_size(pins, tmp_path, "the environment x")
    monkeypatch.setattr(resolution.shutil, "disk_usage", lambda path: usage._replace(free=6 * 10**9))
    with pytest.raises(UnavailableError, match=r"takes about 7\.0 GB, and 6\.0 GB are free"):
        check_size(pins, tmp_path, "the environment x")


def test_who_was_not_allowed_cuda_is_told_how_to_allow_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wheel(tmp_path / "wheels", "tinyengine", "2.0.0", ("nvidia-tiny",))
    write_wheel(tmp_path / "wheels", "nvidia-tiny", "12.1")
    monkeypatch.delenv(resolution.CUDA_VARIABLE, raising=False)
    row, own = in_version("2.0")
    here = ready(row)
    assert (here.installed, own.made) == (False, False)
    assert "packages of NVIDIA: 1" in here.reason
    assert here.install == "python -m harness prepare --allow-cuda python/tiny@2.0"
    monkeypatch.setattr(locked_environment, "_NOT_MADE", {})
    monkeypatch.setenv(resolution.CUDA_VARIABLE, "1")
    usage = resolution.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(resolution.shutil, "disk_usage", lambda path: usage._replace(free=10**11))
    assert ready(row).installed
    assert own.packages["nvidia-tiny"] == "12.1"


def test_one_that_was_killed_while_it_made_one_leaves_nothing_that_is_taken_for_whole(cache: Path) -> None:
    own = in_version("1.0")[1]
    code = (
        "import sys, time; from harness.runtimes import locked_environment as l\n"
        "l.pip = lambda *a: (print('half', flush=True), time.sleep(60))\n"
        f"l.LockedEnvironment({own.name!r}, {own.asked!r}).make()"
    )
    started = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "half\n"
    half = folders(cache)
    assert len(half) == 1
    assert half[0].startswith("making-")
    assert not own.made
    # While it lives, nobody removes what it makes ...
    assert [one.complete for one in made_environments.clean()[1]] == [False]
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    # ... and once it is gone, the next one begins anew and clears away what it left.
    own.make()
    assert folders(cache) == [own.folder.name]


def test_an_interrupted_one_cleans_up_after_itself(cache: Path) -> None:
    own = in_version("1.0")[1]
    code = (
        "from harness.runtimes import locked_environment as l\n"
        "def pip(*a): print('half', flush=True); raise KeyboardInterrupt\n"
        f"l.pip = pip; l.LockedEnvironment({own.name!r}, {own.asked!r}).make()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "half\n"
    assert folders(cache) == []


def test_a_second_process_waits_and_finds_it_made() -> None:
    own = in_version("1.0")[1]
    own.folder.parent.mkdir(parents=True)
    told: list[str] = []
    with own.folder.with_name(f"{own.folder.name}.lock").open("a+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        code = (
            f"from harness.runtimes.locked_environment import *; e = LockedEnvironment({own.name!r}, {own.asked!r})\n"
        )
        second = subprocess.Popen(
            [sys.executable, "-c", code + "e.make(lambda text: print(text, flush=True))"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert second.stdout is not None
        told.append(second.stdout.readline().strip())
        assert second.poll() is None
    assert second.wait(timeout=120) == 0
    assert told == ["waiting for another process that makes it"]
    assert own.made


def test_one_whose_python_is_gone_is_made_again() -> None:
    own = in_version("1.0")[1]
    own.make()
    own.python.unlink()
    own.python.symlink_to("/nowhere/python")
    assert not own.made
    own.make()
    assert own.made


def test_environments_are_listed_and_removed(cache: Path) -> None:
    assert made_environments.made_environments() == []
    assert made_environments.clean() == ([], [])
    for version in ("1.0", "1.1"):
        in_version(version)[1].make()
    assert [(one.name, one.complete) for one in made_environments.made_environments()] == [
        ("python-tiny@1.0", True),
        ("python-tiny@1.1", True),
    ]
    assert all(
        one.bytes > 1000 and one.packages["tinybeside"] == "0.1" for one in made_environments.made_environments()
    )
    assert [row.name for row in made_environments.runtimes_in_versions()] == ["python/tiny@1.0", "python/tiny@1.1"]
    with pytest.raises(
        ScenarioError, match=r"no environment python-tiny@1\.2.*there is python-tiny@1\.0, python-tiny@1\.1"
    ):
        made_environments.clean(["python/tiny@1.1", "python/tiny@1.2"])
    removed, left = made_environments.clean(["python/tiny@1.1"])
    assert ([one.name for one in removed], left) == (["python-tiny@1.1"], [])
    assert not in_version("1.1")[1].made
    assert in_version("1.0")[1].made
    made_environments.clean()
    assert folders(cache) == []


def test_the_worker_sees_the_harness_and_nothing_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    row, own = in_version("1.0")
    own.make()
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    variables = environment(row, 1)
    assert variables["PYTHONPATH"] == str(package_alone())
    assert [path.name for path in package_alone().iterdir()] == ["harness"]
    assert command(row) == [str(own.python), "-P", "-m", "harness.workers.serve", "python/tiny", row.worker]
    code = (
        "import sys, json, harness.workers.serve as s; print(json.dumps([s.__file__, sys.prefix, sorted(sys.modules)]))"
    )
    said = subprocess.run(
        [str(own.python), "-P", "-c", code], capture_output=True, text=True, env=variables, check=True
    )
    file, prefix, modules = json.loads(said.stdout)
    assert Path(file).resolve() == Path(registry.__file__).resolve().parents[1] / "workers" / "serve.py"
    assert prefix == str(own.folder)
    assert not {"typer", "pydantic", "yaml", "rich"} & set(modules)


def test_shipped_locks_are_complete_and_of_runtimes_that_there_are() -> None:
    for lock in (Path(registry.__file__).parent / "locks").glob("*.lock"):
        pins = read_pins(lock)
        assert pins, lock.name
        assert all(pin.name and pin.version for pin in pins)
        if "@" in lock.stem:
            name = lock.stem.replace("-", "/", 1)
            row = registry.runtime(name)
            assert row.environment is not None
            assert row.environment.shipped_lock == lock
            for asked in row.environment.asked:
                distribution, _, numbers = asked.removesuffix(".*").partition("==")
                held = row.environment.packages if not row.environment.made else {p.name: p.version for p in pins}
                if numbers:
                    assert f"{held[distribution]}.".startswith(f"{numbers}."), (lock.name, asked)
