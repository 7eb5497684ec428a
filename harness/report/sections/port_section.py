"""One architecture, two implementations: whether they are one function, and what makes them two."""

from __future__ import annotations

from harness.report import caption_facts
from harness.report.document import Block, Bullets, FiguresHere, Note, Paragraph, Section, TableBlock
from harness.report.formatting import counted
from harness.report.read import Results
from harness.report.tables import port_tables as tables


def port_section(results: Results) -> tuple[Section, ...]:
    """What became of the port; nothing where the scenario has none."""
    port = results.port
    if port is None:
        return ()
    if port.error:
        return (Section("port", "The port", (Note("Not compared", tables.answer(port)),)),)
    blocks: list[Block] = [
        Paragraph(tables.answer(port)),
        Paragraph(
            "This is another question than whether a file survives a change of runtime: here two people wrote the same model. "
            "The port was given the source's weights by explicit rules, and asked to be what each hypothesis says; the two "
            f"specifications were not compared. Layers and hypotheses over {counted(port.samples, 'sample')} of the probe. "
            f"{caption_facts.line(results)}"
        ),
        FiguresHere(),
        TableBlock(tables.layer_gaps_table(results)),
        TableBlock(tables.hypotheses_table(results)),
        TableBlock(tables.conventions_table(results)),
    ]
    if port.metrics:
        blocks.append(TableBlock(tables.reported_table(results)))
    if port.notes:
        blocks.append(Bullets(port.notes))
    return (Section("port", "The port: one model, two implementations", tuple(blocks)),)
