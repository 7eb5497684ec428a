"""Classical models (``ai.onnx.ml``), texts and maps: readers of this project, and the exact evaluator, against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the models are written with the onnx package: pip install onnx")

from harness.conformance.bench import Bench
from tests.conformance.asking import load, predict
from tests.conformance.classical_models import models

MODELS = models()
#: What some do not compute as all others, by the kind of the input: r/torch refuses texts, and the exact evaluator, an oracle in
#: double precision, gives doubles for doubles.
LEFT_OUT = {"r/torch": "U", "python/onnx-reference": "d"}
NEEDS = "python/onnxruntime"


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, benches: dict[str, Bench]) -> dict[str, dict[str, Any]]:
    """What onnxruntime gives, by model."""
    from harness.runtimes.registry import RUNTIMES, ready
    from tests.conformance.conftest import bench_of

    here = ready(RUNTIMES[NEEDS])
    if not here.installed:
        pytest.skip(f"{NEEDS}: {here.reason}; install it with: {here.install}")
    return answers(bench_of(NEEDS, benches, tmp_path_factory), tmp_path_factory.mktemp("classical"), list(MODELS))


def answers(bench: Bench, folder: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    found = {}
    for name in names:
        model, x = MODELS[name]
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        load(bench.worker, folder / "model.onnx")
        found[name], _ = predict(bench.worker, folder, {"x": x})
    return found


@pytest.mark.parametrize("runtime", ["python/onnx-reference", "r/base", "r/torch", "julia/base"])
def test_classical_models_are_computed_as_onnxruntime_does(
    runtime: str, bench: Bench, expected: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    names = [name for name, (_, x) in MODELS.items() if x.dtype.char != LEFT_OUT.get(runtime)]
    found = answers(bench, tmp_path, names)
    for name in names:
        assert set(found[name]) == set(expected[name]), name
        # onnxruntime subtracts numbers of single precision that are almost equal there.
        noise = 1e-5 if "PROBIT" in name else 1e-6
        for output, wanted in expected[name].items():
            given = found[name][output]
            assert (given.shape, given.dtype) == (wanted.shape, wanted.dtype), f"{name}: {output}"
            assert np.allclose(given, wanted, rtol=1e-5, atol=noise, equal_nan=True), f"{name}: {output}"
