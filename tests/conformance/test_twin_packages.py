"""The packages of ``native/r`` and ``native/julia`` are twins: what one of them can do, the other can, in every engine."""

from __future__ import annotations

import pytest

from harness.conformance.bench import Bench
from harness.runtimes.registry import RUNTIMES, ready
from tests.conformance.conftest import bench_of

#: Operators that R has and Julia has not yet; an entry goes when both have it.
AWAITED = frozenset(
    [
        "ai.onnx.ml.ArrayFeatureExtractor",
        "ai.onnx.ml.Binarizer",
        "ai.onnx.ml.CategoryMapper",
        "ai.onnx.ml.FeatureVectorizer",
        "ai.onnx.ml.Imputer",
        "ai.onnx.ml.LabelEncoder",
        "ai.onnx.ml.LinearClassifier",
        "ai.onnx.ml.LinearRegressor",
        "ai.onnx.ml.Normalizer",
        "ai.onnx.ml.OneHotEncoder",
        "ai.onnx.ml.SVMRegressor",
        "ai.onnx.ml.Scaler",
        "ai.onnx.ml.TreeEnsemble",
        "ai.onnx.ml.TreeEnsembleClassifier",
        "ai.onnx.ml.TreeEnsembleRegressor",
        "ai.onnx.ml.ZipMap",
    ]
)


@pytest.mark.parametrize("runtime", ["julia/base", "r/torch", pytest.param("julia/flux", marks=pytest.mark.slow)])
def test_all_have_the_operator_table_of_plain_r(
    runtime: str, benches: dict[str, Bench], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tables = []
    for name in ("r/base", runtime):
        here = ready(RUNTIMES[name])
        if not here.installed:
            pytest.skip(f"{name}: {here.reason}; install it with: {here.install}")
        tables.append(bench_of(name, benches, tmp_path_factory).operators)
    plain, other = tables
    assert plain
    awaited = AWAITED if runtime.startswith("julia/") else frozenset()
    assert plain.keys() - other.keys() == awaited
    assert {name: versions for name, versions in plain.items() if name not in awaited} == other
