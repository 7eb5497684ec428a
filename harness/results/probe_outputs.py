"""Outputs on the probe as rows of a result file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.files.arrays import Array
from harness.models.sampling import Sampling
from harness.pipeline.plan import Cell
from harness.pipeline.steps.oracle import OUTPUTS
from harness.results.artifacts import SourceArtifacts, only_output, oracles_of


def probe_outputs(
    folders: Mapping[str, Path], source: SourceArtifacts, cells: list[Cell]
) -> Iterator[tuple[str, Array, Array, Array]]:
    """Per cell with an oracle: its id, and the outputs of target, route oracle and source oracle, each (sample, class)."""
    sampling = Sampling.of_spec(source.spec)
    for cell in cells:
        for oracle in [*oracles_of(cell, folders).values()][:1]:
            target = only_output(folders[cell.step] / "probe.float32.safetensors", source.output, sampling)
            route = only_output(oracle / OUTPUTS, source.output, sampling)
            yield cell.id, target, route, source.probe64
