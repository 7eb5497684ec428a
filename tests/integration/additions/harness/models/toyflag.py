"""Toyflag: a dense layer and a sigmoid, for the task that is added."""

from __future__ import annotations

from typing import Any

from harness.models.spec import Axis, Head, ModelSpec, TaskName, TensorSpec, dense

NAME = "toyflag"
TITLE = "Toy flag"
PAPER = "none: it serves as an example"
TASK: TaskName = "toy-flag"
SIZES = ("bands", "flags")
MINIMUM_PROBE = 64
HEAD: Head = "sigmoid"
PRESETS: dict[str, dict[str, Any]] = {"small": {}}


def build(
    *,
    bands: int,
    flags: int,
    head: Head = HEAD,
    preset: str | None = "small",
    hyperparameters: dict[str, Any] | None = None,
) -> ModelSpec:
    """The specification for ``bands`` numbers and so many flags."""
    sample = Axis(name="sample")
    return ModelSpec(
        model=NAME,
        task=TASK,
        preset=preset,
        hyperparameters={"bands": bands, "flags": flags},
        inputs=(TensorSpec(name="x", axes=(sample, Axis(name="band", size=bands))),),
        outputs=(TensorSpec(name="flags", axes=(sample, Axis(name="flag", size=flags))),),
        head=head,
        decision="threshold",
        layers=(dense("classifier", bands, flags),),
        paper=PAPER,
    )
