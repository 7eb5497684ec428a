"""Same weights in another runtime: outputs, decisions, parameters, graphs and task metrics."""

from __future__ import annotations

from harness.report import caption_facts
from harness.report.document import Block, FiguresHere, Paragraph, Section, Table, TableBlock
from harness.report.read import Results
from harness.report.sections.layers_section import layers_section
from harness.report.tables import outcome_tables, parameter_tables, structure_table
from harness.report.tables.backend_swap_table import swap_table
from harness.report.tables.named_outputs_table import named_outputs_table
from harness.report.task_reports import report_of


def weights_section(results: Results, tables: dict[str, Table]) -> Section:
    """Everything that follows from the same weights being run elsewhere; no figure here comes from another training."""
    return Section(
        "weights",
        "Same weights in another runtime",
        (
            Paragraph(
                "Every figure in this section comes from one set of weights. Where runtimes differ here, they differ in what "
                f"they load and how they compute, not in what was learnt. {caption_facts.line(results)}"
            ),
        ),
        (
            _outputs(results),
            *layers_section(results),
            _decisions(results, tables),
            _parameters(results),
            Section(
                "structure",
                "Exported files",
                (
                    TableBlock(structure_table.structure_table(results)),
                    FiguresHere(),
                ),
            ),
            *_swaps(results),
            *report_of(results).sections(results, tables),
        ),
    )


def _swaps(results: Results) -> tuple[Section, ...]:
    table = swap_table([results])
    return (Section("backends", "Backends of Keras", (TableBlock(table),)),) if table.rows else ()


def _outputs(results: Results) -> Section:
    ratios, absolute = outcome_tables.errors_tables(results)
    several = named_outputs_table(results)
    blocks: list[Block] = [*([TableBlock(several)] if several.rows else []), FiguresHere(), TableBlock(ratios)]
    if absolute.rows:
        blocks.append(TableBlock(absolute))
    blocks.append(TableBlock(outcome_tables.routes_table(results)))
    return Section("outputs", "Outputs", tuple(blocks))


def _decisions(results: Results, tables: dict[str, Table]) -> Section:
    given = results.manifest.decision
    said = (Paragraph(f"{given.sentence[:1].upper()}{given.sentence[1:]}."),) if given is not None else ()
    decided, flips = outcome_tables.decisions_table(results), tables["flips"]
    # Where neither has a row for the same reason, it is said once.
    both = bool(flips.rows) or flips.empty != decided.empty
    blocks = (TableBlock(decided), *((TableBlock(flips, tall=True),) if both else ()))
    return Section("decisions", "Decisions", (*said, *blocks))


def _parameters(results: Results) -> Section:
    note = structure_table.copies_note(results)
    return Section(
        "parameters",
        "Parameters",
        (
            *((Paragraph(note),) if note else ()),
            TableBlock(parameter_tables.parameter_summary(results)),
            TableBlock(parameter_tables.parameter_findings(results)),
        ),
    )
