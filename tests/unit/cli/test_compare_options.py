"""What the options of ``harness compare`` ask of the pipeline."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.errors import ScenarioError
from harness.pipeline.given_plan import Given


class Asked(Exception):
    """Ends a run where it would begin."""


@pytest.mark.parametrize(
    ("options", "samples"), [([], 8), (["--layers", "3"], 3), (["--layers", "0"], 0), (["--no-layers"], 0)]
)
def test_layers_are_followed_for_as_many_samples_as_asked(
    monkeypatch: pytest.MonkeyPatch, options: list[str], samples: int
) -> None:
    asked: list[Given] = []

    def stop(given: Given, **_: Any) -> None:
        asked.append(given)
        raise Asked

    monkeypatch.setattr("harness.results.given_run.compare_given", stop)
    found = CliRunner().invoke(app, ["compare", "m.onnx", "--to", "r/base", "--probe", "x.npy", *options])
    assert isinstance(found.exception, Asked), found.output
    assert [given.layers for given in asked] == [samples]


def test_layers_and_none_are_not_asked_for_together() -> None:
    options = ["compare", "m.onnx", "--to", "r/base", "--probe", "x.npy", "--layers", "3", "--no-layers"]
    found = CliRunner().invoke(app, options)
    assert isinstance(found.exception, ScenarioError)
    assert "layers and for none" in str(found.exception)
