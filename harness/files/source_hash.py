"""The hash of a folder of sources."""

from __future__ import annotations

import hashlib
from pathlib import Path


def source_hash(folder: Path, suffixes: tuple[str, ...] = ()) -> str:
    """SHA-256 over the relative paths and contents of the files below a folder, tests and caches left out."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if not path.is_file() or relative.parts[0] in ("tests", "test") or "__pycache__" in relative.parts:
            continue
        if suffixes and path.suffix not in suffixes:
            continue
        digest.update(f"{relative.as_posix()}\0".encode())
        digest.update(path.read_bytes())
        digest.update(b"\0")
    return digest.hexdigest()
