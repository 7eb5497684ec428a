"""Where a runtime first goes wrong, and how errors travel from there."""

from __future__ import annotations

from harness.report.document import Block, FiguresHere, Paragraph, Section, TableBlock
from harness.report.formatting import counted
from harness.report.read import Results
from harness.report.tables.layer_tables import examined, layers_summary


def layers_section(results: Results) -> tuple[Section, ...]:
    """The error per layer, as one section; none where no cell was to be followed node by node."""
    if all(cell.layers is None for cell in results.cells):
        return ()
    found = examined(results)
    samples = max((layers.samples for _, layers in found), default=0)
    blocks: list[Block] = [
        Paragraph(
            f"Every node of a graph over the first {counted(samples, 'sample')} of the probe, in multiples of the node's own "
            "floor: how far the reference implementation in float32 is from the same graph in float64. The local error is "
            "that of the node alone on the oracle's inputs; it places a fault. The accumulated error is that of the node "
            "within the whole graph; it shows how a fault travels. The verdict comes from the comparisons, not from here."
        ),
        FiguresHere(),
        TableBlock(layers_summary(results)),
    ]
    return (Section("layers", "Error per layer", tuple(blocks)),)
