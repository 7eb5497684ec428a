"""Planted faults in real exports of Keras: batch normalisation as arithmetic and time-major kernels must not hide them.

Keras' own converters write what a faulty conversion made of a sound source; its workers run in processes of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import json  # noqa: E402

from harness.compare.records import Verdict  # noqa: E402
from harness.models import tempcnn  # noqa: E402
from harness.models.keras_layout import _positions_first  # noqa: E402
from harness.runtimes.process import Worker  # noqa: E402
from harness.runtimes.registry import RUNTIMES, availability  # noqa: E402
from harness.workers.pytorch.model import build, fill  # noqa: E402
from harness.workers.tensors import write_tensors  # noqa: E402
from tests.integration.proof import Judged, Source, judge, metadata_of, read  # noqa: E402

Arrays = dict[str, np.ndarray]
SIZES = {"filters": [16, 12], "kernels": [5, 3], "dropouts": [0.2, 0.2], "dense_width": 24, "dense_dropout": 0.2}
SPEC = tempcnn.build(bands=6, dates=16, classes=9, preset=None, hyperparameters=SIZES)
#: What objects beside the comparison that finds a fault of its own accord.
CONSEQUENCES = {"end-to-end", "decisions"}
Convert = Callable[[Callable[[Arrays], None]], Judged]


@pytest.fixture(scope="module")
def source() -> Source:
    generator = np.random.default_rng(5)
    arrays = {}
    for parameter in SPEC.parameters:
        values = generator.standard_normal(parameter.shape) * 0.2
        if parameter.role == "variance":
            values = generator.uniform(0.05, 1.0, parameter.shape)
        if parameter.role == "scale":
            values = generator.uniform(0.6, 1.5, parameter.shape)
        arrays[parameter.name] = values.astype(np.float32)
    module = build(SPEC)
    fill(module, SPEC, arrays, "here")
    return Source(SPEC, module, generator.standard_normal((128, 6, 16)).astype(np.float32))


@pytest.fixture(
    scope="module",
    params=[
        ("python/keras-tensorflow", "keras-export"),
        ("python/keras-tensorflow", "tf2onnx"),
        ("python/keras-torch", "keras-export"),
        pytest.param(("python/keras-jax", "keras-export"), marks=pytest.mark.slow),
    ],
    ids=["export-on-tensorflow", "tf2onnx", "export-on-torch", "export-on-jax"],
)
def convert(
    request: pytest.FixtureRequest, source: Source, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Convert]:
    """Exports the source with a fault in it, and judges what came out."""
    runtime, route = request.param
    here = availability(RUNTIMES[runtime])
    if not here.installed:
        pytest.skip(f"{runtime}: {here.reason}; install it with: {here.install}")
    folder: Path = tmp_path_factory.mktemp("export")
    (folder / "model.json").write_text(SPEC.to_json())
    (folder / "metadata.json").write_text(json.dumps(metadata_of(SPEC)))
    with Worker.start(RUNTIMES[runtime], folder / "log") as worker:

        def converted(fault: Callable[[Arrays], None]) -> Judged:
            arrays = {name: array.copy() for name, array in source.parameters.items()}
            fault(arrays)
            write_tensors(folder / "weights.safetensors", arrays)
            weights = str(folder / "weights.safetensors")
            worker.request("export", weights=weights, out=str(folder), route=route, opset=17)
            return judge(source, read(folder / "model.onnx", source.probe))

        yield converted


def test_without_a_fault_nobody_objects(convert: Convert) -> None:
    judged = convert(lambda arrays: None)
    assert judged.found_by == set(), judged.words
    assert judged.verdict is Verdict.EQUIVALENT
    assert judged.parameters.folded


def large_epsilon(arrays: Arrays) -> None:
    """Keras' default of 1e-3 where the source has 1e-5: only their sum with the variance is computed with."""
    for name in arrays:
        if name.endswith("running_var"):
            arrays[name] = (arrays[name].astype(np.float64) + 1e-3 - 1e-5).astype(np.float32)


def channel_major(arrays: Arrays) -> None:
    """A dense kernel that was not reordered for Keras, which flattens time-major."""
    arrays["dense.weight"] = _positions_first(arrays["dense.weight"], 12)


def flipped_kernel(arrays: Arrays) -> None:
    arrays["conv2.weight"] = arrays["conv2.weight"][:, :, ::-1].copy()


def bfloat16_weight(arrays: Arrays) -> None:
    raw = arrays["conv2.weight"].reshape(-1).view(np.uint32)
    place = int(np.argmax(raw & 0xFFFF))
    raw[place] &= np.uint32(0xFFFF0000)


def one_ulp(arrays: Arrays) -> None:
    weight = arrays["dense.weight"].reshape(-1)
    weight[100] = np.nextafter(weight[100], np.float32(np.inf))


def exchanged_classes(arrays: Arrays) -> None:
    for name in ("classifier.weight", "classifier.bias"):
        arrays[name] = arrays[name][[0, 1, 5, 3, 4, 2, 6, 7, 8]]


def other_mean(arrays: Arrays) -> None:
    """A moving mean that stayed at its start, as where training statistics are lost."""
    arrays["norm1.running_mean"][:] = 0


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (large_epsilon, "as if epsilon were 0.001 instead of 1e-05"),
        (channel_major, "flatten order"),
        (flipped_kernel, "conv2.weight permuted: "),
        (bfloat16_weight, "rounded to bfloat16"),
        (one_ulp, "1 of 4608 values differ"),
        (exchanged_classes, "exchanged 2<->5"),
        (other_mean, "0 scales and 16 offsets of 16 are others"),
    ],
)
def test_a_fault_is_found_in_the_parameters(convert: Convert, fault: Any, words: str) -> None:
    judged = convert(fault)
    assert "parameters" in judged.found_by, judged.words
    assert judged.found_by - CONSEQUENCES <= {"parameters", "route"}, judged.words
    assert words in judged.words
    assert judged.verdict is Verdict.DIVERGENT
    if fault is not one_ulp:
        assert "route" in judged.found_by, judged.words
