"""What a runtime asks of those who want to use it."""

from __future__ import annotations

from harness.report.document import Block, Listing, Paragraph, Section, TableBlock
from harness.report.read import Results
from harness.report.tables.tooling_tables import tooling_page_table


def tooling_section(results: Results) -> Section:
    """Packages, disk, start, conversions and warnings by runtime, and the warnings of workers word by word."""
    blocks: list[Block] = [
        Paragraph(
            "What has to be installed, converted and waited for before a runtime answers, counted on this machine; no "
            "figure here is an opinion, and none decides a verdict."
        ),
        TableBlock(tooling_page_table(results)),
    ]
    for name, part in sorted(results.workers.items()):
        if part.warnings:
            lines = tuple(f"{warning.line} ({warning.times} times)" for warning in part.warnings)
            blocks.append(Listing(lines, f"Warnings of {name}"))
    return Section("tooling", "Tooling effort", tuple(blocks))
