"""PatchCNN: a small convolutional network that says which labels an image patch has, any number of them.

A design of this project, under its licence (MIT), made to be small rather than accurate; no publication describes it. Twice
(3 x 3 convolution with 'same' padding, batch normalisation, ReLU), with a 2 x 2 maximum between the two, then the mean over all
positions, and a dense layer with a sigmoid per label.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from harness.models.hyperparameters import check_head, checked
from harness.models.spec import (
    Axis,
    Head,
    ModelSpec,
    TaskName,
    TensorSpec,
    batch_normalisation,
    convolution,
    dense,
)

NAME = "patchcnn"
TITLE = "PatchCNN"
PAPER = ""
TASK: TaskName = "multi-label"
SIZES = ("bands", "rows", "columns", "labels")
#: A sample has a handful of outputs.
MINIMUM_PROBE = 64
HEAD: Head = "sigmoid"


class Hyperparameters(BaseModel):
    """``filters``: of the two convolutions, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    filters: tuple[int, int]

    @model_validator(mode="after")
    def _positive(self) -> Hyperparameters:
        if min(self.filters) <= 0:
            raise ValueError(f"filters must be positive, not {list(self.filters)}")
        return self


PRESETS: dict[str, dict[str, Any]] = {"small": {"filters": (16, 32)}}


def build(
    *,
    bands: int,
    rows: int,
    columns: int,
    labels: int,
    head: Head = HEAD,
    preset: str | None = "small",
    hyperparameters: dict[str, Any] | None = None,
) -> ModelSpec:
    """The specification for patches of ``rows`` x ``columns`` pixels and so many ``labels``.

    Input ``x``: float32 (sample, band, row, column). Output ``labels``: float32 (sample, label), 0 to 1. ``hyperparameters``
    override the preset. Raises ModelError on an unknown preset or bad sizes.
    """
    check_head(NAME, head, HEAD)
    sizes = checked(NAME, Hyperparameters, PRESETS, preset, hyperparameters)
    first, second = sizes.filters
    place = (Axis(name="row", size=rows), Axis(name="column", size=columns))
    return ModelSpec(
        model=NAME,
        task=TASK,
        preset=preset,
        hyperparameters=sizes.model_dump(mode="json") | {"bands": bands, "labels": labels},
        inputs=(TensorSpec(name="x", axes=(Axis(name="sample"), Axis(name="band", size=bands), *place)),),
        outputs=(TensorSpec(name="labels", axes=(Axis(name="sample"), Axis(name="label", size=labels))),),
        head=head,
        decision="threshold",
        layers=(
            convolution("conv1", bands, first, (3, 3)),
            batch_normalisation("norm1", first, normalises="conv1"),
            convolution("conv2", first, second, (3, 3)),
            batch_normalisation("norm2", second, normalises="conv2"),
            dense("classifier", second, labels),
        ),
        paper=PAPER,
    )
