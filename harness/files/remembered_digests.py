"""SHA-256 of files that a user names: with their names, and remembered where they take long to read."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from harness.files.atomic import write_atomically
from harness.files.cache import cache_folder
from harness.files.digests import file_hash


def named_hashes(paths: Iterable[Path]) -> str:
    """Names and SHA-256 of files as one text: what they are called and what they hold, not the folder that they lie in."""
    return json.dumps([(path.name, file_hash(path)) for path in paths])


def remembered_hash(path: Path) -> str:
    """As :func:`file_hash`, but read once only while the file keeps its place, size and time of modification.

    For files of gigabytes. The memory lies in the cache folder and may be deleted at any time; a damaged one is made anew.
    """
    status = path.stat()
    state = [str(path.resolve()), status.st_size, status.st_mtime_ns]
    name = hashlib.sha256(json.dumps(state).encode()).hexdigest()
    memory = cache_folder() / "digests" / name[:32]
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(memory.read_text())
        if known["of"] == state and len(known["sha256"]) == 64:
            return str(known["sha256"])
    found = file_hash(path)
    write_atomically(memory, json.dumps({"of": state, "sha256": found}))
    return found
