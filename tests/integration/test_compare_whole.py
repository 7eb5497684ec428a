"""A file with the whole model that it was made from: a program that the user trusts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tests.integration.comparing import compare  # noqa: E402

X = np.random.default_rng(2).normal(size=(64, 3, 6, 6)).astype(np.float32)


class Decoder(torch.nn.Module):
    """Bilinear interpolation between two convolutions, which opset 10 cannot say as PyTorch means it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Conv2d(4, 2, 1)

    def forward(self, image: Any) -> Any:
        hidden = torch.relu(self.first(image))
        hidden = torch.nn.functional.interpolate(hidden, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.last(hidden)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    torch.manual_seed(0)
    model, image = Decoder().eval(), torch.from_numpy(X[:2])
    sizes = ({0: torch.export.Dim("n", min=1)},)
    torch.export.save(torch.export.export(model, (image,), dynamic_shapes=sizes), folder / "decoder.pt2")
    for opset in (10, 11):
        torch.onnx.export(
            model,
            (image,),
            folder / f"opset{opset}.onnx",
            dynamo=False,
            opset_version=opset,
            input_names=["image"],
            output_names=["map"],
            dynamic_axes={"image": {0: "n"}, "map": {0: "n"}},
        )
    np.save(folder / "X.npy", X)
    return folder


@pytest.fixture(autouse=True)
def _only_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # One oracle is enough here: those of R and Julia take longer than all else.
    monkeypatch.setenv("PATH", str(tmp_path))


COMMON = ("--from", "decoder.pt2", "--to", "python/onnxruntime", "--probe", "X.npy", "--no-layers")


def test_a_program_is_not_run_without_trust(folder: Path) -> None:
    done = compare(folder, "opset11.onnx", *COMMON)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "decoder.pt2: is a torch.export program, which would be run here; say --trust-source" in done.stderr


@pytest.mark.filterwarnings("ignore")
def test_route_runtime_and_end_to_end_are_asked(folder: Path) -> None:
    done = compare(folder, "opset11.onnx", *COMMON, "--trust-source", "--json")
    (cell,) = json.loads(done.stdout)["cells"]
    assert (done.returncode, cell["verdict"]) in ((0, "equivalent"), (0, "identical"))
    assert cell["source"] == "decoder.pt2"
    assert cell["end_to_end"]["rms_ratio"] < 4
    assert "all 4 tensors of the source are in the file bit for bit" in json.loads(done.stdout)["expected"]["said"]
    done = compare(folder, "opset10.onnx", *COMMON, "--trust-source")
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert "in float64 the exported graph differs from the source by" in said
    assert "Route: the exported graph against the source: divergent" in said or "drifted" in said
