"""Whether a results folder still holds what a run wrote: ``digests.json`` has size and SHA-256 of its files.

It lies beside the manifest, since some of the files differ from run to run and the manifest does not.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.files.atomic import to_json, write_atomically
from harness.files.digests import FileDigest, content_hash

if TYPE_CHECKING:
    from harness.report.build import ReportFiles

DIGESTS = "digests.json"


def write_digests(folder: Path, results: Iterable[str], report: ReportFiles) -> None:
    """Record the files of a finished run: its result files by name, and what the report was written to.

    All but ``report.md``, which people may edit.
    """
    _write(folder, {name: asdict(FileDigest.of(folder / name)) for name in results}, report)


def renew_report_digests(folder: Path, report: ReportFiles) -> None:
    """Record a report that was built anew; the digests of the result files it was made from stay."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        _write(folder, _read(folder)["results"], report)


def damaged_file(folder: Path) -> str | None:
    """The first file that does not hold what was written, and what is wrong with it; None where all do.

    Raises FileNotFoundError where no run has finished in the folder.
    """
    try:
        parts = _read(folder)
        expected = {name: FileDigest(**digest) for part in parts.values() for name, digest in part.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{DIGESTS} does not have the content that was written"
    differences = ((name, digest.difference(folder / name)) for name, digest in sorted(expected.items()))
    return next((f"{name} {what}" for name, what in differences if what is not None), None)


def _write(folder: Path, results: dict[str, Any], report: ReportFiles) -> None:
    written = (report.html, *report.tables, *report.figures, *report.texts)
    made = {path.relative_to(folder).as_posix(): asdict(FileDigest.of(path)) for path in written}
    parts = {"results": results, "report": made}
    write_atomically(folder / DIGESTS, to_json({**parts, "sha256": content_hash(parts)}))


def _read(folder: Path) -> dict[str, Any]:
    """Both parts. Raises ValueError where they are not those that were written."""
    parts: dict[str, Any] = json.loads((folder / DIGESTS).read_text(encoding="utf-8"))
    if parts.pop("sha256") != content_hash(parts):
        raise ValueError(f"{folder / DIGESTS} was changed")
    return parts
