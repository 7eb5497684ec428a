"""What the comparisons found in each cell: errors, routes, decisions and flips."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.compare.decisions import LISTED_FLIPS
from harness.compare.records import CellResult, RuntimeComparison, Verdict
from harness.compare.verdict import decision_changes
from harness.report.document import Column, Table
from harness.report.formatting import significant
from harness.report.read import Results, cell_label, was_compared


def cells_table(results: Results) -> Table:
    """Everything about every cell in one row; pages show parts of it."""
    columns = [
        Column("cell", "Cell", "code"),
        Column("model", None),
        Column("source", None),
        Column("route", None),
        Column("target", None),
        Column("verdict", "Verdict", "verdict"),
        Column("sentence", "In one sentence"),
        Column("head", None),
        Column("probe_sha256", None, "hash"),
        Column("probe_samples", None, "integer"),
        Column("floor_rms", None, "number"),
        Column("floor_max", None, "number"),
        Column("floor_scale", None, "number"),
        Column("route_relative_rms", None, "number"),
        Column("route_limit", None, "number"),
    ]
    for prefix in ("runtime", "end_to_end"):
        columns += [
            Column(f"{prefix}_{key}", None, "number")
            for key in (
                "verdict",
                "rms_ratio",
                "rms_limit",
                "max_ratio",
                "max_limit",
                "mae",
                "rmse",
                "max",
                "relative_rms",
                "max_ulp",
                "one_minus_cosine",
                "non_finite",
                "output_min",
                "output_max",
            )
        ]
    columns += [
        Column("bit_equal_to_source", None),
        Column("decisions", None, "integer"),
        Column("top1_agreement", None, "share"),
        Column("flips_counted", None, "integer"),
        Column("flips_within_floor", None, "integer"),
    ]
    rows = tuple(_cell_row(cell) for cell in results.cells)
    return Table("cells", "Every cell and its verdict.", tuple(columns), rows)


def _cell_row(cell: CellResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        "cell": cell.cell,
        "model": cell.model,
        "source": cell.source,
        "route": cell.route_label,
        "target": cell.target,
        "verdict": cell.verdict,
        "sentence": cell.sentence,
        "head": cell.head,
        "probe_sha256": cell.probe_sha256,
        "probe_samples": cell.probe_samples,
    }
    if cell.floor:
        row |= {"floor_rms": cell.floor.rms, "floor_max": cell.floor.max_abs, "floor_scale": cell.floor.scale}
    if cell.route_comparison:
        row |= {
            "route_relative_rms": cell.route_comparison.errors.relative_rms,
            "route_limit": cell.route_comparison.limit,
        }
    for prefix, comparison in (("runtime", cell.runtime_comparison), ("end_to_end", cell.end_to_end)):
        if comparison:
            row |= {f"{prefix}_{key}": value for key, value in _errors(comparison).items()}
    if cell.runtime_comparison:
        row["bit_equal_to_source"] = cell.runtime_comparison.bit_equal_to_source
    if cell.decisions:
        row |= {
            "decisions": cell.decisions.decisions,
            "top1_agreement": cell.decisions.agreement,
            "flips_counted": cell.decisions.counted_count,
            "flips_within_floor": cell.decisions.flip_count - cell.decisions.counted_count,
        }
    return row


def _errors(comparison: RuntimeComparison) -> dict[str, Any]:
    errors = comparison.errors
    return {
        "verdict": comparison.verdict,
        "rms_ratio": comparison.rms_ratio,
        "rms_limit": comparison.rms_limit,
        "max_ratio": comparison.max_ratio,
        "max_limit": comparison.max_limit,
        "mae": errors.mean_abs,
        "rmse": errors.rms,
        "max": errors.max_abs,
        "relative_rms": errors.relative_rms,
        "max_ulp": errors.max_ulp,
        "one_minus_cosine": errors.one_minus_cosine,
        "non_finite": errors.non_finite,
        "output_min": errors.reference_min,
        "output_max": errors.reference_max,
    }


def errors_tables(results: Results) -> tuple[Table, Table]:
    """How far each target's outputs lie from the two oracles: as multiples of the noise floor, and in the output's unit."""
    rows = tuple(
        _errors_row(cell, against, comparison) for cell in results.cells for against, comparison in _compared_with(cell)
    )
    first = (Column("cell", "Target and route"), Column("against", "Compared with"))
    last = (Column("range", "Range of outputs"), Column("head", "Head"), Column("probe", "Probe", "hash"))
    ratios = (
        Column("verdict", "Gate", "verdict"),
        Column("rms_ratio", "RMS / floor", "ratio"),
        Column("max_ratio", "Max / floor", "ratio"),
        Column("non_finite", "Not finite", "integer"),
    )
    absolute = (
        Column("mae", "MAE", "number"),
        Column("rmse", "RMSE", "number"),
        Column("max", "Max", "number"),
        Column("max_ulp", "Max ULP", "integer"),
        Column("one_minus_cosine", "1 − cosine", "number"),
    )
    empty = "No target could be run, so there are no outputs to compare."
    return (
        Table(
            "errors",
            "Errors of each target's float32 outputs over the probe as multiples of the noise floor.",
            (*first, *ratios, *last),
            rows,
            notes=(_gates(results), _floor(results)),
            empty=empty,
        ),
        Table(
            "errors_in_units",
            f"The same errors in the unit of the output ({_head(results)}).",
            (*first, *absolute, *last),
            rows,
            empty=empty,
        ),
    )


def _compared_with(cell: CellResult) -> list[tuple[str, RuntimeComparison]]:
    """What a cell's outputs were compared with. Without a route there is no route oracle, only the source oracle."""
    if cell.route_comparison is None:
        alone = cell.end_to_end or cell.runtime_comparison
        return [("source oracle", alone)] if alone else []
    pairs = (("route oracle", cell.runtime_comparison), ("source oracle", cell.end_to_end))
    return [(against, comparison) for against, comparison in pairs if comparison is not None]


def _errors_row(cell: CellResult, against: str, comparison: RuntimeComparison) -> dict[str, Any]:
    row = _errors(comparison)
    if row["non_finite"]:
        row |= {key: "not finite" for key in ("rms_ratio", "max_ratio") if row[key] is None}
    return row | {
        "cell": cell_label(cell),
        "against": against,
        "range": f"{significant(row['output_min'])}\u00a0…\u00a0{significant(row['output_max'])}",
        "head": cell.head,
        "probe": cell.probe_sha256,
    }


def _head(results: Results) -> str:
    heads = sorted({cell.head for cell in results.cells if cell.head})
    return ", ".join(heads) or "head unknown"


def _gates(results: Results) -> str:
    for cell in results.cells:
        for _, comparison in _compared_with(cell):
            return (
                f"Gates: RMS at most {comparison.rms_limit:g} times and maximum at most "
                f"{comparison.max_limit:g} times the noise floor."
            )
    return ""


def _floor(results: Results) -> str:
    for cell in results.cells:
        if (floor := cell.floor) is not None:
            return (
                f"Noise floor: RMS {significant(floor.rms)}, maximum {significant(floor.max_abs)}; the source's outputs "
                f"have the scale {significant(floor.scale)}."
            )
    return ""


def routes_table(results: Results) -> Table:
    """Each route's exported graph in float64 against the source in float64; one row per route."""
    rows: dict[str, dict[str, Any]] = {}
    for cell in results.cells:
        comparison = cell.route_comparison
        if comparison is None or cell.route_label in rows:
            continue
        rows[cell.route_label] = {
            "route": cell.route_label,
            "verdict": comparison.verdict,
            "relative_rms": comparison.errors.relative_rms,
            "max": comparison.errors.max_abs,
            "limit": comparison.limit,
            "folded": comparison.folded,
            "oracles": ", ".join(comparison.oracles) or None,
            "passed_over": "; ".join(comparison.passed_over.values()) or None,
            "agreement": comparison.oracle_agreement,
            "head": cell.head,
            "probe_sha256": cell.probe_sha256,
        }
    columns = (
        Column("route", "Route", "code"),
        Column("verdict", "Gate", "verdict"),
        Column("relative_rms", "Relative RMS", "number"),
        Column("limit", "Limit", "number"),
        Column("max", "Max error", "number"),
        Column("folded", "Folded"),
        Column("oracles", "Oracle computed by"),
        Column("passed_over", "Could not compute it"),
        Column("agreement", "Oracles differ by", "number"),
        Column("head", "Head"),
        Column("probe_sha256", "Probe", "hash"),
    )
    return Table(
        "routes",
        "Each route's graph in float64 against the source in float64: what the export itself changed.",
        columns,
        tuple(rows[label] for label in sorted(rows)),
        empty="No route could be computed in float64.",
    )


def decisions_table(results: Results) -> Table:
    """Decisions of each target against those of the source oracle over the probe."""
    rows = []
    compared = [cell.decisions for cell in results.cells if cell.decisions is not None]
    for cell in results.cells:
        if (decisions := cell.decisions) is None:
            continue
        rows.append(
            {
                "cell": cell_label(cell),
                "rule": decisions.rule,
                "samples": decisions.samples,
                "changed": decision_changes(decisions),
                "agreement": decisions.agreement,
                "counted": decisions.counted_count,
                "within": decisions.flip_count - decisions.counted_count,
                "head": cell.head,
                "probe": cell.probe_sha256,
            }
        )
    columns = (
        Column("cell", "Target and route"),
        Column("rule", "Decision"),
        Column("samples", "Probe samples", "integer"),
        Column("changed", "Changed"),
        Column(
            "agreement",
            "Top-1 agreement" if {one.unit for one in compared} <= {"sample"} else "Agreement",
            "percentage",
        ),
        Column("counted", "Flips that count", "integer"),
        Column("within", "Flips within the floor", "integer"),
        Column("head", "Head"),
        Column("probe", "Probe", "hash"),
    )
    return Table(
        "decisions",
        "Decisions of each target against those of the source oracle over the probe.",
        columns,
        tuple(rows),
        empty=nothing_decided(results),
    )


def nothing_decided(results: Results) -> str:
    """Why no decision was compared: no target was run, none is made on such an output, or outputs have another shape."""
    if not any(was_compared(cell) for cell in results.cells):
        return "No target could be run, so there are no decisions to compare."
    given, model = results.manifest.decision, results.manifest.model
    if given is not None and given.rule == "none":
        return "No decision is made on the outputs, so there are none to compare."
    if given is None and model is not None and model.decision == "none":
        return f"No decision is made on the outputs of {model.model}, so there are none to compare."
    return "No target gave outputs of the source's shape, so there are no decisions to compare."


def _nothing_changed(results: Results) -> str:
    """That no decision changed, in numbers, where any was compared."""
    compared = [cell.decisions for cell in results.cells if cell.decisions is not None]
    if not compared:
        return nothing_decided(results)
    whole = all(cell.decisions is not None for cell in results.cells if was_compared(cell))
    where = "" if whole else " where decisions could be compared"
    return f"No decision changed on the probe{where}: {'; '.join(sorted({decision_changes(one) for one in compared}))}."


_FLIP_NOTES = (
    "A flip does not count where its margin is under twice the noise floor: the source's own float32 outputs could have "
    f"tipped. At most {LISTED_FLIPS:,} flips per cell are listed, those of the widest margin.",
)


def flips_table(results: Results) -> Table:
    """Every decision on the probe that changed, with its margin."""
    rows = [
        {
            "cell": cell_label(cell),
            "sample": flip.sample,
            "id": flip.id,
            "where": flip.where,
            "from": flip.source,
            "to": flip.target,
            "margin": flip.margin,
            "counts": not flip.within_floor,
        }
        for cell in results.cells
        if cell.decisions is not None
        for flip in cell.decisions.flips
    ]
    columns = (
        Column("cell", "Target and route"),
        Column("sample", "Probe sample", "integer"),
        Column("id", "Id", "code"),
        Column("where", "Place in the sample" if any(row["where"] for row in rows) else None),
        Column("from", "Source decides"),
        Column("to", "Target decides"),
        Column("margin", "Margin", "number"),
        Column("counts", "Counts"),
    )
    return Table(
        "flips",
        "Decisions on the probe that changed, with the margin by which the source oracle decided.",
        columns,
        tuple(rows),
        notes=_FLIP_NOTES if rows else (),
        empty=_nothing_changed(results),
    )


def outputs_per_class_table(results: Results) -> Table:
    """Errors of single outputs: which class's output carries them."""
    rows: list[dict[str, Any]] = []
    frame = results.probe_outputs
    if frame is not None:
        labels = {cell.cell: cell_label(cell) for cell in results.cells}
        order = {name: index for index, name in enumerate(results.class_names)}
        frame = frame.assign(
            route_error=(frame["target"] - frame["route_oracle"]).abs(),
            source_error=(frame["target"] - frame["source_oracle"]).abs(),
        )
        grouped = frame.groupby(["cell", "class"], sort=False)
        for (cell, name), part in grouped:
            rows.append(
                {
                    "cell": labels.get(str(cell), str(cell)),
                    "class": name,
                    "outputs": len(part),
                    "route_rms": float((part["route_error"] ** 2).mean(skipna=False) ** 0.5),
                    "route_max": float(part["route_error"].max(skipna=False)),
                    "source_rms": float((part["source_error"] ** 2).mean(skipna=False) ** 0.5),
                    "source_max": float(part["source_error"].max(skipna=False)),
                }
            )
        place = {label: index for index, label in enumerate(labels.values())}
        rows.sort(key=lambda row: (place.get(row["cell"], len(place)), order.get(row["class"], len(order))))
    columns = (
        Column("cell", "Target and route"),
        Column("class", "Output of class"),
        Column("outputs", "Samples", "integer"),
        Column("route_rms", "RMSE, route oracle", "number"),
        Column("route_max", "Max, route oracle", "number"),
        Column("source_rms", "RMSE, source oracle", "number"),
        Column("source_max", "Max, source oracle", "number"),
    )
    return Table(
        "outputs_per_class",
        "Errors over the probe by the class whose output carries them.",
        columns,
        tuple(rows),
        empty=_no_classes(results),
    )


def _no_classes(results: Results) -> str:
    """Why errors are not told by class."""
    if not any(was_compared(cell) for cell in results.cells):
        return "No target could be run, so there are no outputs to compare."
    if results.manifest.decision is not None and not results.manifest.decision.per_class:
        return "The output is not one number per sample and class, so its errors are not told by class."
    return "No target gave outputs of the source's shape, so their errors are not told by class."


def verdict_counts(cells: Iterable[CellResult]) -> dict[Verdict, int]:
    """How many cells came out with each verdict, best first; verdicts that no cell has are left out."""
    counts = dict.fromkeys(Verdict, 0)
    for cell in cells:
        counts[cell.verdict] += 1
    return {verdict: count for verdict, count in counts.items() if count}
