"""Two runs at once on one store whose locks they do not share, as on a network file system without locks."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.quick import Quick
from tests.integration.results import assert_equal_results

#: A process that makes, damages and repairs artifacts with all others of its kind; locks are none.
CONTEND = """
import fcntl, random, sys
from pathlib import Path
fcntl.flock = lambda handle, how: None
from harness.files.artifact import Artifact
from harness.files.store import Store
root, seed = Path(sys.argv[1]), int(sys.argv[2])
random.seed(seed)
for _ in range(150):
    store, key = Store(root), random.choice("0123") * 64
    found = store.find("train", key)
    if isinstance(found, Artifact):
        # Another process may just damage it.
        assert key.startswith((found.folder / "weights").read_text()), "a file of another artifact"
        if random.random() < 0.3:
            (found.folder / "weights").write_text(key[:-1])
        continue
    with store.lock("train", key), store.making("train", key, resume=True) as (folder, record):
        mine = folder / "checkpoint"
        assert not mine.exists() or mine.read_text() == str(seed), "a folder of another process"
        mine.write_text(str(seed))
        (folder / "weights").write_text(key)
        assert mine.read_text() == str(seed), "a folder of another process"
        mine.unlink()
"""


def test_processes_without_locks_do_not_break_each_others_artifacts(tmp_path: Path) -> None:
    store = tmp_path / "exported"
    processes = [
        subprocess.Popen([sys.executable, "-c", CONTEND, str(store), str(seed)], stderr=subprocess.PIPE, text=True)
        for seed in range(3)
    ]
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    assert list((store / ".partial").iterdir()) == []


def unlocked(workplace: Quick, *arguments: str) -> list[str]:
    """The command line with locks that keep nobody out."""
    code = "import fcntl; fcntl.flock = lambda handle, how: None; from harness.cli.app import main; main()"
    return [sys.executable, "-c", code, *workplace.command(*arguments)[3:]]


def both(first: Quick, stores: tuple[Path, Path], *, locks: bool) -> None:
    """Run one scenario twice at once, each with results of its own; both end well."""
    processes = []
    for number, store in enumerate(stores):
        output = first.folder / f"results-{number}"
        arguments = ("run", str(first.scenario), "--store", str(store), "--output", str(output))
        command = first.command(*arguments) if locks else unlocked(first, *arguments)
        processes.append(
            subprocess.Popen(
                command,
                cwd=first.folder,
                env=first.environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    for process in processes:
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0, out + err


def check(workplace: Quick, whole: Quick, store: Path) -> None:
    """Both results are those of an undisturbed run, and the store is whole."""
    for number in range(2):
        assert_equal_results(workplace.folder / f"results-{number}" / "small", whole.results)
    checked = workplace.harness("store", "check", "--store", str(store), "--json")
    assert checked.returncode == 0, checked.stdout
    states = {entry["state"] for entry in json.loads(checked.stdout)["entries"]}
    assert states == {"whole"}


@pytest.mark.slow
def test_two_runs_without_locks_both_end_well(whole: Quick, tmp_path: Path) -> None:
    workplace = Quick(tmp_path, whole.programs)
    store = tmp_path / "exported"
    both(workplace, (store, store), locks=False)
    check(workplace, whole, store)


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Two places at which one folder is mounted; a lock taken through one is not seen through the other."""
    bindfs, unmount = shutil.which("bindfs"), shutil.which("fusermount") or shutil.which("fusermount3")
    if bindfs is None or unmount is None:
        pytest.skip("bindfs is not installed: apt-get install bindfs")
    places = (tmp_path / "one", tmp_path / "other")
    (tmp_path / "shared").mkdir()
    mounted = []
    try:
        for place in places:
            place.mkdir()
            done = subprocess.run([bindfs, str(tmp_path / "shared"), str(place)], capture_output=True, text=True)
            if done.returncode != 0:
                pytest.skip(f"bindfs cannot mount here: {done.stderr.strip()}")
            mounted.append(place)
        (places[0] / "lock").touch()
        with (places[0] / "lock").open() as first, (places[1] / "lock").open() as second:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pytest.skip("these mounts share their locks")
        yield places
    finally:
        for place in mounted:
            subprocess.run([unmount, "-u", str(place)], check=False)


@pytest.mark.slow
def test_two_runs_through_two_mounts_both_end_well(whole: Quick, tmp_path: Path, mounts: tuple[Path, Path]) -> None:
    workplace = Quick(tmp_path, whole.programs)
    both(workplace, (mounts[0] / "exported", mounts[1] / "exported"), locks=True)
    check(workplace, whole, tmp_path / "shared" / "exported")
