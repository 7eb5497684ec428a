"""Verdict, error and seconds of the same thing in one version after another."""

from __future__ import annotations

from typing import Any

from harness.compare.records import CellResult
from harness.report.cells_by_version import Place, placed
from harness.report.document import Column, Table
from harness.report.read import Results, cell_label
from harness.version_names import split

#: Written only where something was asked for in a version.
NAMES = ("versions",)


def versions_tables(results: Results) -> tuple[Table, ...]:
    """One row per cell that names a version; none where no cell does."""
    cells = placed(results)
    if not cells:
        return ()
    summaries = results.timings.summaries if results.timings is not None else {}
    sizes = sorted({row.batch_size for rows in summaries.values() for row in rows})
    rows: list[dict[str, Any]] = []
    for where, cell in cells:
        comparison = cell.runtime_comparison
        row: dict[str, Any] = {
            "software": where.software,
            "version": where.version,
            "line": where.line,
            "installed": ", ".join(
                f"{name} {version}" for name, version in sorted(_installed(results, where, cell).items())
            ),
            "verdict": cell.verdict,
            "rms_ratio": comparison.rms_ratio if comparison else None,
            "max_ratio": comparison.max_ratio if comparison else None,
            "flips": cell.decisions.counted_count if cell.decisions else None,
            "reason": cell.error or "",
        }
        for timing in summaries.get(cell_label(cell), ()):
            row[f"median_seconds_{timing.batch_size}"] = timing.seconds.value
        rows.append(row)
    columns = (
        Column("software", "Of"),
        Column("version", "Version", "code"),
        Column("line", "The same in all"),
        Column("installed", None),
        Column("verdict", "Verdict", "verdict"),
        Column("rms_ratio", "Runtime RMS / floor", "ratio"),
        Column("max_ratio", "Runtime max / floor", "ratio"),
        Column("flips", "Decisions changed", "integer"),
        *(Column(f"median_seconds_{size}", f"Time at {size:,}", "seconds") for size in sizes),
        Column("reason", None),
    )
    note = (
        "Every version ran in an environment of its own; what was installed in each is in tables/versions.csv and under "
        "provenance."
    )
    return (
        Table("versions", "The same files and weights in one version after another.", columns, tuple(rows), (note,)),
    )


def _installed(results: Results, where: Place, cell: CellResult) -> dict[str, str]:
    """Versions of the software that the place is of: what ran the file, or what exported it."""
    if where.software == split(cell.target)[0]:
        return cell.versions
    export = results.manifest.exports.get(cell.route_label, {})
    versions: dict[str, str] = export.get("versions", {})
    return versions
