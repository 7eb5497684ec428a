"""A finished step's folder: ``step.json`` says what it must hold, and tells what came of it since."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.files.atomic import to_json, write_atomically
from harness.files.digests import FileDigest, content_hash

RECORD = "step.json"


@dataclass(frozen=True)
class Artifact:
    """A folder that was checked file by file, and what its ``step.json`` says."""

    folder: Path
    record: dict[str, Any]


@dataclass(frozen=True)
class Damage:
    """A folder with a file that does not hold what was written."""

    folder: Path
    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.folder.name}: {self.file} {self.what}"


def read_artifact(folder: Path, kind: str, key_begins: str) -> Artifact | Damage:
    """Check every file of a folder against its ``step.json``, and that against its own digest.

    ``key_begins``: the key of the artifact that should lie there, or how it begins. Files that ``step.json`` does not name
    are nobody's, see :func:`foreign_files`.
    """
    if not folder.is_dir():
        return Damage(folder, ".", "is not a folder")
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        digest = record.pop("sha256")
        whole = content_hash(record) == digest
    except FileNotFoundError:
        return Damage(folder, RECORD, "is missing")
    except OSError as error:
        return Damage(folder, RECORD, f"cannot be read ({error.strerror})")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        return Damage(folder, RECORD, "does not have the content that was written")
    try:
        if record["kind"] != kind or not record["key"].startswith(key_begins):
            return Damage(folder, RECORD, f"is of {record['kind']}-{record['key'][:16]}")
        files = {name: FileDigest(**digest) for name, digest in record["files"].items()}
    except (KeyError, TypeError, AttributeError):
        return Damage(folder, RECORD, "is not of this version of the harness")
    for name, expected in files.items():
        if (what := expected.difference(folder / name)) is not None:
            return Damage(folder, name, what)
    return Artifact(folder, record)


def seal(folder: Path, record: dict[str, Any]) -> Artifact:
    """Write ``step.json``: ``record``, the digest of every file of the folder, and its own."""
    sealed = {**record, "files": {name: asdict(FileDigest.of(folder / name)) for name in _files(folder)}}
    # As it will be read: tuples are lists in JSON.
    sealed = json.loads(to_json(sealed))
    write_atomically(folder / RECORD, to_json({**sealed, "sha256": content_hash(sealed)}))
    return Artifact(folder, sealed)


def foreign_files(artifact: Artifact) -> list[str]:
    """Names of files that lie in an artifact's folder and are no part of it."""
    return [name for name in _files(artifact.folder) if name not in artifact.record["files"]]


def _files(folder: Path) -> list[str]:
    """Names of all files of a folder and below it, but for the record itself."""
    return [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / RECORD
    ]
