"""Which artifacts the results folders refer to."""

from __future__ import annotations

import json
from pathlib import Path

from harness.errors import StoreError


def needed_artifacts(output: Path) -> set[str]:
    """Keys of the artifacts that a results folder below ``output`` refers to.

    Raises StoreError where there is no such folder, or where a manifest cannot be read: then it is not known what it needs.
    """
    if not output.is_dir():
        raise StoreError("there are no results here", where=str(output), hint="name their folder with --output")
    needed = set()
    for path in sorted(output.rglob("manifest.json")):
        try:
            needed |= set(json.loads(path.read_text(encoding="utf-8"))["artifacts"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"cannot be read ({error})", where=str(path), hint="run its scenario again, or remove the folder"
            ) from error
    return needed
