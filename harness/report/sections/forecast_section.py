"""How well the model forecasts, by runtime; takes the place of what is said of classes."""

from __future__ import annotations

from harness.report import caption_facts
from harness.report.document import Block, FiguresHere, Paragraph, Section, TableBlock
from harness.report.formatting import listed
from harness.report.read import Results
from harness.report.tables import forecast_tables


def forecast_section(results: Results) -> tuple[Section, ...]:
    """Errors by step and exceedance of thresholds."""
    known = results.manifest.data.forecast
    if known is None:
        return ()
    text = (
        f"How well the model forecasts {known.horizon} frames from {known.history}, {known.interval / 60:g} minutes apart, by "
        f"runtime. Persistence, the forecast that nothing changes, is what a nowcast must beat. Decisions are the exceedance of "
        f"{listed([f'{value:g} {known.unit}' for value in known.thresholds])} in every pixel with data. "
        f"{caption_facts.line(results, samples=caption_facts.test_samples(results))}"
    )
    blocks: tuple[Block, ...] = (
        Paragraph(text),
        FiguresHere(),
        TableBlock(forecast_tables.errors_page_table(results)),
        TableBlock(forecast_tables.events_page_table(results)),
    )
    return (Section("task", "Forecasts", blocks),)
