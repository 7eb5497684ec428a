"""Integers that no double holds, on every installed runtime: R and JSON have doubles only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.conformance.bench import Bench
from harness.errors import UnsupportedError
from harness.workers.tensors import read_tensors, write_tensors
from tests.conformance import small_models
from tests.conformance.asking import LIMIT, onnx_runtimes

ENDS = [2**63 - 1, -(2**63), 2**53, -(2**53)]


@onnx_runtimes
@pytest.mark.parametrize("numbers", [ENDS, [*ENDS, 2**53 + 1], [-(2**62) - 3]], ids=["ends", "odd", "negative"])
def test_integers_come_back_bit_for_bit_or_are_refused(
    runtime: str, bench: Bench, numbers: list[int], tmp_path: Path
) -> None:
    x = np.array(numbers, np.int64)
    path = small_models.write_model(
        tmp_path / "model.onnx", [("Identity", ["x"], ["y"], {})], {"x": (np.int64, ["n"])}, {"y": (np.int64, ["n"])}
    )
    bench.worker.request("load", path=str(path), timeout=LIMIT)
    given, results = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    write_tensors(given, {"x": x})
    asked = {"inputs": str(given), "outputs": str(results), "batch_size": None}
    refused = ""
    try:
        bench.worker.request("predict", **asked, timeout=LIMIT)
    except UnsupportedError as error:
        refused = error.what
    if refused:
        # A double holds the ends, or what says that it is one.
        assert "2^53" in refused
        assert numbers != ENDS
        assert not results.exists()
    else:
        assert read_tensors(results)["y"].tolist() == numbers
