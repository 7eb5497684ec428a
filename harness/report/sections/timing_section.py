"""What the runtimes cost: calls by batch size, and start, load, memory and bridge beside them."""

from __future__ import annotations

from harness.report.document import FiguresHere, Paragraph, Section, Table, TableBlock
from harness.report.read import Results


def timing_section(results: Results, tables: dict[str, Table]) -> tuple[Section, ...]:
    """The section, where something was timed; none otherwise."""
    if results.timings is None:
        return ()
    text = Paragraph(
        "Each runtime was started anew several times, one process after another, while nothing else was timed on the "
        "machine; what was measured is the framework's own call, arrays converted beforehand. These figures differ from run "
        "to run and from machine to machine, decide no verdict, and are in no other table."
    )
    return (
        Section(
            "timing", "Timing", (text, TableBlock(tables["timings"]), FiguresHere(), TableBlock(tables["timing_costs"]))
        ),
    )
