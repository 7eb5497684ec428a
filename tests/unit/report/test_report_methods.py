"""The paragraph on methods and its references: what is stated, and that nothing is invented."""

import json
import re

import pytest
from fixture import PROBE_SHA256, write_results

from harness.compare.records import Verdict
from harness.report.bibliography import bibliography, data_reference
from harness.report.build import build_report
from harness.report.methods import methods
from harness.report.read import read_results


def entries(text: str) -> dict[str, dict[str, str]]:
    """A strict reader of the BibTeX that is written: kind and fields by key."""
    found: dict[str, dict[str, str]] = {}
    for entry in text.split("\n\n"):
        head, *lines, last = entry.strip("\n").split("\n")
        kind, key = re.fullmatch(r"@(article|book|inproceedings|manual|misc)\{([a-z0-9-]+),", head).groups()
        assert last == "}"
        assert key not in found
        fields = dict(re.fullmatch(r"  ([a-z]+) = \{(.*)\},", line).groups() for line in lines)
        assert len(fields) == len(lines)
        for value in fields.values():
            depth = 0
            for mark in re.findall(r"(?<!\\)[{}]", value):
                depth += 1 if mark == "{" else -1
                assert depth >= 0
            assert depth == 0
        found[key] = {"kind": kind, **fields}
    return found


def changed(folder, **parts):
    """The result files with other parts of the manifest, read back."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for name, value in parts.items():
        manifest[name] = {**manifest[name], **value} if isinstance(value, dict) and value else value
    path.write_text(json.dumps(manifest))
    return read_results(folder)


def as_given(folder, *, labelled):
    """The made-up result files as those of a given model: nothing trained, nothing exported, no model known."""
    write_results(folder, (Verdict.EQUIVALENT,))
    for name in ("training.csv", "training_seconds.csv", *(() if labelled else ("predictions.csv.gz",))):
        (folder / name).unlink()
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for name in ("training", "exports", "model"):
        del manifest[name]
    names = manifest["data"]["class_names"]
    manifest |= {
        "source": "file",
        "seeds": {},
        "labelled": labelled,
        "data": {"name": "given probe", "title": "the user's own probe", "class_names": names, "citation": ""},
    }
    path.write_text(json.dumps(manifest))
    return folder


def test_the_paragraph_states_what_a_reader_needs(results):
    text = methods(results).plain()
    for fact in (
        "3,129 samples of 13 bands (B1, B10, ",
        "45 dates in 9 classes (barley, ",
        "2,235 for training, 447 for validation and 447 for test",
        "synthetic, made by a formula and not observed",
        "tempcnn (Pelletier et al. 2019) with 3,197,449 trainable parameters",
        "filters 3 × 128",
        "pytorch (torch 2.13.0) for 12 epochs",
        "learning rate 2.38 × 10⁻⁴",
        "batches of 256, seed 42",
        "opset 18, batch normalisation folded",
        "opset 11",
        "python/onnxruntime (onnxruntime 1.31.1)",
        "r/base (R 4.2.2, jsonlite 1.8.4; R Core Team)",
        "julia/base was asked for and gave no outputs",
        f"64 samples (SHA-256 {PROBE_SHA256})",
        "4 times (RMS) and 16 times (largest error)",
        "1 × 10⁻⁶ or 1 × 10⁻⁸ (with and without folding)",
        "447 test samples",
        "McNemar's test (McNemar 1947)",
        "EO Interop Harness, version 0.1.0",
    ):
        assert fact in text
    assert "  " not in text
    assert "()" not in text
    assert "None" not in text


def test_every_citation_has_its_entry_and_every_entry_is_cited(report):
    folder = report.html.parent
    cited = set(re.findall(r"\\cite\{([^}]+)\}", (folder / "methods.tex").read_text()))
    assert cited == set(entries((folder / "references.bib").read_text()))
    assert {"pelletier2019temporal", "mcnemar1947note", "r-core", "eo-interop-harness"} < cited


def test_known_works_are_cited_in_full(report):
    found = entries((report.html.parent / "references.bib").read_text())
    paper = found["pelletier2019temporal"]
    assert paper["doi"] == "10.3390/rs11050523"
    assert paper["author"] == r"Pelletier, Charlotte and Webb, Geoffrey I. and Petitjean, Fran\c{c}ois"
    assert (paper["kind"], paper["year"], paper["volume"], paper["number"]) == ("article", "2019", "11", "5")
    assert found["r-core"]["note"] == "Version 4.2.2"


def test_known_data_are_their_publication(folder):
    results = changed(folder, data={"doi": "10.5194/ISPRS-archives-XLIII-B2-2020-1545-2020", "citation": "someone"})
    assert data_reference(results).key == "russwurm2020breizhcrops"


def test_unknown_data_get_no_invented_field(folder):
    results = changed(folder, data={"doi": "10.1234/a_b", "citation": "A & B (2021). 50 % of fields."})
    found = entries(bibliography((data_reference(results),)))
    assert found == {
        "data-synthetic-crops": {
            "kind": "misc",
            "title": "{Synthetic crop time series}",
            "doi": "10.1234/a_b",
            "note": r"A \& B (2021). 50 \% of fields. Synthetic data.",
        }
    }


def test_unknown_data_without_citation_are_not_cited(folder):
    assert data_reference(changed(folder, data={"citation": "not stated"})) is None


def test_a_paper_that_is_not_known_is_given_by_its_address_alone(folder):
    results = changed(folder, model={"paper": "Doe 2022, https://doi.org/10.9999/xyz."})
    (found,) = (one for one in methods(results).references if one.key == "model-tempcnn")
    assert found.fields == (("title", "tempcnn"), ("doi", "10.9999/xyz"))


@pytest.mark.parametrize("labelled", [True, False])
def test_a_given_model_has_a_report(tmp_path, labelled):
    folder = as_given(tmp_path / "compare_model", labelled=labelled)
    files = build_report(folder)
    text = (folder / "methods.txt").read_text()
    assert text.startswith("A model that was given as a file was run on 64 samples of the user's own, with")
    assert ("with labels of 9 classes" in text) == labelled
    assert "the given file itself, computed in float64" in text
    assert "float32 error of the ONNX reference implementation" in text
    for absent in ("trained", "exported", "relative RMS", " seed ", "None"):
        assert absent not in text
    assert set(entries((folder / "references.bib").read_text())) >= {"eo-interop-harness", "r-core"}
    stems = {path.stem for path in files.figures}
    assert "differences" in stems
    assert ("confusion" in stems) == labelled
    page = files.html.read_text()
    assert ("McNemar&#39;s test had nothing to test" in page) == labelled
    assert (folder / "tables" / "mcnemar.csv").read_text().count("\n") == 1


def test_nothing_run_is_nothing_said(tmp_path):
    folder = write_results(tmp_path / "unit-test", (Verdict.FAILED, Verdict.UNAVAILABLE))
    text = methods(read_results(folder)).plain()
    assert "julia/base and r/base were asked for and gave no outputs" in text
    for absent in ("It was run", "Outputs (", "gates", "McNemar", "bootstrap"):
        assert absent not in text


def test_the_section_is_in_both_pages(report):
    for page in (report.html.read_text(), report.markdown.read_text()):
        assert "Methods, ready to use" in page
        assert "@article{pelletier2019temporal," in page


def test_exporters_of_several_versions_are_told_apart(tmp_path):
    results = read_results(write_results(tmp_path))
    labels = sorted(results.manifest.exports)
    assert len(labels) > 1
    exports = {
        label: {**results.manifest.exports[label], "versions": {"torch": version}}
        for label, version in zip(labels, ["2.8.0"] + ["2.13.0"] * (len(labels) - 1), strict=True)
    }
    text = methods(changed(tmp_path, exports=exports)).text()
    assert "by torch 2.8.0: " in text
    assert "; by torch 2.13.0: " in text
    same = {label: {**export, "versions": {"torch": "2.8.0"}} for label, export in exports.items()}
    assert f"in {len(labels)} ways (torch 2.8.0): " in methods(changed(tmp_path, exports=same)).text()
