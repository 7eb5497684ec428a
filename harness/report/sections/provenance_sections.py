"""Exporters, runtimes that are missing, timings, provenance and how to cite: what a reader needs to repeat a number."""

from __future__ import annotations

from typing import Any

from harness import AUTHORS
from harness.compare.records import Verdict
from harness.report.document import Block, Bullets, Definitions, Listing, Paragraph, Section, TableBlock
from harness.report.read import Results, cell_label
from harness.report.tables.training_tables import seconds_table, training_seconds_table


def exporters_section(results: Results) -> Section:
    """The exporter that really ran for each route, and every warning it gave."""
    sections = []
    for index, (label, export) in enumerate(sorted(results.manifest.exports.items()), 1):
        asked = export.get("asked")
        wanted = (
            ", ".join(f"{key} {_plain(value)}" for key, value in sorted(asked.items()))
            if isinstance(asked, dict)
            else "–"
        )
        versions = export.get("versions")
        items = [
            ("Asked for", wanted),
            ("Exporter that ran", str(export.get("exporter", "–"))),
            ("Opset written", str(export.get("opset", "–"))),
        ]
        if isinstance(versions, dict):
            items.append(("Versions", ", ".join(f"{name} {value}" for name, value in sorted(versions.items()))))
        warnings = export.get("warnings") or []
        blocks: list[Block] = [Definitions(tuple(items))]
        if warnings:
            blocks.append(Listing(tuple(str(line) for line in warnings), "Warnings"))
        else:
            blocks.append(Paragraph("The exporter gave no warnings."))
        sections.append(Section(f"export-{index}", label, tuple(blocks)))
    text = "What was asked of each exporter, what it really did, and what it said."
    if not sections:
        text = "Nothing was exported in this run."
    return Section("exporters", "Exporters and their warnings", (Paragraph(text),), tuple(sections))


def _plain(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def unavailable_section(results: Results) -> Section:
    """Runtimes that are not installed, with the command that installs each."""
    missing = {name: part.install for name, part in results.manifest.runtimes.items() if not part.installed}
    for cell in results.cells:
        if cell.verdict is Verdict.UNAVAILABLE:
            missing.setdefault(cell.target, cell.hint or "")
    blocks: list[Block] = []
    if not missing:
        blocks.append(Paragraph("Every runtime of this scenario is installed."))
    for name in sorted(missing):
        cells = [cell_label(cell) for cell in results.cells if cell.target == name]
        text = f"{name} is not installed here" + (f"; not run: {'; '.join(cells)}." if cells else ".")
        blocks.append(Paragraph(text))
        if missing[name]:
            blocks.append(Listing((missing[name],), "Install it with"))
    return Section("unavailable", "Runtimes that are missing", tuple(blocks))


def timings_section(results: Results) -> Section:
    """Seconds of one run, apart from everything that is the same in every run."""
    blocks: list[Block] = [
        Paragraph(
            "Figures of one run on one machine, not a benchmark: they differ from run to run and are in no other table."
        ),
        TableBlock(seconds_table(results), tall=True),
    ]
    table = training_seconds_table(results)
    if table.rows:
        blocks.append(TableBlock(table, tall=True))
    return Section("timings", "Timings of this run", tuple(blocks))


def provenance_section(results: Results) -> Section:
    """Versions, hardware, threads, seeds and hashes."""
    manifest = results.manifest
    items: list[tuple[str, str]] = [
        ("Scenario", f"{manifest.scenario.name}, SHA-256 {manifest.scenario.sha256 or 'not stated'}"),
        *_flat("Harness", manifest.harness),
        *_flat("Hardware", manifest.hardware),
        *_flat("Threads", manifest.threads),
        *_flat("Seeds", manifest.seeds),
        *_flat("Python", manifest.python),
    ]
    if manifest.lock:
        items.append(("Lock file", f"SHA-256 {manifest.lock}"))
    for name, runtime in sorted(manifest.runtimes.items()):
        versions = ", ".join(f"{package} {version}" for package, version in sorted(runtime.versions.items()))
        items.append((f"Runtime {name}", versions or ("installed" if runtime.installed else "not installed")))
    if manifest.probe.sha256:
        items.append(("Probe", f"{manifest.probe.samples:,} samples, SHA-256 {manifest.probe.sha256}"))
    items += [(f"Artifact {step}", str(key)) for step, key in sorted(manifest.artifacts.items())]
    blocks: list[Block] = [Definitions(tuple(items))]
    if manifest.scenario.text:
        blocks.append(Listing(tuple(manifest.scenario.text.rstrip("\n").split("\n")), "The scenario"))
    return Section("provenance", "Provenance", tuple(blocks))


def _flat(term: str, value: Any) -> list[tuple[str, str]]:
    if value is None:
        return []
    if not isinstance(value, dict):
        return [(term, str(value))]
    return [pair for key in sorted(value) for pair in _flat(f"{term}: {key.replace('_', ' ')}", value[key])]


def citing_section(results: Results) -> Section:
    """How to cite data, model and harness."""
    data, model = results.manifest.data, results.manifest.model
    doi = f" https://doi.org/{data.doi}" if data.doi and data.doi not in data.citation else ""
    kind = " Synthetic data: say so where you use them." if data.synthetic else ""
    items = [f"Data: {data.citation or data.title or data.name}{doi}{kind}"]
    if model is not None:
        items.append(f"Model: {model.model}. {model.paper or 'No paper is known to the harness.'}")
    version = results.manifest.harness.get("version")
    items.append(
        f"Harness: {AUTHORS}. EO Interop Harness{f', version {version}' if version else ''}. See CITATION.cff."
    )
    return Section("citing", "How to cite", (Bullets(tuple(items)),))
