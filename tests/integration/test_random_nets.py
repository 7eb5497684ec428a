"""Clean TempCNNs of random sizes and states, as cells whose source is known: the verdict must not object to any of them.

Networks of other families, of which the file alone is known, are compared in ``test_clean_networks.py``.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from harness.compare.records import Verdict
from tests.integration.proof import Graph, Source, export, judge
from tests.integration.targets import QUICK, Shelf, Target, opened, read_in
from tests.networks.tempcnn import random_net

NETS = 36
#: The new exporter takes a second per network: every twelfth is enough of it.
EVERY_DYNAMO = 12


@pytest.fixture(scope="module", params=QUICK)
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    yield from opened(request.param, tmp_path_factory.mktemp("target"))


class Nets:
    """The networks and their files, made once for all targets."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self._sources: dict[int, Source] = {}

    def made(self, seed: int) -> tuple[Source, Graph, bool]:
        """The network, its file, and whether its batch normalisation was to be folded."""
        if seed not in self._sources:
            self._sources[seed] = random_net(seed)
        source = self._sources[seed]
        dynamo = seed % EVERY_DYNAMO == 0
        route, opset = ("torch-dynamo", 18) if dynamo else ("torch-script", (11, 13, 15, 17, 18, 20)[seed % 6])
        fold = (seed // (EVERY_DYNAMO if dynamo else 1)) % 2 == 0
        graph = self.shelf.graph(
            str(seed),
            lambda folder: export(source.module, source, folder, route=route, opset=opset, fold=fold),
            source.probe,
        )
        return source, graph, fold


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Nets:
    return Nets(Shelf(tmp_path_factory.mktemp("shelf")))


@pytest.mark.parametrize("seed", range(NETS))
def test_a_clean_network_raises_no_alarm(
    seed: int, nets: Nets, target: Target, record_property: pytest.RecordProperty
) -> None:
    source, graph, fold = nets.made(seed)
    judged = judge(source, read_in(target, graph, source.probe))
    for name, value in (
        ("rms ratio", judged.found.runtime.rms_ratio),
        ("max ratio", judged.found.runtime.max_ratio),
        ("route", judged.found.route.errors.relative_rms),
    ):
        record_property(name, value)
    assert judged.verdict in (Verdict.IDENTICAL, Verdict.EQUIVALENT), judged.words
    assert not judged.found.judgement.findings, judged.words
    assert judged.parameters.folded == fold
