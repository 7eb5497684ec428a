"""Findings per cell: what was found by which comparison, what broke, and what to do."""

from __future__ import annotations

from harness.compare.records import CellResult
from harness.report.document import Block, Bullets, Listing, Paragraph, Section
from harness.report.read import Results, cell_label


def findings_section(results: Results) -> Section:
    """One subsection per cell that has anything to say beyond its verdict."""
    sections = tuple(
        _cell(cell, index)
        for index, cell in enumerate(results.cells, 1)
        if cell.findings or cell.error or cell.log_tail
    )
    text = (
        "Everything that was found, in the order of the comparisons. The first finding is the likely cause of those after it."
        if sections
        else "No comparison found anything in any cell."
    )
    return Section("findings", "Findings", (Paragraph(text),), sections)


def _cell(cell: CellResult, index: int) -> Section:
    blocks: list[Block] = [Paragraph(cell.sentence)]
    if cell.findings:
        blocks.append(
            Bullets(
                tuple(
                    f"{finding.comparison} ({finding.verdict.value}): {finding.message}." for finding in cell.findings
                )
            )
        )
    if cell.error and cell.error.rstrip(".") not in cell.sentence:
        blocks.append(Paragraph(f"Error: {cell.error}"))
    if cell.hint and cell.hint.rstrip(".") not in cell.sentence:
        blocks.append(Paragraph(f"What to do: {cell.hint}"))
    if cell.log_tail:
        blocks.append(Listing(tuple(cell.log_tail), "Last lines of the worker's log"))
    return Section(f"finding-{index}", f"{cell_label(cell)}: {cell.verdict.value}", tuple(blocks))
