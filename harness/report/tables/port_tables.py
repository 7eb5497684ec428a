"""What makes two implementations of one architecture two functions, and what of them only training shows."""

from __future__ import annotations

from harness.compare.port import SAME_FUNCTION, PortComparison, is_same
from harness.report.document import Column, Table
from harness.report.formatting import listed, significant
from harness.report.read import Results

_NONE = "No port was compared with the source in this run."


def hypotheses_table(results: Results) -> Table:
    """Every hypothesis that was tried, the one that leaves least first."""
    port = results.port
    tried = () if port is None else port.tried
    ordered = sorted(tried, key=lambda row: (row.remaining is None, row.remaining, row.settings, row.values))
    rows = tuple(
        {
            "setting": listed([*row.settings]),
            "value": listed([*row.values]),
            "remaining": row.remaining,
            "times": None if row.remaining is None or port is None or not port.gap else row.remaining / port.gap,
            "parts_at": row.parts_at or row.refused or "nowhere",
            "closes": row.closes,
        }
        for row in ordered
    )
    return Table(
        "hypotheses",
        "Each hypothesis tried on the port: the difference that remains from the source, in float64, as RMS over the spread of "
        "the source's outputs.",
        (
            Column("setting", "Setting"),
            Column("value", "Value"),
            Column("remaining", "Remaining difference", "number"),
            Column("times", "Of the gap", "ratio"),
            Column("parts_at", "Parts at"),
            Column("closes", "Closes the gap"),
        ),
        rows,
        notes=(f"Up to {significant(SAME_FUNCTION)} two implementations are one function.",),
        empty=_NONE,
    )


def layer_gaps_table(results: Results) -> Table:
    """How far the layers are apart before anything is changed."""
    port = results.port
    rows = tuple(
        {
            "layer": row.layer,
            "kind": row.kind.replace("-", " "),
            "gap": row.relative_rms,
            "same": is_same(row.relative_rms),
        }
        for row in (() if port is None else port.layers)
    )
    return Table(
        "port_layers",
        "Layers of the port against those of the source, both in float64 with the same weights and inputs.",
        (
            Column("layer", "Layer"),
            Column("kind", "Kind"),
            Column("gap", "Difference", "number"),
            Column("same", "The same"),
        ),
        rows,
        empty=_NONE,
    )


def conventions_table(results: Results) -> Table:
    """How both begin, and what one step on one batch moves."""
    rows = tuple(row.model_dump() for row in (() if results.port is None else results.port.conventions))
    return Table(
        "conventions",
        "What the outputs of a trained model cannot show: parameters that a training begins with, and moving statistics after "
        "one step on the same batch from the same weights.",
        (
            Column("setting", "Convention"),
            Column("where", "Where"),
            Column("source", "Source", "number"),
            Column("port", "Port", "number"),
            Column("hypothesis", "Hypothesis: the port would"),
            Column("before", "Difference", "number"),
            Column("after", "Remaining", "number"),
        ),
        rows,
        empty="Nothing was found to differ." if results.port is not None else _NONE,
    )


def reported_table(results: Results) -> Table:
    """One and the same test samples, as two people would report them who aggregate in different ways."""
    rows = tuple(
        {
            "source_aggregation": row.source_aggregation,
            "port_aggregation": row.port_aggregation,
            "source": row.source,
            "port": row.port,
            "difference": row.port - row.source,
        }
        for row in (() if results.port is None else results.port.metrics)
    )
    unit = results.port.metrics[0].unit if results.port is not None and results.port.metrics else "the physical unit"
    return Table(
        "reported",
        f"RMSE over all steps in {unit}, as source and port would report it by aggregation: what of a difference between two "
        "reports is aggregation alone.",
        (
            Column("source_aggregation", "Source: aggregation"),
            Column("port_aggregation", "Port: aggregation"),
            Column("source", "Source", "number"),
            Column("port", "Port", "number"),
            Column("difference", "Difference", "number"),
        ),
        rows,
        notes=("pooled: over all pixels of all samples at once; mean-of-samples: of each sample first.",),
        empty=_NONE if results.port is None else "Port and source forecast frames of different shapes.",
    )


def answer(port: PortComparison) -> str:
    """What was found, in a few sentences."""
    names = f"The port to {port.framework}" + (f" (preset {port.preset})" if port.preset else "")
    if port.error:
        return f"{names} could not be compared with the source: {port.error}"
    if port.same:
        return (
            f"{names} is the function of the source in {port.source_framework}: with the same weights their outputs in float64 "
            f"differ by {significant(port.gap)} of their spread."
        )
    gap = "values that are not finite or not there" if port.gap is None else f"{significant(port.gap)} of their spread"
    text = (
        f"{names} is another function than the source in {port.source_framework}: with the same weights their outputs in "
        f"float64 differ by {gap}."
    )
    if (parts := port.parts_at) is not None:
        text += f" They part at {parts.layer} ({parts.kind.replace('-', ' ')})."
    if not port.closing:
        return text + " None of the hypotheses closes the gap."
    best = port.closing[0]
    changes = listed([f"{setting} {value}" for setting, value in zip(best.settings, best.values, strict=True)])
    others = len(port.closing) - 1
    more = f", as would {others} more" if others else ""
    return f"{text} What closes the gap: {changes}, which leaves {significant(best.remaining)}{more}."
