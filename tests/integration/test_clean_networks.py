"""Clean random networks of every family and exporter: no runtime that opens one is called worse than ``equivalent``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tests.networks.compare import Bench, Counts, bench, compare, make, readers
from tests.networks.drawn import FAMILIES, drawn

#: `make clean-networks` compares the first 500.
NETWORKS = 40
#: Julia compiles anew for every kind of layer, which takes minutes: its engines are asked by `make clean-networks`.
TARGETS = [name for name in readers() if not name.startswith("julia/")]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    make(folder, range(NETWORKS))
    return folder


@pytest.fixture(scope="module")
def runtimes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("bench"), tuple(TARGETS)) as made:
        yield made


@pytest.mark.parametrize("seed", range(NETWORKS), ids=lambda seed: drawn(seed).name)
def test_a_clean_network_raises_no_alarm(seed: int, files: Path, runtimes: Bench) -> None:
    counts = Counts()
    assert not compare(runtimes, files, seed, counts)
    if counts.refused:
        pytest.skip(counts.refused[0])
    # Something opened it.
    assert sum(counts.verdicts[name, "equivalent"] + counts.verdicts[name, "identical"] for name in TARGETS)


def test_the_networks_are_of_all_families() -> None:
    found = {(draw.framework, draw.family) for draw in map(drawn, range(NETWORKS))}
    assert found == {(framework, family) for framework, families in FAMILIES.items() for family in families}
