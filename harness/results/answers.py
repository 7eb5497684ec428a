"""The test samples of a run, and what its runtimes answered to them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.data.open_prepared import open_prepared
from harness.files.arrays import Array
from harness.models.sampling import Sampling
from harness.pipeline.plan import Cell
from harness.results.artifacts import SourceArtifacts, only_output
from harness.tasks.base import SOURCE, Samples

#: What a source or a target answered to the test samples, in the folder of its step.
TEST_OUTPUTS = "test.float32.safetensors"


@dataclass(frozen=True)
class RunAnswers:
    """See `harness.tasks.base.Answers`. ``files``: who answered, and where, the source first; ``output`` is the decided one.

    ``sampling`` says where its samples lie in the files.
    """

    files: tuple[tuple[str, Path], ...]
    output: str
    sampling: Sampling

    def __iter__(self) -> Iterator[tuple[str, Array]]:
        """Who answered, and what; one array is in memory at a time."""
        return ((who, only_output(path, self.output, self.sampling)) for who, path in self.files)


def read_answers(folders: Mapping[str, Path], source: SourceArtifacts, cells: list[Cell]) -> RunAnswers:
    """The answers of the source and of the ``cells``, whose targets were run; ``folders`` by step."""
    runs = [(SOURCE, source.predictions), *((cell.label, folders[cell.step]) for cell in cells)]
    files = tuple((who, folder / TEST_OUTPUTS) for who, folder in runs)
    return RunAnswers(files, source.output, Sampling.of_spec(source.spec))


def evaluated_samples(folders: Mapping[str, Path]) -> Samples:
    """The test samples that were evaluated."""
    evaluation = json.loads((folders["inputs"] / "evaluation.json").read_text())
    return open_prepared(folders["data"]).test_samples(np.asarray(evaluation["indices"]))
