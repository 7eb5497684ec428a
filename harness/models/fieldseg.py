"""FieldSeg: a class for every pixel of a field, from an image, the day of its year, and a mask of the field's pixels.

A design of this project, under its licence (MIT), made to have several inputs and outputs rather than to be accurate; no
publication describes it. A 3 x 3 convolution with batch normalisation, to whose channels a dense layer adds the day of year as
sine and cosine, then ReLU; a second convolution with batch normalisation and ReLU; to its channels a second dense layer adds
what their mean over the pixels of the mask says; and a 1 x 1 convolution to the classes.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

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

NAME = "fieldseg"
TITLE = "FieldSeg"
PAPER = ""
TASK: TaskName = "segmentation"
SIZES = ("bands", "rows", "columns", "classes")
#: The second output has a handful of values per sample.
MINIMUM_PROBE = 64
HEAD: Head = "logits"


class Hyperparameters(BaseModel):
    """``width``: channels between the layers. ``one_day``: the day of the year is given once for all samples."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(gt=0)
    one_day: bool = False


PRESETS: dict[str, dict[str, Any]] = {"small": {"width": 16}}


def build(
    *,
    bands: int,
    rows: int,
    columns: int,
    classes: int,
    head: Head = HEAD,
    preset: str | None = "small",
    hyperparameters: dict[str, Any] | None = None,
) -> ModelSpec:
    """The specification for images of ``rows`` x ``columns`` pixels and so many ``classes``.

    Inputs: ``x`` float32 (sample, band, row, column); ``doy`` float32 (sample,), the day of the year from 1, or (1,) for all
    samples with ``one_day``; ``mask`` bool (sample, row, column), True on the pixels that are declared to belong to a field.
    Outputs: ``scores`` float32 (sample, class, row, column), logits, on which decisions are made; ``share`` float32
    (sample, class), the mean of the classes' probabilities over the pixels of the mask, 0 where it has none.
    ``hyperparameters`` override the preset. Raises ModelError on an unknown preset or bad sizes.
    """
    check_head(NAME, head, HEAD)
    sizes = checked(NAME, Hyperparameters, PRESETS, preset, hyperparameters)
    width = sizes.width
    day = TensorSpec(name="doy", axes=(Axis(name="sample"),))
    if sizes.one_day:
        day = TensorSpec(name="doy", axes=(Axis(name="day", size=1),), sample_axis=None)
    sample, place = Axis(name="sample"), (Axis(name="row", size=rows), Axis(name="column", size=columns))
    of_class = Axis(name="class", size=classes)
    return ModelSpec(
        model=NAME,
        task=TASK,
        preset=preset,
        # No layer depends on how often the day is given.
        hyperparameters=sizes.model_dump(mode="json", exclude={"one_day"}) | {"bands": bands, "classes": classes},
        inputs=(
            TensorSpec(name="x", axes=(sample, Axis(name="band", size=bands), *place)),
            day,
            TensorSpec(name="mask", axes=(sample, *place), dtype="bool"),
        ),
        outputs=(
            TensorSpec(name="scores", axes=(sample, of_class, *place)),
            TensorSpec(name="share", axes=(sample, of_class)),
        ),
        head=head,
        decision="argmax-per-pixel",
        decided="scores",
        layers=(
            dense("season", 2, width),
            convolution("conv1", bands, width, (3, 3)),
            batch_normalisation("norm1", width, normalises="conv1"),
            convolution("conv2", width, width, (3, 3)),
            batch_normalisation("norm2", width, normalises="conv2"),
            dense("context", width, width),
            convolution("classifier", width, classes, (1, 1)),
        ),
        paper=PAPER,
    )
