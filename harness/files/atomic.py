"""Files that are written whole or not at all, and the JSON text that goes into them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from harness.files.disk_errors import explained
from harness.files.owner import owned_name


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all: beside it first, then renamed over it."""
    data = content.encode() if isinstance(content, str) else content
    scratch = path.with_name(owned_name(f".{path.name}", ".part"))
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with scratch.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


def to_json(value: Any) -> str:
    """Readable JSON with sorted keys and a final newline: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
