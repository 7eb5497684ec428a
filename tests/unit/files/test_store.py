"""Artifacts are whole or absent, and two runs do not write the same folder."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import StoreError
from harness.files.atomic import write_atomically
from harness.files.digests import content_hash
from harness.files.disk_errors import explained
from harness.files.locks import exclusive
from harness.files.store import Store

KEY = "0123456789abcdef" * 4


def make(store: Store, content: str = "content", *, resume: bool = False) -> None:
    with store.making("export", KEY, resume=resume) as (folder, record):
        (folder / "model.onnx").write_text(content)
        record["step"] = "export"


def test_an_artifact_is_there_once_it_is_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert not store.has("export", KEY)
    make(store)
    assert store.has("export", KEY)
    assert store.record("export", KEY)["files"] == {"model.onnx": 7}
    assert not any((tmp_path / ".partial").iterdir())


def test_an_error_leaves_nothing_half_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.making("export", KEY) as (folder, _):
        (folder / "model.onnx").write_text("half")
        raise RuntimeError
    assert not store.has("export", KEY)
    assert not store.folder("export", KEY).exists()
    assert not any((tmp_path / ".partial").iterdir())


def test_what_can_be_resumed_is_kept_for_the_next_attempt(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt), store.making("train", KEY, resume=True) as (folder, _):
        (folder / "epoch").write_text("3")
        raise KeyboardInterrupt
    assert not store.has("train", KEY)
    with store.making("train", KEY, resume=True) as (folder, _):
        assert (folder / "epoch").read_text() == "3"
    assert store.has("train", KEY)


def test_a_file_cut_short_later_is_noticed_and_made_anew(tmp_path: Path) -> None:
    store = Store(tmp_path)
    make(store)
    (store.folder("export", KEY) / "model.onnx").write_text("con")
    assert not store.has("export", KEY)
    make(store)
    assert store.has("export", KEY)


@pytest.mark.parametrize("content", ["", "{}", "[]", "{", '{"key": 3}', '{"key": "x", "files": []}'])
def test_a_broken_record_counts_as_absent(tmp_path: Path, content: str) -> None:
    store = Store(tmp_path)
    make(store)
    (store.folder("export", KEY) / "step.json").write_text(content)
    assert not store.has("export", KEY)


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
