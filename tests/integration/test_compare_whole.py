"""A file with the whole model that it was made from, a program that the user trusts: the example of the document."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tests.integration.comparing import compare
from tests.integration.conftest import ROOT

DOCUMENT = (ROOT / "docs" / "why-does-my-onnx-differ.md").read_text()
#: ``export.py`` and ``answers.py`` of the document.
EXPORT, ANSWERS = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example of the document, with fewer samples."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "export.py").write_text(EXPORT)
    np.savez(folder / "X.npz", image=np.random.default_rng(2).uniform(-3, 3, (64, 4, 16, 16)).astype(np.float32))
    subprocess.run([sys.executable, "-W", "ignore", "-c", ANSWERS], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(autouse=True)
def _only_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # One oracle is enough here: those of R and Julia take longer than all else.
    monkeypatch.setenv("PATH", str(tmp_path))


COMMON = ("--from", "decoder.pt2", "--to", "python/onnxruntime", "--probe", "X.npz", "--no-layers")


def test_a_program_is_not_run_without_trust(folder: Path) -> None:
    done = compare(folder, "decoder11.onnx", *COMMON)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "decoder.pt2: is a torch.export program, which would be run here; say --trust-source" in done.stderr


def test_route_runtime_and_end_to_end_are_asked(folder: Path) -> None:
    done = compare(folder, "decoder11.onnx", *COMMON, "--trust-source", "--json")
    (cell,) = json.loads(done.stdout)["cells"]
    assert (done.returncode, cell["verdict"]) in ((0, "equivalent"), (0, "identical"))
    assert cell["source"] == "decoder.pt2"
    assert cell["end_to_end"]["rms_ratio"] < 4
    assert "all 4 tensors of the source are in the file bit for bit" in json.loads(done.stdout)["expected"]["said"]
    done = compare(folder, "decoder.onnx", *COMMON, "--trust-source")
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert "upsample_bilinear2d is the first layer" in said
    assert "hidden = torch.nn.functional.interpolate(hidden, scale_factor=2.0" in said
    placement = json.loads((folder / "results" / "compare_decoder" / "placement.json").read_text())
    found = {layer["kind"]: layer["tensor"] for layer in placement["layers"]}
    assert (bool(found["relu"]), found["upsample_bilinear2d"]) == (True, "")
    rows = {row["operator"]: row for row in placement["nodes"]}
    assert rows["Relu"]["floors"] < 1
    assert rows["Relu"]["source_line"].endswith("hidden = torch.relu(self.first(image))")
    convolutions = [row for row in placement["nodes"] if row["operator"] == "Conv"]
    assert [row["floors"] > 100 for row in convolutions] == [False, True]
    assert [row["namespace"] for row in convolutions] == ["first", "last"]
    assert sum(convolutions[1]["difference"]["counts"]) == 4 * 5 * 32 * 32
    # What the document quotes is what is printed.
    quoted = re.findall(r"^```text\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)
    assert quoted[0].splitlines()[2].removeprefix("The file: ") in said
    assert "upsample_bilinear2d is the first layer that the file does not have as the source, after relu; File" in said
