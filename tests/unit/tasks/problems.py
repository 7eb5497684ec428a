"""Problems of each task that tests share, as the specifications of models and the records of data make them."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.models import build_for
from harness.tasks.base import Problem, Samples

_IMAGE = {"bands": 2, "rows": 4, "columns": 5}


def _problem(model: str, preset: str, sizes: dict[str, int], **record: Any) -> Problem:
    return build_for(model, sizes, preset=preset).problem(record)


#: Output ``labels`` (sample, label) by a sigmoid.
LABELS = _problem("patchcnn", "small", {**_IMAGE, "labels": 3}, class_names=["oak", "pine", "birch"])
#: Output ``scores`` (sample, class, row, column), logits.
PIXELS = _problem("fieldseg", "small", {**_IMAGE, "classes": 3}, class_names=["soil", "maize", "water"])
#: Output ``value`` (sample, variable), linear.
VALUES = _problem(
    "spectralnet",
    "small",
    {"bands": 9, "variables": 2},
    class_names=[],
    variables=[{"name": "nitrogen", "unit": "g/kg"}, {"name": "water", "unit": "%"}],
)
#: Output ``logits`` (sample, class).
CLASSES = _problem("tempcnn", "breizhcrops", {"bands": 2, "dates": 8, "classes": 3}, class_names=["a", "b", "c"])


def samples(**target: Any) -> Samples:
    count = len(target["y"])
    return Samples(np.arange(count), ("here",) * count, target, dict)
