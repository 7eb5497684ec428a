"""Artifacts are whole or absent, and two runs do not write the same folder."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import StoreError
from harness.files.artifact import Artifact, Damage
from harness.files.atomic import write_atomically
from harness.files.digests import content_hash
from harness.files.disk_errors import explained
from harness.files.locks import exclusive
from harness.files.owner import Owner, OwnerState, owned_name
from harness.files.store import Store

KEY = "0123456789abcdef" * 4


def make(store: Store, content: str = "content", *, resume: bool = False) -> None:
    with store.making("export", KEY, resume=resume) as (folder, record):
        (folder / "model.onnx").write_text(content)
        record["step"] = "export"


def flip(path: Path, position: int) -> None:
    """Change the lowest bit of one byte."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def aged(path: Path, days: float = 3.0) -> None:
    """Let a folder and everything in it be as old as that."""
    then = time.time() - days * 86400
    for one in [*path.rglob("*"), path]:
        os.utime(one, (then, then))
    if path.parent.name != ".partial":
        os.utime(path.parent, (then, then))


def test_an_artifact_is_there_once_it_is_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.find("export", KEY) is None
    make(store)
    found = Store(tmp_path).find("export", KEY)
    assert isinstance(found, Artifact)
    assert found.record["step"] == "export"
    assert found.record["files"] == {"model.onnx": {"bytes": 7, "sha256": hashlib.sha256(b"content").hexdigest()}}
    assert not any((tmp_path / ".partial").iterdir())


def test_an_error_leaves_nothing_half_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.making("export", KEY) as (folder, _):
        (folder / "model.onnx").write_text("half")
        raise RuntimeError
    assert store.find("export", KEY) is None
    assert not store.folder("export", KEY).exists()
    assert not any((tmp_path / ".partial").iterdir())


def test_what_can_be_resumed_is_kept_for_the_next_attempt(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt), store.making("train", KEY, resume=True) as (folder, _):
        (folder / "epoch").write_text("3")
        raise KeyboardInterrupt
    assert store.find("train", KEY) is None
    with store.making("train", KEY, resume=True) as (folder, _):
        assert (folder / "epoch").read_text() == "3"
    assert isinstance(store.find("train", KEY), Artifact)


@pytest.mark.parametrize("name", ["model.onnx", "step.json"])
@pytest.mark.parametrize("position", [0, 3, -2])
def test_a_flipped_byte_anywhere_is_noticed_and_made_anew(tmp_path: Path, name: str, position: int) -> None:
    make(Store(tmp_path))
    path = Store(tmp_path).folder("export", KEY) / name
    flip(path, position)
    found = Store(tmp_path).find("export", KEY)
    assert isinstance(found, Damage)
    assert str(found).startswith(f"{path.parent.name}: {name} ")
    store = Store(tmp_path)
    make(store)
    assert isinstance(store.find("export", KEY), Artifact)
    assert isinstance(Store(tmp_path).find("export", KEY), Artifact)


def test_every_byte_of_the_record_counts(tmp_path: Path) -> None:
    make(Store(tmp_path))
    path = Store(tmp_path).folder("export", KEY) / "step.json"
    whole = path.read_bytes()
    for position in range(len(whole)):
        flip(path, position)
        found = Store(tmp_path).find("export", KEY)
        # Of white space nothing depends on which it is.
        assert isinstance(found, Damage) or json.loads(path.read_bytes()) == json.loads(whole), position
        path.write_bytes(whole)


def test_what_is_wrong_with_a_file_is_told(tmp_path: Path) -> None:
    def found(change: Callable[[Path], None]) -> str:
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        make(Store(tmp_path / "store"))
        change(Store(tmp_path / "store").folder("export", KEY))
        return str(Store(tmp_path / "store").find("export", KEY)).partition(": ")[2]

    assert found(lambda folder: (folder / "model.onnx").write_text("con")) == "model.onnx has 3 bytes, not 7"
    assert found(lambda folder: (folder / "model.onnx").unlink()) == "model.onnx is missing"
    assert found(lambda folder: (folder / "step.json").unlink()) == "step.json is missing"
    assert "was written" in found(lambda folder: (folder / "model.onnx").write_text("CONTENT"))


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "{", "null", '{"sha256": 3}', '{"key": "x", "files": []}', "[" * 100_000]
)
def test_a_broken_record_is_damage(tmp_path: Path, content: str) -> None:
    make(Store(tmp_path))
    (Store(tmp_path).folder("export", KEY) / "step.json").write_text(content)
    assert isinstance(Store(tmp_path).find("export", KEY), Damage)


def test_an_artifact_under_the_name_of_another_is_damage(tmp_path: Path) -> None:
    make(Store(tmp_path))
    other = "f" * 64
    Store(tmp_path).folder("export", KEY).rename(Store(tmp_path).folder("export", other))
    assert isinstance(Store(tmp_path).find("export", other), Damage)


def test_of_two_that_are_made_at_once_the_first_stays(tmp_path: Path) -> None:
    first, second = Store(tmp_path), Store(tmp_path)
    with second.making("export", KEY) as (theirs, _):
        (theirs / "model.onnx").write_text("second")
        make(first, "first")
        opened = (first.folder("export", KEY) / "model.onnx").stat().st_ino
    assert (second.folder("export", KEY) / "model.onnx").read_text() == "first"
    assert (second.folder("export", KEY) / "model.onnx").stat().st_ino == opened
    assert isinstance(second.find("export", KEY), Artifact)
    assert not any((tmp_path / ".partial").iterdir())


def test_a_reader_finds_every_file_while_an_artifact_is_repaired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def two(store: Store) -> None:
        with store.making("export", KEY) as (folder, _):
            (folder / "model.onnx").write_text("model")
            (folder / "deep").mkdir()
            (folder / "deep" / "item.json").write_text("item")

    two(Store(tmp_path))
    folder = Store(tmp_path).folder("export", KEY)
    flip(folder / "model.onnx", 1)
    replace, seen = Path.replace, []

    def watched(self: Path, target: Path) -> Path:
        seen.append(all((folder / name).exists() for name in ("model.onnx", "deep/item.json", "step.json")))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    two(Store(tmp_path))
    assert seen
    assert all(seen)
    assert (folder / "model.onnx").read_text() == "model"


def test_a_file_in_place_of_an_artifact_gives_way(tmp_path: Path) -> None:
    tmp_path.joinpath(f"export-{KEY[:16]}").write_text("")
    assert isinstance(Store(tmp_path).find("export", KEY), Damage)
    make(Store(tmp_path))
    assert isinstance(Store(tmp_path).find("export", KEY), Artifact)


def training_of(tmp_path: Path, owner: Owner, epoch: str = "3") -> Path:
    """A training's folder as a process of that owner leaves it when it is killed."""
    folder = tmp_path / ".partial" / f"train-{KEY[:16]}.{owner}.0123abcd" / f"train-{KEY[:16]}"
    folder.mkdir(parents=True)
    (folder / "epoch").write_text(epoch)
    (folder / ".weights.safetensors.17.partial").write_text("cut off")
    return folder


def begun(tmp_path: Path) -> bool:
    """Whether a new attempt begins with what the earlier one left."""
    with Store(tmp_path).making("train", KEY, resume=True) as (folder, _):
        found = (folder / "epoch").exists()
        (folder / "epoch").write_text("4")
    assert not list(Store(tmp_path).folder("train", KEY).glob(".*"))
    return found


def test_a_training_goes_on_from_that_of_a_dead_process(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    training_of(tmp_path, replace(Owner.current(), pid=process.pid))
    assert begun(tmp_path)
    assert not any((tmp_path / ".partial").iterdir())


def test_a_training_does_not_go_on_from_that_of_a_living_process(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        theirs = training_of(tmp_path, Owner.of(process.pid))
        aged(theirs)
        assert not begun(tmp_path)
        assert (theirs / "epoch").read_text() == "3"
        process.communicate(b"\n")


def test_the_id_of_a_dead_process_may_be_that_of_another_now(tmp_path: Path) -> None:
    training_of(tmp_path, replace(Owner.current(), started=1_000_000_000))
    assert begun(tmp_path)


@pytest.mark.parametrize("old", [False, True])
def test_a_training_of_another_host_is_taken_over_when_nobody_has_touched_it_for_long(
    tmp_path: Path, old: bool
) -> None:
    theirs = training_of(tmp_path, Owner("elsewhere-4026531836", 17, 1_700_000_000))
    if old:
        aged(theirs)
    assert begun(tmp_path) is old
    assert theirs.exists() is not old


def test_a_process_that_nobody_has_waited_for_is_dead() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        owner = Owner.of(process.pid)
        assert owner.state() is OwnerState.ALIVE
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert owner.state() is OwnerState.DEAD


def test_a_name_tells_its_owner() -> None:
    name = owned_name(".cells.json", ".part")
    assert name.startswith(".cells.json.")
    assert name.endswith(".part")
    assert Owner.in_name(name) == Owner.current()
    assert owned_name(".cells.json", ".part") != name
    assert Owner.in_name("harness-of-somebody-else") is None


def test_a_run_sweeps_writes_that_were_cut_off_in_its_results(tmp_path: Path) -> None:
    dead = replace(Owner.current(), started=1)
    for folder in (tmp_path, tmp_path / "tables"):
        folder.mkdir(exist_ok=True)
        (folder / f".cells.csv.{dead}.0123abcd.part").touch()
    kept = {tmp_path / "my.part", tmp_path / f".cells.csv.{Owner.current()}.0123abcd.part"}
    for path in kept:
        path.touch()
    with exclusive(tmp_path):
        assert set(tmp_path.rglob("*.part")) == kept


def test_a_file_system_without_locks_lets_everybody_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    store = Store(tmp_path)
    with store.lock("export", KEY), store.lock("export", KEY):
        make(store)
    assert isinstance(store.find("export", KEY), Artifact)


def test_a_run_in_the_same_folder_is_seen_where_locks_are_not_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcntl.flock", lambda handle, how: None)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        (tmp_path / ".lock").write_text(f"run.{Owner.of(process.pid)}.0123abcd")
        with pytest.raises(StoreError, match=str(process.pid)), exclusive(tmp_path):
            pass
        process.communicate(b"\n")
    with exclusive(tmp_path):
        pass


def test_two_that_take_over_one_training_do_not_share_it(tmp_path: Path) -> None:
    training_of(tmp_path, replace(Owner.current(), started=1_000_000_000))
    with (
        Store(tmp_path).making("train", KEY, resume=True) as (first, _),
        Store(tmp_path).making("train", KEY, resume=True) as (second, _),
    ):
        assert first != second
        assert [(folder / "epoch").exists() for folder in (first, second)] == [True, False]


def test_a_start_sweeps_what_killed_runs_left_and_nothing_else(tmp_path: Path) -> None:
    dead = replace(Owner.current(), started=1_000_000_000)
    partial = tmp_path / ".partial"
    kept = [training_of(tmp_path, dead).parent]
    for stem, owner, stays in (
        ("export-1", dead, False),
        ("export-2", Owner.current(), True),
        ("export-3", Owner("elsewhere-1", 17, 1_700_000_000), True),
    ):
        folder = partial / f"{stem}.{owner}.0123abcd"
        folder.mkdir()
        kept += [folder] if stays else []
    unknown = partial / "export-4"
    unknown.mkdir()
    aged(unknown)
    Store(tmp_path).sweep()
    assert sorted(partial.iterdir()) == sorted(kept)
    aged(kept[0], days=40)
    Store(tmp_path).sweep()
    assert kept[0] not in partial.iterdir()


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "may not be written"), (errno.EROFS, "read-only")],
)
def test_errors_of_the_file_system_say_what_to_do(tmp_path: Path, number: int, words: str) -> None:
    with pytest.raises(StoreError, match=words) as caught, explained(tmp_path):
        raise OSError(number, os.strerror(number), str(tmp_path / "x"))
    assert caught.value.hint


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(StoreError, match=r"is in the way|part of its path is a file"), exclusive(tmp_path / "results"):
        pass
    with pytest.raises(StoreError), Store(tmp_path / "results").making("export", KEY):
        pass


def test_an_atomic_write_that_hits_the_limit_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    path.write_text("old")
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from harness.files.atomic import write_atomically; from harness.errors import StoreError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_atomically(Path(sys.argv[1]), b'x' * 5000)\n"
        "except StoreError as error: print(error.line())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "grew past the limit" in done.stdout
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.md"]


def test_a_second_run_in_the_same_folder_is_told_so(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path),
        pytest.raises(StoreError, match=f"another run of this scenario is writing here.*{os.getpid()}"),
        exclusive(tmp_path),
    ):
        pass
    with exclusive(tmp_path):
        pass


def test_two_makers_of_one_artifact_wait_for_each_other(tmp_path: Path) -> None:
    store, order = Store(tmp_path), []

    def second() -> None:
        with store.lock("export", KEY):
            order.append("second")

    with store.lock("export", KEY):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values))
def test_the_hash_does_not_depend_on_the_order_of_keys(value: dict[str, object]) -> None:
    assert content_hash(value) == content_hash(dict(reversed(value.items())))


@given(json_values, json_values)
def test_different_values_have_different_hashes(first: object, second: object) -> None:
    if content_hash(first) == content_hash(second):
        assert first == second


def test_writing_makes_the_folder(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b" / "c.txt", "text")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "text"
