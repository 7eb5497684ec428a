"""Outputs of a classification as rows of result files: of the test samples, and of the probe."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from harness.files.arrays import Array, load_arrays
from harness.pipeline.plan import Cell
from harness.results.artifacts import SourceArtifacts, only_output
from harness.results.tables import prediction_rows


def predicted_classes(folders: Mapping[str, Path], source: SourceArtifacts, cells: list[Cell]) -> Iterator[list[str]]:
    """The rows of ``predictions.csv.gz``: the predicted classes of the test samples, by the source and by each target."""
    names, data = source.probe.class_names, folders["data"]
    evaluation = json.loads((folders["inputs"] / "evaluation.json").read_text())
    indices = np.asarray(evaluation["indices"])
    test = load_arrays(data / "test.safetensors")
    regions = json.loads((data / "regions.json").read_text())["test"]
    runs = [("source", source.predictions), *((cell.label, folders[cell.step]) for cell in cells)]
    return prediction_rows(
        [regions[index] for index in indices],
        test["ids"][indices].tolist(),
        [names[label] for label in test["y"][indices]],
        names,
        source.spec.head,
        ((name, only_output(folder / "test.float32.safetensors", source.output)) for name, folder in runs),
    )


def probe_outputs(
    folders: Mapping[str, Path], source: SourceArtifacts, cells: list[Cell]
) -> Iterator[tuple[str, Array, Array, Array]]:
    """Per cell with an oracle: its id, and the outputs of target, route oracle and source oracle, each (sample, class)."""
    for cell in cells:
        oracle = next((name for name in cell.oracles if name in folders), None)
        if oracle is not None:
            target = only_output(folders[cell.step] / "probe.float32.safetensors", source.output)
            route = only_output(folders[oracle] / "probe.float64.safetensors", source.output)
            yield cell.id, target, route, source.probe64
