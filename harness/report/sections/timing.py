"""What the runtimes cost: calls by batch size, and start, load, memory and bridge beside them."""

from __future__ import annotations

from harness.report.document import FigureBlock, Paragraph, Section, Table, TableBlock
from harness.report.read import Results


def timing_section(results: Results, tables: dict[str, Table], figures: dict[str, FigureBlock]) -> tuple[Section, ...]:
    """The section, where something was timed; none otherwise."""
    if results.timings is None:
        return ()
    text = Paragraph(
        "Each runtime was started anew several times, one process after another, while nothing else was timed on the "
        "machine; what was measured is the framework's own call, arrays converted beforehand. These figures differ from run "
        "to run and from machine to machine, decide no verdict, and are in no other table."
    )
    chart = tuple(figures[name] for name in ("timing_by_batch_size",) if name in figures)
    return (
        Section("timing", "Timing", (text, TableBlock(tables["timings"]), *chart, TableBlock(tables["timing_costs"]))),
    )
