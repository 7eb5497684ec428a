"""A whole report: which files there are, that they are the same every time, and what is said when result files are not."""

import csv
import gzip
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from fixture import cell_name, write_results

from harness.compare.records import Verdict
from harness.errors import DataError, StoreError
from harness.report.build import build_report

RESULT_FILES = (
    "manifest.json",
    "cells.json",
    "training.csv",
    "training_seconds.csv",
    "predictions.csv.gz",
    "outputs_probe.csv.gz",
    "seconds.json",
    "structures.json",
    "workers.json",
)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_every_table_and_figure_is_written(report):
    assert {path.stem for path in report.tables} == {
        "cells",
        "confidence",
        "confusion",
        "disagreement",
        "disagreement_summary",
        "flips",
        "layers",
        "mcnemar",
        "metrics",
        "metrics_per_class",
        "outputs_per_class",
        "parameters",
        "routes",
        "seconds",
        "structure",
        "tooling",
        "tooling_seconds",
        "training",
        "training_seconds",
    }
    assert {path.name for path in report.figures} == {
        f"{name}.{suffix}"
        for name in (
            "class_counts",
            "confusion",
            "differences",
            "f1_heatmap",
            "f1_per_class",
            "graphs",
            "node_counts",
            "noise_floor",
            "training_curves",
        )
        for suffix in ("png", "svg", "pdf")
    }
    assert {path.relative_to(report.html.parent).as_posix() for path in report.texts} == {
        "methods.tex",
        "methods.txt",
        "references.bib",
        *(
            f"tables/{name}.tex"
            for name in ("cells", "errors", "metrics", "metrics_per_class", "tooling", "tooling_seconds")
        ),
    }
    for path in (report.markdown, report.html, *report.tables, *report.figures, *report.texts):
        assert path.stat().st_size > 0
    assert not [path for path in report.html.parent.rglob("*") if path.name.startswith(".")], "scratch files are left"


def test_two_builds_are_byte_equal_in_another_folder_and_process(report, tmp_path):
    second = write_results(tmp_path / "second")
    program = "import sys, pathlib, harness.report.build as b; b.build_report(pathlib.Path(sys.argv[1]), pdf=True)"
    root = Path(__file__).parents[3]
    subprocess.run(
        [sys.executable, "-c", program, str(second)],
        check=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": "12345", "SOURCE_DATE_EPOCH": "1"},
    )
    left, right = contents(report.html.parent), contents(second)
    assert sorted(left) == sorted(right)
    assert [name for name in left if left[name] != right[name]] == []
    assert "figures/noise_floor.pdf" in left


def test_timings_reach_no_other_table_and_no_figure(report, folder):
    (folder / "seconds.json").write_text('{"steps": {"train": 99999.5}}')
    lines = (folder / "training_seconds.csv").read_text().splitlines()
    changed = [lines[0], *(f"{line.split(',')[0]},7.5,88888.0" for line in lines[1:])]
    (folder / "training_seconds.csv").write_text("\n".join(changed) + "\n")
    other = build_report(folder)
    differ = {
        path.name
        for path, twin in zip(
            (*report.tables, *(path for path in report.figures if path.suffix != ".pdf"), *report.texts),
            (*other.tables, *other.figures, *other.texts),
            strict=True,
        )
        if path.read_bytes() != twin.read_bytes()
    }
    assert differ == {"seconds.csv", "training_seconds.csv"}
    before, _, after = other.html.read_text().partition('id="timings"')
    assert "1666 min" in after
    assert "1666 min" not in before


def chunks(png: bytes) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    at = 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        found.setdefault(png[at + 4 : at + 8], []).append(png[at + 8 : at + 8 + length])
        at += 12 + length
    return found


def text_of(png: bytes) -> dict[str, str]:
    """Text chunks by key, plain and international."""
    found = {}
    for chunk in chunks(png).get(b"tEXt", []):
        key, _, value = chunk.partition(b"\0")
        found[key.decode()] = value.decode("latin-1")
    for chunk in chunks(png).get(b"iTXt", []):
        key, _, rest = chunk.partition(b"\0")
        compressed, rest = rest[0], rest[2:]
        value = rest.split(b"\0", 2)[2]
        found[key.decode()] = (zlib.decompress(value) if compressed else value).decode()
    return found


def test_figures_carry_their_caption_and_no_date(report):
    for path in (path for path in report.figures if path.suffix != ".pdf"):
        content = path.read_bytes()
        if path.suffix == ".png":
            text = text_of(content)
            assert set(text) == {"Title", "Description"}
            caption = text["Description"]
        else:
            caption = content.decode()
            assert "dc:date" not in caption
            assert "matplotlib" not in caption.lower().replace("matplotlib.axis", "").split("<g id=")[0]
        for fact in ("5f0c3b7a9d21", "64 samples", "seed 42", "head logits", "onnxruntime 1.31.1", "synthetic data"):
            assert fact in caption, f"{path.name} does not state {fact}"


@pytest.mark.parametrize("name", RESULT_FILES)
def test_missing_result_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(DataError) as caught:
        build_report(folder)
    assert str(folder / name) in caught.value.line()
    assert "missing" in caught.value.line()
    assert caught.value.hint == "run the scenario again"
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("name", RESULT_FILES)
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.97])
def test_truncated_result_file_is_named(folder, name, kept):
    path = folder / name
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(DataError) as caught:
        build_report(folder)
    assert str(path) in caught.value.line()
    assert caught.value.hint == "run the scenario again"


def test_log_cut_at_the_end_of_a_line_is_noticed(folder):
    path = folder / "training.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-3]))
    with pytest.raises(DataError, match="9 of 12 epochs are there"):
        build_report(folder)


def test_damaged_gzip_is_named(folder):
    path = folder / "predictions.csv.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"predictions\.csv\.gz: is (cut short or )?damaged"):
        build_report(folder)


def test_number_that_is_none_is_named(folder):
    path = folder / "outputs_probe.csv.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines(keepends=True)
    lines[5] = lines[5].rstrip("\n") + "x\n"
    path.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))
    with pytest.raises(DataError, match=r"outputs_probe\.csv\.gz: is damaged: a number cannot be read"):
        build_report(folder)


def test_unknown_class_in_predictions_is_named(folder):
    path = folder / "predictions.csv.gz"
    text = gzip.decompress(path.read_bytes()).decode().replace("rapeseed,", "rape,", 1)
    text = text.replace(",wheat,", ",weat,", 1)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    with pytest.raises(DataError, match="names a class that the data do not have"):
        build_report(folder)


def test_cells_of_another_run_are_refused(folder):
    cells = json.loads((folder / "cells.json").read_text())
    cells[0]["verdict"] = "identical" if cells[0]["verdict"] != "identical" else "drifted"
    (folder / "cells.json").write_text(json.dumps(cells))
    with pytest.raises(DataError, match=rf"disagree about cell '{cells[0]['cell']}'"):
        build_report(folder)


def test_record_of_another_version_is_refused(folder):
    cells = json.loads((folder / "cells.json").read_text())
    cells[0]["colour"] = "blue"
    (folder / "cells.json").write_text(json.dumps(cells))
    with pytest.raises(DataError, match=r"cells\.json: was written by another version \(0\.colour"):
        build_report(folder)


def test_no_such_folder(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no such results folder; run the scenario again"):
        build_report(tmp_path / "nowhere")


def test_folder_that_cannot_be_written(folder):
    (folder / "tables").write_text("in the way")
    with pytest.raises(StoreError):
        build_report(folder)


def test_nothing_could_be_run(tmp_path):
    verdicts = (Verdict.FAILED, Verdict.UNAVAILABLE, Verdict.UNSUPPORTED)
    files = build_report(write_results(tmp_path / "unit-test", verdicts))
    assert {path.stem for path in files.figures} == {"graphs", "node_counts", "training_curves"}
    page = files.html.read_text()
    assert "No target could be run" in page
    assert "apt-get install julia" in page
    assert "cannot allocate vector of size 9.1 Gb" in page


@pytest.mark.slow
def test_figures_and_tables_of_an_earlier_report_do_not_stay(folder):
    build_report(folder, pdf=True)
    for name in ("predictions.csv.gz", "outputs_probe.csv.gz"):
        (folder / name).unlink()
    write_results(folder, (Verdict.FAILED, Verdict.UNAVAILABLE))
    files = build_report(folder)
    assert set((folder / "figures").iterdir()) == set(files.figures)
    with (folder / "tables" / "metrics.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == 1


def test_progress_is_told(folder, draw_only):
    draw_only()
    told = []
    build_report(folder, progress=lambda done, total, text: told.append((done, total)))
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_import_is_light():
    """The command line imports the report's code; the libraries that draw are imported when a report is made."""
    program = "import sys, harness.report.build; print(sorted({'matplotlib', 'pandas', 'jinja2'} & set(sys.modules)))"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_cells_are_told_with_head_probe_and_range(report):
    path = next(path for path in report.tables if path.stem == "cells")
    with path.open(newline="") as file:
        rows = {row["cell"]: row for row in csv.DictReader(file)}
    row = rows[cell_name("torch-dynamo-opset18-unfolded", "python/onnxruntime")]
    assert row["verdict"] == "divergent"
    assert float(row["end_to_end_rms_ratio"]) == 310.0
    assert float(row["runtime_rms_ratio"]) == 1.5
    assert (row["head"], row["probe_samples"]) == ("logits", "64")
    assert len(row["probe_sha256"]) == 64
    assert (float(row["runtime_output_min"]), float(row["runtime_output_max"])) == (-6.31, 13.9)
    assert (row["flips_counted"], row["flips_within_floor"]) == ("1", "1")
    failed = rows[cell_name("torch-dynamo-opset18-unfolded", "r/base")]
    assert failed["runtime_rms_ratio"] == ""
