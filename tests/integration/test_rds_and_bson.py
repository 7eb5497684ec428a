"""The page for owners of RDS and BSON files: its snippets are run as they stand, and the weights that come out are those."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")

from harness.workers.batches import predict
from harness.workers.pytorch.engine import IMPORTER, PytorchModel
from tests.integration.conftest import ROOT

PAGE = (ROOT / "docs" / "rds-and-bson.md").read_text(encoding="utf-8")


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.S)


@cache
def missing_in_r() -> str:
    if shutil.which("Rscript") is None:
        return "Rscript is not on the path"
    code = "stopifnot(requireNamespace('safetensors'), torch::torch_is_installed())"
    done = subprocess.run(["Rscript", "--vanilla", "-e", code], capture_output=True, text=True)
    return "" if done.returncode == 0 else "the R packages torch and safetensors are not installed"


@cache
def missing_in_julia() -> str:
    if shutil.which("julia") is None:
        return "julia is not on the path"
    done = subprocess.run(["julia", "-e", "using BSON, Flux, SafeTensors"], capture_output=True, text=True)
    return "" if done.returncode == 0 else "the Julia packages BSON, Flux and SafeTensors are not installed"


MAKE_R = f"""
library(torch)
source("{ROOT}/native/rtorch/tempcnn.R")
torch_manual_seed(1)
model <- TempCNN(bands = 6, dates = 24, classes = 9, filters = c(8, 8, 8), dense_width = 16)
for (round in 1:5) model(torch_randn(64, 6, 24))
model$eval()
torch_save(model, "model.pt")
saveRDS(lapply(model$state_dict(), as_array), "arrays.rds")
x <- torch_randn(64, 6, 24)
writeBin(as.vector(aperm(as_array(x), 3:1)), "x.bin", size = 4)
writeBin(as.vector(t(as_array(with_no_grad(model(x))))), "y.bin", size = 4)
"""

MAKE_JULIA = """
using BSON, Flux, Random
Random.seed!(1)
block(layer, channels) = (layer, BatchNorm(channels, relu), Dropout(0.2))
model = Chain(
    block(CONVOLUTION((5,), 6 => 8; pad = 2), 8)..., block(CONVOLUTION((3,), 8 => 8; pad = 1), 8)...,
    block(CONVOLUTION((5,), 8 => 8; pad = 2), 8)..., Flux.flatten, block(Dense(8 * 24 => 16), 16)..., Dense(16 => 9),
)
trainmode!(model)
for round in 1:5
    model(randn(Float32, 24, 6, 64))
end
testmode!(model)
BSON.@save "model.bson" model
x = randn(Float32, 24, 6, 64)
write("x.bin", x)
write("y.bin", model(x))
"""


def run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr


def answers(folder: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the session that made the file answered, and what the reference model with the weights that came out does."""
    (folder / "out").mkdir(exist_ok=True)
    IMPORTER.import_weights(str(folder / "weights.safetensors"), str(folder / "out"), model="tempcnn")
    model = PytorchModel(folder / "out" / "weights.safetensors", "float32")
    x = np.fromfile(folder / "x.bin", np.float32).reshape(64, 6, 24)
    (found,) = predict(model, {"x": x}, None).outputs.values()
    return np.fromfile(folder / "y.bin", np.float32).reshape(64, 9), found


def test_every_snippet_is_one_of_those_that_are_run() -> None:
    assert (len(snippets("r")), len(snippets("julia"))) == (2, 1)


@pytest.mark.parametrize("snippet", snippets("r"), ids=["torch_save", "arrays"])
def test_r(snippet: str, tmp_path: Path) -> None:
    if missing := missing_in_r():
        pytest.skip(missing)
    (tmp_path / "make.R").write_text(MAKE_R)
    run(["Rscript", "--vanilla", "make.R"], tmp_path)
    (tmp_path / "page.R").write_text(snippet)
    run(["Rscript", "--vanilla", "page.R"], tmp_path)
    stated, found = answers(tmp_path)
    np.testing.assert_allclose(found, stated, rtol=0, atol=2e-6)


@pytest.mark.parametrize("convolution", ["Conv", "CrossCor"])
def test_julia(convolution: str, tmp_path: Path) -> None:
    if missing := missing_in_julia():
        pytest.skip(missing)
    (snippet,) = snippets("julia")
    (tmp_path / "make.jl").write_text(MAKE_JULIA.replace("CONVOLUTION", convolution))
    run(["julia", "make.jl"], tmp_path)
    (tmp_path / "page.jl").write_text(snippet)
    run(["julia", "page.jl"], tmp_path)
    stated, found = answers(tmp_path)
    np.testing.assert_allclose(found, stated, rtol=0, atol=5e-6)
