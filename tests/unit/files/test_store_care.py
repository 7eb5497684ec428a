"""What lies in a store is told by its state, and only what nobody needs is removed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.files.locks import waiting
from harness.files.owner import Owner
from harness.files.store import Store
from harness.files.store_care import check_store, clean_store
from harness.results.references import needed_artifacts

GOOD, BAD = "a" * 64, "b" * 64


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with a whole artifact, a damaged one, an interrupted training, leftovers and a foreign folder."""
    store = Store(tmp_path / "exported")
    for key in (GOOD, BAD):
        with store.lock("export", key), store.making("export", key) as (folder, _):
            (folder / "model.onnx").write_text("model")
    (store.folder("export", BAD) / "model.onnx").write_text("MODEL")
    with pytest.raises(KeyboardInterrupt), store.making("train", GOOD, resume=True) as (folder, _):
        (folder / "checkpoint.json").write_text("{}")
        raise KeyboardInterrupt
    dead = replace(Owner.current(), started=1_000_000_000)
    for name in (f"oracle-1.{dead}.0123abcd", f"oracle-2.{Owner.current()}.0123abcd"):
        (store.root / ".partial" / name).mkdir()
    (store.root / "notes").mkdir()
    (store.root / "notes" / "text").write_text("text")
    (store.root / "README.md").write_text("what comes to lie here")
    return store.root


def names(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix().partition(".0123")[0] for path in root.glob("*")}


def test_everything_is_told_by_its_state(root: Path) -> None:
    found = {entry.name.partition(f".{Owner.current().host}")[0]: entry for entry in check_store(root)}
    assert {name: entry.state for name, entry in found.items()} == {
        f"export-{GOOD[:16]}": "whole",
        f"export-{BAD[:16]}": "damaged",
        "notes": "foreign",
        f".partial/train-{GOOD[:16]}.interrupted": "partial",
        ".partial/oracle-1": "partial",
        ".partial/oracle-2": "partial",
    }
    assert "model.onnx" in found[f"export-{BAD[:16]}"].what
    assert "in work" in found[".partial/oracle-2"].what
    assert "killed" in found[".partial/oracle-1"].what
    assert found["notes"].bytes == 4


def test_a_file_that_is_no_part_of_an_artifact_is_foreign(root: Path) -> None:
    (root / f"export-{GOOD[:16]}" / "import.json").write_text("{}")
    states = {entry.name: entry.state for entry in check_store(root)}
    assert states[f"export-{GOOD[:16]}/import.json"] == "foreign"
    assert states[f"export-{GOOD[:16]}"] == "whole"


def test_cleaning_leaves_what_is_whole_foreign_or_in_work(root: Path) -> None:
    done = clean_store(root)
    assert {entry.state for entry in done.removed} == {"damaged", "partial"}
    assert len(done.removed) == 3
    assert done.freed == sum(entry.bytes for entry in done.removed) > 0
    assert [entry.what for entry in done.left] == ["in work"]
    assert names(root) == {f"export-{GOOD[:16]}", "notes", "README.md", ".partial"}
    assert len(list((root / ".partial").iterdir())) == 1
    assert clean_store(root).removed == ()


def test_cleaning_removes_what_no_results_refer_to(root: Path, tmp_path: Path) -> None:
    results = tmp_path / "results" / "one"
    results.mkdir(parents=True)
    (results / "manifest.json").write_text(json.dumps({"artifacts": {"export torch": GOOD}}))
    assert clean_store(root, needed_artifacts(tmp_path / "results")).removed
    assert f"export-{GOOD[:16]}" in names(root)
    (results / "manifest.json").write_text(json.dumps({"artifacts": {"export torch": BAD}}))
    done = clean_store(root, needed_artifacts(tmp_path / "results"))
    assert [entry.name for entry in done.removed] == [f"export-{GOOD[:16]}"]


def test_a_manifest_that_cannot_be_read_ends_the_cleaning(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"artifacts": {"export')
    with pytest.raises(StoreError, match=r"manifest\.json"):
        needed_artifacts(tmp_path)


def test_nothing_that_a_run_may_use_is_removed(root: Path) -> None:
    with Store(root).in_use():
        done = clean_store(root, set())
    assert {entry.state for entry in done.removed} == {"partial"}
    assert {f"export-{GOOD[:16]}", f"export-{BAD[:16]}"} <= names(root)
    assert len(clean_store(root, set()).removed) == 2


def test_a_lock_that_is_held_stays(root: Path) -> None:
    locks = root / ".locks"
    assert len(list(locks.iterdir())) == 2
    with waiting(locks / f"export-{GOOD[:16]}"):
        clean_store(root)
        assert [path.name for path in locks.iterdir()] == [f"export-{GOOD[:16]}"]


def test_no_store_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store here"):
        check_store(tmp_path / "exported")
