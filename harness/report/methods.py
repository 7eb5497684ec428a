"""The paragraph that a paper's section on methods needs: data, model, training, exports, runtimes, probe, gates and software."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.report import bibliography, caption_facts
from harness.report.bibliography import Reference
from harness.report.formatting import counted, listed, significant
from harness.report.latex import escape
from harness.report.read import Results, was_compared
from harness.report.task_reports import report_of

Part = str | Reference


@dataclass(frozen=True)
class Methods:
    """Sentences of plain text and citations in their places."""

    sentences: tuple[tuple[Part, ...], ...]

    @property
    def references(self) -> tuple[Reference, ...]:
        """What is cited, each once, in order of its first place."""
        found = {part.key: part for sentence in self.sentences for part in sentence if isinstance(part, Reference)}
        return tuple(found.values())

    def plain(self) -> str:
        """One paragraph of plain text; citations in round brackets, by name and year where there is one."""
        return " ".join(_plain(sentence) for sentence in self.sentences)

    def text(self) -> str:
        """The content of ``methods.txt``: the paragraph, and where its references are found."""
        places = [f"{one.words or dict(one.fields)['title']}: {one.address}" for one in self.references if one.address]
        return "\n".join([self.plain(), "", *places, ""]) if places else f"{self.plain()}\n"

    def latex(self) -> str:
        """The content of ``methods.tex``: the paragraph with ``\\cite`` of the keys in ``references.bib``; ASCII."""
        lines = [
            "".join(rf"~\cite{{{part.key}}}" if isinstance(part, Reference) else escape(part) for part in sentence)
            for sentence in self.sentences
        ]
        return "\n".join(["% Entries are in references.bib.", *lines, ""])


def _plain(sentence: tuple[Part, ...]) -> str:
    text = ""
    for part in sentence:
        if isinstance(part, str):
            text += part
        elif part.words:
            # Two pairs of brackets in a row are one.
            text = f"{text[:-1]}; {part.words})" if text.endswith(")") else f"{text} ({part.words})"
    return text


def methods(results: Results) -> Methods:
    """What was done, from the result files; nothing is said of what they do not state."""
    sentences = (
        *_data(results),
        *_model(results),
        *_training(results),
        *_exports(results),
        *_runtimes(results),
        *_comparisons(results),
        *_statistics(results),
        *_software(results),
    )
    return Methods(tuple(sentences))


def _cited(reference: Reference | None) -> tuple[Part, ...]:
    return () if reference is None else (reference,)


def _data(results: Results) -> list[tuple[Part, ...]]:
    data = results.manifest.data
    if results.manifest.source == "file" or results.manifest.probe_given:
        samples = counted(results.manifest.probe.samples or 0, "sample")
        known = f"with labels of {_classes(results)}" if results.manifest.labelled else "without labels"
        return [(f"A model that was given as a file was run on {samples} of the user's own, {known}.",)]
    kind = "synthetic, made by a formula and not observed" if data.synthetic else "observed"
    sizes = [(sum(counts.values()), _USES.get(part, part)) for part, counts in _parts(data.counts)]
    total = counted(sum(size for size, _ in sizes), "sample") if sizes else "samples"
    parts = [f"{size:,} for {use}" for size, use in sizes]
    shape = []
    if data.bands:
        shape.append(f"{counted(len(data.bands), 'band')} ({', '.join(band.name for band in data.bands)})")
    if data.dates:
        shape.append(counted(data.dates, "date"))
    of = f" of {listed(shape)}" if shape else ""
    reference = bibliography.data_reference(results)
    found: list[tuple[Part, ...]] = [
        (
            f"The data set is {data.title or data.name}",
            *_cited(reference),
            f", {kind}: {total}{of}{report_of(results).samples(results)}{', ' + listed(parts) if parts else ''}.",
        )
    ]
    if data.normalisation.kind != "none":
        found.append((f"Values were normalised by band (kind “{data.normalisation.kind}”).",))
    return found


def _classes(results: Results) -> str:
    names = results.class_names
    return f"{counted(len(names), 'class', 'classes')} ({', '.join(names)})"


_USES = {"train": "training", "valid": "validation", "test": "test"}


def _parts(counts: dict[str, dict[str, int]]) -> list[tuple[str, dict[str, int]]]:
    order = list(_USES)
    return sorted(counts.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order))


def _model(results: Results) -> list[tuple[Part, ...]]:
    model = results.manifest.model
    if model is None:
        return []
    sizes = ", ".join(
        f"{key.replace('_', ' ')} {_shown(value)}" for key, value in sorted(model.hyperparameters.items())
    )
    return [
        (
            f"The model is {model.model}",
            *_cited(bibliography.model_reference(results)),
            f" with {model.trainable_count:,} trainable parameters{f' ({sizes})' if sizes else ''} and the head {model.head}.",
        )
    ]


#: What a reader must know of a training, as a sentence has it.
_CHOICES = {
    "optimiser": "optimiser {}",
    "loss": "loss {}",
    "learning_rate": "learning rate {}",
    "weight_decay": "weight decay {}",
    "batch_size": "batches of {}",
    "seed": "seed {}",
}


def _training(results: Results) -> list[tuple[Part, ...]]:
    training = results.manifest.training
    if results.manifest.source == "weights":
        return [(caption_facts.imported(results), " All results are of these weights.")]
    if not training:
        return []
    inner = training.get("hyperparameters")
    stated: dict[str, Any] = {**(inner if isinstance(inner, dict) else {}), **training}
    choices = [text.format(_shown(stated[key])) for key, text in _CHOICES.items() if stated.get(key) is not None]
    versions = training.get("versions")
    with_versions = f" ({_versions(versions)})" if isinstance(versions, dict) and versions else ""
    epochs = f" for {counted(int(training['epochs']), 'epoch')}" if isinstance(training.get("epochs"), int) else ""
    return [
        (
            f"It was trained once with {training.get('framework', 'its framework')}{with_versions}{epochs}"
            f"{' with ' + ', '.join(choices) if choices else ''}; all results are of these weights.",
        )
    ]


def _exports(results: Results) -> list[tuple[Part, ...]]:
    by_versions: dict[str, list[str]] = {}
    for label, export in sorted(results.manifest.exports.items()):
        how = str(export.get("exporter") or export.get("route") or label)
        opset = f", opset {export['opset']}" if export.get("opset") is not None else ""
        state = export.get("folded")
        folded = f", batch normalisation {'folded' if state else 'kept'}" if isinstance(state, bool) else ""
        versions = export.get("versions")
        known = _versions(versions) if isinstance(versions, dict) else ""
        by_versions.setdefault(known, []).append(f"{how}{opset}{folded}")
    if not by_versions:
        return []
    begun = f"It was exported to ONNX in {counted(sum(map(len, by_versions.values())), 'way')}"
    if not _one_set(results):
        groups = [f"by {known or 'unknown versions'}: {'; '.join(ways)}" for known, ways in by_versions.items()]
        return [(f"{begun}: {'; '.join(groups)}.",)]
    versions = {}
    for export in results.manifest.exports.values():
        versions |= export["versions"] if isinstance(export.get("versions"), dict) else {}
    tail = f" ({_versions(versions)})" if versions else ""
    return [(f"{begun}{tail}: {'; '.join(way for ways in by_versions.values() for way in ways)}.",)]


def _one_set(results: Results) -> bool:
    """Whether every package of the exporters has one version in all of them."""
    told: dict[str, str] = {}
    for export in results.manifest.exports.values():
        for package, version in (export.get("versions") or {}).items():
            if told.setdefault(package, version) != version:
                return False
    return True


def _runtimes(results: Results) -> list[tuple[Part, ...]]:
    parts: list[Part] = []
    run = [cell for cell in results.cells if was_compared(cell)]
    names = sorted({cell.target for cell in run})
    cited: set[str] = set()
    told: set[tuple[str, str]] = set()
    for index, name in enumerate(names):
        versions = next((cell.versions for cell in run if cell.target == name), {})
        parts.append(("" if index == 0 else " and " if index == len(names) - 1 else ", ") + name)
        # A version that was just told of another runtime is not told again.
        new = {package: version for package, version in versions.items() if (package, version) not in told}
        told |= set(new.items())
        parts.append(f" ({text})" if (text := _versions(new)) else "")
        language = name.partition("/")[0]
        reference = bibliography.language_reference(language, versions)
        if reference is not None and reference.key not in cited:
            cited.add(reference.key)
            parts.append(reference)
    missing = sorted({cell.target for cell in results.cells} - set(names))
    found: list[tuple[Part, ...]] = []
    if names:
        threads = results.manifest.threads
        tail = f", each with {counted(threads, 'thread')} in a process of its own" if isinstance(threads, int) else ""
        found.append(("It was run in float32 in ", *parts, f"{tail}."))
    if missing:
        found.append((f"{listed(missing)} {'was' if len(missing) == 1 else 'were'} asked for and gave no outputs.",))
    return found


def _comparisons(results: Results) -> list[tuple[Part, ...]]:
    probe = results.manifest.probe
    compared = [cell for cell in results.cells if was_compared(cell)]
    if not compared or probe.samples is None:
        return []
    expected = results.manifest.expected
    reference = (
        "the given file itself, computed in float64, and with the outputs that the framework gave which it was made from"
        if expected
        else "the given file itself, computed in float64"
        if results.manifest.source == "file"
        else "the source model and each exported graph, both computed in float64"
    )
    found: list[tuple[Part, ...]] = [
        (
            f"Outputs ({caption_facts.heads(results)}) were compared on a fixed probe of {counted(probe.samples, 'sample')} "
            f"(SHA-256 {probe.sha256}) with {reference}.",
        )
    ]
    runtime = next((one for cell in compared if (one := cell.runtime_comparison or cell.end_to_end)), None)
    limits = sorted({cell.route_comparison.limit for cell in compared if cell.route_comparison}, reverse=True)
    given = results.manifest.source == "file"
    gates = [
        "parameters must equal the tensors of the file bit for bit"
        if given
        else "parameters must be equal bit for bit, folded ones within 1 ULP of the fold in float64"
    ]
    if limits and (expected or not given):
        shown = " or ".join(significant(limit, 1) for limit in limits)
        names = " (with and without folding)" if len(limits) == 2 else ""
        gates.append(
            f"an exported graph in float64 may differ from the source by a relative RMS of at most {shown}{names}"
        )
    if runtime is not None:
        floor = "the float32 error of the ONNX reference implementation" if given else "the source's own float32 error"
        gates.append(
            f"float32 outputs may differ by at most {runtime.rms_limit:g} times (RMS) and {runtime.max_limit:g} times (largest "
            f"error) the noise floor, {floor} on the probe"
        )
    found.append(
        (f"Three gates were applied: {'; '.join(gates)}." if len(gates) == 3 else f"Gates: {'; '.join(gates)}.",)
    )
    return found


def _statistics(results: Results) -> list[tuple[Part, ...]]:
    if not results.evaluated:
        return []
    return report_of(results).statistics(results)


def _software(results: Results) -> list[tuple[Part, ...]]:
    manifest = results.manifest
    version = manifest.harness.get("version")
    stated = [f"version {version}"] if version else []
    if manifest.harness.get("source_sha256"):
        stated.append(f"source SHA-256 {manifest.harness['source_sha256']}")
    machine = [str(manifest.hardware[key]) for key in ("processor", "operating_system") if manifest.hardware.get(key)]
    on = f" on {', '.join(machine)}" if machine else ""
    return [
        (
            "All of this was done by the EO Interop Harness",
            bibliography.harness_reference(results),
            f"{', ' + ', '.join(stated) if stated else ''}{on}.",
        )
    ]


def _versions(versions: dict[str, str]) -> str:
    """Packages and versions; libraries that are named by their file stay in the provenance."""
    return ", ".join(
        f"{name} {version}"
        for name, version in sorted(versions.items())
        if "/" not in str(version) and "\\" not in str(version)
    )


def _shown(value: Any) -> str:
    """A hyper-parameter: numbers without closing zeros, equal values of a list once with their number."""
    if isinstance(value, float):
        text = significant(value)
        return text.rstrip("0").rstrip(".") if "." in text and "×" not in text else text
    if isinstance(value, list | tuple):
        if len(value) > 1 and len(set(map(str, value))) == 1:
            return f"{len(value)} × {_shown(value[0])}"
        return ", ".join(map(_shown, value)) or "none"
    return str(value)
