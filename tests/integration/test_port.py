"""A port of a model held against its source, from end to end: what is planted in it is found from numbers alone."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from harness.compare.port import PortComparison
from harness.runtimes.registry import RUNTIMES, availability
from tests.integration.conftest import Workplace
from tests.integration.test_forecast import DOCUMENT

SIZES = {"filters": [4, 3], "kernels": [3, 1]}

needs_pytorch = pytest.mark.skipif(
    not availability(RUNTIMES["python/pytorch"]).installed, reason="python/pytorch is not installed"
)


def workplace_of(folder: Path, *, source: str = "pytorch", **port: Any) -> Workplace:
    document = copy.deepcopy(DOCUMENT) | {"routes": ["safetensors"], "targets": ["python/pytorch"]}
    # Momentum as the preset has it, so that the port's own differs by convention.
    document["model"]["hyperparameters"] = copy.deepcopy(SIZES)
    document["source"] = {"framework": source, "training": document["source"]["training"]}
    document["port"] = copy.deepcopy({"framework": "pytorch", "hyperparameters": SIZES} | port)
    return Workplace(folder, document)


def held(workplace: Workplace) -> PortComparison:
    return PortComparison.model_validate(json.loads((workplace.results / "port.json").read_text()))


@needs_pytorch
@pytest.mark.parametrize(
    "framework",
    ["pytorch", *(pytest.param(name, marks=pytest.mark.slow) for name in ("keras-tensorflow", "keras-jax"))],
)
def test_the_presets_of_the_thesis_are_two_functions_and_the_cell_is_why(tmp_path: Path, framework: str) -> None:
    if not (here := availability(RUNTIMES[f"python/{framework}"])).installed:
        pytest.skip(here.reason)
    workplace = workplace_of(tmp_path, source=framework, preset="thesis-pytorch", expect="other")
    done = workplace.run()
    assert done.returncode == 0, done.stderr
    assert "What closes the gap: cell activation linear" in done.stdout
    port = held(workplace)
    assert not port.same
    assert port.parts_at is not None
    assert port.parts_at.layer == "lstm1"
    assert [(one.settings, one.values) for one in port.closing] == [(("cell activation",), ("linear",))]
    found = {one.setting: one for one in port.conventions}
    forget = found["initial bias of the forget gate"]
    assert (forget.source, forget.port, forget.after) == (1.0, 0.0, 0.0)
    momentum = found["weight of a new batch in moving statistics"]
    assert momentum.source == pytest.approx(0.01, abs=1e-5)
    assert momentum.port == pytest.approx(0.99, abs=1e-5)
    assert momentum.before is not None
    assert momentum.after is not None
    assert momentum.after < 1e-3 * momentum.before
    assert any("copied from one convention into the other" in note for note in port.notes)
    (divisor,) = (one for name, one in found.items() if "divided by" in name)
    assert (round(divisor.source), round(divisor.port)) == ((0, 1) if framework.startswith("keras") else (1, 1))
    assert {(one.source_aggregation, one.port_aggregation) for one in port.metrics} == {
        (first, second) for first in ("pooled", "mean-of-samples") for second in ("pooled", "mean-of-samples")
    }
    text = (workplace.results / "report.md").read_text()
    assert "## The port: one model, two implementations" in text
    assert (workplace.results / "figures" / "hypotheses.png").exists()
    # Nothing of what was tried is left behind.
    (step,) = (workplace.folder / "exported").glob("port-*")
    assert sorted(path.name for path in step.iterdir() if path.is_dir()) == []


@pytest.mark.slow
@needs_pytorch
def test_two_differences_are_found_together_and_the_exit_code_says_that_it_is_another_function(tmp_path: Path) -> None:
    planted = {**SIZES, "cell_activation": "leaky-relu", "epsilon": 1e-5}
    workplace = workplace_of(tmp_path, preset="thesis-keras", hyperparameters=planted)
    done = workplace.run()
    assert done.returncode == 1, done.stderr
    port = held(workplace)
    (closing,) = port.closing
    assert dict(zip(closing.settings, closing.values, strict=True)) == {
        "cell activation": "linear",
        "epsilon of batch normalisation": "0.001",
    }
    # Alone neither closes it, and each leaves the other's.
    alone = {(*one.settings, *one.values): one for one in port.tried if len(one.settings) == 1}
    assert alone["cell activation", "linear"].parts_at == "norm1"
    # Asked again, it is the same answer from what is there.
    again = workplace.run()
    assert again.returncode == 1
    assert "All of this was finished before." in again.stdout


@needs_pytorch
def test_a_port_that_is_the_same_is_the_same(tmp_path: Path) -> None:
    workplace = workplace_of(tmp_path, preset="thesis-keras")
    done = workplace.run()
    assert done.returncode == 0, done.stderr
    assert "is the function of the source" in done.stdout
    assert held(workplace).gap == 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"framework": "pytroch"}, "port.framework: there is no framework 'pytroch'"),
        ({"preset": "thesis-keas"}, "did you mean 'thesis-keras'?"),
        ({"samples": 0}, "port.samples"),
        ({"hyperparameters": {"filters": [4, 4], "kernels": [3, 1]}}, "the port has other parameters than the source"),
    ],
)
def test_a_port_that_cannot_be_is_told_in_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    workplace = workplace_of(tmp_path, **({"preset": "thesis-keras"} | change))
    done = workplace.run()
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()[-1:]
    assert message in line
    assert "Traceback" not in done.stderr
