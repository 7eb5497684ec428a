"""SpectralNet: a small network that reads physical variables off a reflectance spectrum.

A design of this project, under its licence (MIT), made to be small rather than accurate; no publication describes it. A
convolution along the spectrum with 'same' padding, batch normalisation and ReLU, flattened channel-major, a dense layer with batch
normalisation and ReLU, and a dense layer to the variables.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

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

NAME = "spectralnet"
TITLE = "SpectralNet"
PAPER = ""
TASK: TaskName = "regression"
SIZES = ("bands", "variables")
#: A sample has a handful of outputs.
MINIMUM_PROBE = 64
HEAD: Head = "linear"


class Hyperparameters(BaseModel):
    """``filters`` and ``kernel``: of the convolution along the spectrum; ``dense_width``: of the dense layer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    filters: int = Field(gt=0)
    kernel: int = Field(gt=0)
    dense_width: int = Field(gt=0)

    @model_validator(mode="after")
    def _odd(self) -> Hyperparameters:
        if self.kernel % 2 == 0:
            raise ValueError(f"the kernel must be odd, so that the length of the spectrum is kept, not {self.kernel}")
        return self


PRESETS: dict[str, dict[str, Any]] = {"small": {"filters": 6, "kernel": 5, "dense_width": 24}}


def build(
    *,
    bands: int,
    variables: int,
    head: Head = HEAD,
    preset: str | None = "small",
    hyperparameters: dict[str, Any] | None = None,
) -> ModelSpec:
    """The specification for spectra of ``bands`` bands and so many ``variables``.

    Input ``x``: float32 (sample, band), bands in the order of their wavelengths. Output ``value``: float32 (sample, variable),
    each in its own unit. ``hyperparameters`` override the preset. Raises ModelError on an unknown preset or bad sizes.
    """
    check_head(NAME, head, HEAD)
    sizes = checked(NAME, Hyperparameters, PRESETS, preset, hyperparameters)
    return ModelSpec(
        model=NAME,
        task=TASK,
        preset=preset,
        hyperparameters=sizes.model_dump(mode="json") | {"bands": bands, "variables": variables},
        inputs=(TensorSpec(name="x", axes=(Axis(name="sample"), Axis(name="band", size=bands))),),
        outputs=(TensorSpec(name="value", axes=(Axis(name="sample"), Axis(name="variable", size=variables))),),
        head=head,
        decision="none",
        layers=(
            convolution("conv1", 1, sizes.filters, (sizes.kernel,)),
            batch_normalisation("norm1", sizes.filters, normalises="conv1"),
            dense("dense", sizes.filters * bands, sizes.dense_width),
            batch_normalisation("dense_norm", sizes.dense_width, normalises="dense"),
            dense("output", sizes.dense_width, variables),
        ),
        paper=PAPER,
    )
