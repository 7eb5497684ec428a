"""What onnxruntime's optimiser and quantiser write, in the readers of this project and the exact evaluator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the models are written with the onnx package: pip install onnx")
pytest.importorskip("onnxruntime.quantization", reason="onnxruntime rewrites the models: pip install onnxruntime")

from harness.conformance.bench import Bench
from tests.conformance.asking import load, predict
from tests.conformance.fused_models import WRITTEN, Case, cases


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    return cases(tmp_path_factory.mktemp("optimised"))


def test_onnxruntime_writes_these_operators(written: list[Case]) -> None:
    assert {case.operator for case in written} == WRITTEN


@pytest.mark.parametrize("runtime", ["python/onnx-reference", "r/base", "r/torch"])
def test_they_are_computed_as_onnxruntime_does(runtime: str, bench: Bench, written: list[Case], tmp_path: Path) -> None:
    for case in written:
        (tmp_path / "model.onnx").write_bytes(case.model.SerializeToString())
        load(bench.worker, tmp_path / "model.onnx")
        found, _ = predict(bench.worker, tmp_path, case.inputs)
        for name, wanted in case.outputs.items():
            given, told = found[name], f"{case.operator} of {case.origin}: {name}"
            assert (given.shape, given.dtype) == (wanted.shape, wanted.dtype), told
            if wanted.dtype.kind == "f":
                assert np.allclose(given, wanted, rtol=1e-5, atol=1e-6), told
            else:
                assert np.array_equal(given, wanted), told
