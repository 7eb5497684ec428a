"""A hundred clean random networks through real exporters: the verdict must not object to any of them."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from harness.compare.records import Verdict
from tests.integration.nets import random_net
from tests.integration.proof import export, judge, read

NETS = 100
#: The new exporter takes a second per network: every twelfth is enough of it.
EVERY_DYNAMO = 12


@pytest.mark.parametrize("seed", range(NETS))
def test_a_clean_network_raises_no_alarm(seed: int, tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    source = random_net(seed)
    dynamo = seed % EVERY_DYNAMO == 0
    route, opset = ("torch-dynamo", 18) if dynamo else ("torch-script", (11, 13, 15, 17, 18, 20)[seed % 6])
    fold = (seed // (EVERY_DYNAMO if dynamo else 1)) % 2 == 0
    exported = read(export(source.module, source, tmp_path, route=route, opset=opset, fold=fold), source.probe)
    judged = judge(source, exported)
    for name, value in (
        ("rms ratio", judged.runtime.rms_ratio),
        ("max ratio", judged.runtime.max_ratio),
        ("route", judged.route.errors.relative_rms),
    ):
        record_property(name, value)
    assert judged.verdict in (Verdict.IDENTICAL, Verdict.EQUIVALENT), judged.words
    assert not judged.judgement.findings, judged.words
    assert judged.parameters.folded == fold
