"""What a runtime asks of those who want to use it: packages, disk, conversions, warnings, and in a table of its own the start."""

from __future__ import annotations

from typing import Any

from harness.report.document import Column, Table
from harness.report.formatting import counted, listed
from harness.report.read import Results
from harness.report.result_files.manifest import PackagePart, RuntimePart

#: Languages as they are written, in the order in which their packages are listed.
_LANGUAGES = {"r": "R", "julia": "Julia", "python": "Python"}

_NOTE = (
    "Packages: those that the runtime asks for and all that these depend on, as they are installed here; languages and what "
    "comes with them are not counted, nor is what the harness itself needs. Disk: the sum of their files as package managers "
    "list them. Conversions: steps between the source's own file and a file that the runtime reads. Warnings of exporters are "
    "those of the exports that made its files."
)
_START_NOTE = (
    "Start: mean seconds from starting a worker to its first answer, language and framework included, and lines of its log "
    "that warn; both are of this run, and differ from run to run."
)


def tooling_table(results: Results) -> Table:
    """One row per runtime, the same in every run on one machine; becomes ``tooling.csv``."""
    rows = [_row(results, name, part) for name, part in sorted(results.manifest.runtimes.items())]
    return Table("tooling", "Tooling effort by runtime.", _COLUMNS, tuple(rows), (_NOTE,), "No runtime was asked for.")


def tooling_seconds_table(results: Results) -> Table:
    """What differs from run to run: starts, their seconds, and warnings of workers."""
    rows = [
        {
            "runtime": name,
            "starts": part.starts,
            "start_seconds": part.start_seconds / part.starts if part.starts else None,
            "worker_warnings": sum(warning.times for warning in part.warnings),
        }
        for name, part in sorted(results.workers.items())
    ]
    columns = (Column("runtime", "Runtime"), Column("starts", "Starts", "integer"), *_OF_THIS_RUN)
    return Table(
        "tooling_seconds",
        "Starts of workers and what they warned of, one run.",
        columns,
        tuple(rows),
        (_START_NOTE,),
        "No worker was started in this run.",
    )


def tooling_page_table(results: Results) -> Table:
    """Both in one, for pages and print."""
    of_this_run = {row["runtime"]: row for row in tooling_seconds_table(results).rows}
    whole = tooling_table(results)
    rows = tuple({**of_this_run.get(row["runtime"], {}), **row} for row in whole.rows)
    return Table("tooling", whole.caption, (*_COLUMNS, *_OF_THIS_RUN), rows, (_NOTE, _START_NOTE), whole.empty)


_COLUMNS = (
    Column("runtime", "Runtime"),
    Column("installed", "Installed"),
    Column("package_count", "Packages", "integer"),
    Column("direct", "Asked for"),
    Column("dependencies", None),
    Column("bytes", "On disk", "size"),
    Column("conversions", "Conversions", "integer"),
    Column("routes", "Files by"),
    Column("exporter_warnings", "Warnings of exporters", "integer"),
)
_OF_THIS_RUN = (
    Column("start_seconds", "Start", "seconds"),
    Column("worker_warnings", "Warnings of workers", "integer"),
)


def _row(results: Results, name: str, part: RuntimePart) -> dict[str, Any]:
    exports = results.manifest.exports
    labels = sorted({cell.route_label for cell in results.cells if cell.target == name})
    converted = [label for label in labels if label in exports]
    warnings = sum(len(exports[label].get("warnings") or ()) for label in converted)
    sizes = [package.bytes for package in part.packages]
    return {
        "runtime": name,
        "installed": part.installed,
        "package_count": len(part.packages) or None,
        "direct": _named([package for package in part.packages if package.direct]) or None,
        "dependencies": [f"{package.name} {package.version}" for package in part.packages if not package.direct],
        "bytes": sum(size for size in sizes if size is not None) if any(size is not None for size in sizes) else None,
        "conversions": (1 if converted else 0) if labels else None,
        "routes": _routes(labels, converted),
        "exporter_warnings": warnings if converted else None,
    }


def _named(packages: list[PackagePart]) -> str:
    """``torch 2.13.0`` or, where there are several languages, ``R: jsonlite 1.8.4, torch 0.17.0; Python: rpy2 3.6.5``."""
    by_language: dict[str, list[str]] = {}
    for package in packages:
        by_language.setdefault(package.language, []).append(f"{package.name} {package.version}")
    if len(by_language) < 2:
        return ", ".join(next(iter(by_language.values()), []))
    order = {language: place for place, language in enumerate(_LANGUAGES)}
    ordered = sorted(by_language.items(), key=lambda pair: order.get(pair[0], len(order)))
    return "; ".join(f"{_LANGUAGES.get(language, language)}: {', '.join(names)}" for language, names in ordered)


def _routes(labels: list[str], converted: list[str]) -> str | None:
    """How the runtime came by its files."""
    if not labels:
        return "no file: not a target"
    direct = [label for label in labels if label not in converted]
    words = [counted(len(converted), "route")] if converted else []
    return listed([*words, *direct])
