"""What must stand beside every number: n, probe, seed, head, versions, and whether the data are synthetic."""

from __future__ import annotations

import re
from typing import Any

from harness.report.formatting import counted, short_hash
from harness.report.read import Results

#: Versions that belong to a language and not to an engine, shown last.
_LANGUAGES = ("python", "R", "julia")


def heads(results: Results) -> str:
    """The head or heads of the model, as outputs were compared."""
    found = sorted({cell.head for cell in results.cells if cell.head})
    if not found and results.manifest.model is not None:
        found = [results.manifest.model.head]
    return ", ".join(found) or "unknown"


def seed(results: Results) -> str:
    """The scenario's seed; with several seeds, each by its name."""
    seeds = results.manifest.seeds
    if isinstance(seeds, dict):
        distinct = set(map(str, seeds.values()))
        if len(distinct) == 1:
            return distinct.pop()
        return ", ".join(f"{name} {value}" for name, value in sorted(seeds.items()))
    return "unknown" if seeds is None else str(seeds)


def probe(results: Results) -> str:
    """Size and hash of the probe: ``probe of 256 samples, SHA-256 5f0c3b7a9d21…``."""
    part = results.manifest.probe
    if part.samples is None:
        return "no probe"
    return f"probe of {counted(part.samples, 'sample')}, SHA-256 {short_hash(part.sha256)}…"


def versions(results: Results) -> str:
    """Versions of what was trained and run, each once, languages last."""
    found: dict[str, set[str]] = {}
    trained: Any = (results.manifest.training or results.manifest.imported).get("versions")
    for part in (trained if isinstance(trained, dict) else {}, *(cell.versions for cell in results.cells)):
        for name, version in part.items():
            # Some engines name a library by the file it came from; that stays in the provenance.
            if "/" in str(version) or "\\" in str(version):
                continue
            found.setdefault(str(name), set()).add(str(version))
    names = sorted(found, key=lambda name: (name in _LANGUAGES, name.lower()))
    return ", ".join(f"{name} {' and '.join(sorted(found[name], key=_numbers))}" for name in names)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def test_samples(results: Results) -> str:
    """The number of test samples that every runtime predicted."""
    return f"n = {results.evaluated:,} test samples"


def imported(results: Results) -> str:
    """Where weights that were given come from, in one sentence."""
    record = results.manifest.imported
    size = record.get("parameters")
    count = f", {size:,} scalars" if isinstance(size, int) else ""
    return (
        f"The weights were given as the {record.get('format', '')} file {record.get('file', 'not stated')} (SHA-256 "
        f"{record.get('sha256', 'not stated')}; {record.get('layout', 'canonical names')}{count}) and run in "
        f"{record.get('framework', 'the source framework')}."
    )


def training_samples(results: Results) -> str:
    """The numbers of training and validation samples."""
    counts = {part: sum(classes.values()) for part, classes in results.manifest.data.counts.items()}
    if not counts.get("train"):
        return "n not stated"
    return f"n = {counts['train']:,} training and {counts.get('valid', 0):,} validation samples"


def line(results: Results, *, samples: str = "", with_versions: bool = False) -> str:
    """One line of all of this, for captions; ``samples``: the number of samples, where others than the probe's count."""
    parts = [samples] if samples else []
    # A given model was drawn by no seed of ours.
    drawn = [f"seed {seed(results)}"] if results.manifest.seeds != {} else []
    parts += [probe(results), *drawn, f"head {heads(results)}"]
    if with_versions and (text := versions(results)):
        parts.append(text)
    if results.manifest.data.synthetic:
        parts.append("synthetic data")
    text = "; ".join(parts)
    return f"{text[0].upper() if not text.startswith('n =') else text[0]}{text[1:]}."
