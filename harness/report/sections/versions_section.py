"""The same thing in one version after another: where something was asked for in a version."""

from __future__ import annotations

from harness.report.cells_by_version import of_software, placed
from harness.report.document import FiguresHere, Paragraph, Section, Table, TableBlock
from harness.report.formatting import counted, listed
from harness.report.read import Results


def versions_section(results: Results, tables: dict[str, Table]) -> tuple[Section, ...]:
    """The section, where a cell names a version; none otherwise."""
    if "versions" not in tables:
        return ()
    software = of_software(where for where, _ in placed(results))
    named = listed([f"{counted(len(versions), 'version')} of {name}" for name, versions in software.items()])
    text = Paragraph(
        f"{named[0].upper()}{named[1:]}: each in an environment of its own, on the same files, weights and probe, against the "
        "same oracles and floor. What a version refuses is a result, in its own words under the cell."
    )
    return (Section("versions", "Versions", (text, FiguresHere(), TableBlock(tables["versions"]))),)
