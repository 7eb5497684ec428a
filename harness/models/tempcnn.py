"""TempCNN: temporal convolutions over the series of one pixel or parcel.

Pelletier, Webb, Petitjean (2019): Temporal Convolutional Neural Network for the Classification of Satellite Image Time
Series. Remote Sensing 11(5), 523. https://doi.org/10.3390/rs11050523

Three times (convolution over time with 'same' padding, batch normalisation, ReLU, dropout), then flattened
channel-major, a dense layer with batch normalisation, ReLU and dropout, and a dense layer to the classes.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.errors import ModelError
from harness.models.spec import (
    Axis,
    Head,
    Layer,
    ModelSpec,
    TaskName,
    TensorSpec,
    batch_normalisation,
    convolution,
    dense,
)

NAME = "tempcnn"
TITLE = "TempCNN"
PAPER = "https://doi.org/10.3390/rs11050523"
TASK: TaskName = "classification"
SIZES = ("bands", "dates", "classes")
#: Fewer samples of a handful of outputs each say too little of an error's RMS.
MINIMUM_PROBE = 64
HEAD: Head = "logits"
HEADS: tuple[Head, ...] = ("logits", "log-softmax", "softmax")


class Hyperparameters(BaseModel):
    """Sizes of TempCNN; lists run over the convolutions in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    filters: tuple[int, ...] = Field(min_length=1)
    kernels: tuple[int, ...] = Field(min_length=1)
    dropouts: tuple[float, ...] = Field(min_length=1)
    dense_width: int = Field(gt=0)
    dense_dropout: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def _one_entry_per_convolution(self) -> Hyperparameters:
        if not len(self.filters) == len(self.kernels) == len(self.dropouts):
            raise ValueError(
                f"filters, kernels and dropouts must be equally long, not "
                f"{len(self.filters)}, {len(self.kernels)} and {len(self.dropouts)}"
            )
        if any(filters <= 0 for filters in self.filters):
            raise ValueError(f"filters must be positive, not {list(self.filters)}")
        if any(kernel <= 0 or kernel % 2 == 0 for kernel in self.kernels):
            raise ValueError(f"kernels must be odd, so that the length of the series is kept, not {list(self.kernels)}")
        if any(not 0 <= dropout < 1 for dropout in self.dropouts):
            raise ValueError(f"dropouts must lie in [0, 1), not {list(self.dropouts)}")
        return self


#: ``breizhcrops``: BreizhCrops' tuned TempCNN (Russwurm et al. 2020); ``pelletier2019``: the paper's; ``sits``: the
#: defaults of ``sits_tempcnn`` (Simoes et al. 2021).
PRESETS: dict[str, dict[str, Any]] = {
    "breizhcrops": {
        "filters": (128, 128, 128),
        "kernels": (7, 7, 7),
        "dropouts": (0.18203942949809093,) * 3,
        "dense_width": 512,
        "dense_dropout": 0.18203942949809093,
    },
    "pelletier2019": {
        "filters": (64, 64, 64),
        "kernels": (5, 5, 5),
        "dropouts": (0.5,) * 3,
        "dense_width": 256,
        "dense_dropout": 0.5,
    },
    "sits": {
        "filters": (64, 64, 64),
        "kernels": (5, 5, 5),
        "dropouts": (0.2,) * 3,
        "dense_width": 256,
        "dense_dropout": 0.5,
    },
}


def build(
    *,
    bands: int,
    dates: int,
    classes: int,
    head: Head = HEAD,
    preset: str | None = "breizhcrops",
    hyperparameters: dict[str, Any] | None = None,
) -> ModelSpec:
    """The specification for series of ``bands`` x ``dates`` and ``classes`` classes.

    Input ``x``: float32 (sample, band, time). Output: float32 (sample, class), named after the head with ``_`` for ``-``.
    ``hyperparameters`` override the preset. Raises ModelError on an unknown preset or bad sizes.
    """
    if head not in HEADS:
        raise ModelError(f"tempcnn has no head '{head}'", hint=f"choose one of {', '.join(HEADS)}")
    if preset is not None and preset not in PRESETS:
        raise ModelError(f"tempcnn has no preset '{preset}'", hint=f"choose one of {', '.join(PRESETS)}")
    try:
        sizes = Hyperparameters.model_validate({**(PRESETS[preset] if preset else {}), **(hyperparameters or {})})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "hyperparameters"
        raise ModelError(first["msg"].removeprefix("Value error, "), where=f"tempcnn {where}") from error
    layers: list[Layer] = []
    channels = bands
    for index, (filters, kernel) in enumerate(zip(sizes.filters, sizes.kernels, strict=True), start=1):
        layers.append(convolution(f"conv{index}", channels, filters, (kernel,)))
        layers.append(batch_normalisation(f"norm{index}", filters, normalises=f"conv{index}"))
        channels = filters
    layers.append(dense("dense", channels * dates, sizes.dense_width))
    layers.append(batch_normalisation("dense_norm", sizes.dense_width, normalises="dense"))
    layers.append(dense("classifier", sizes.dense_width, classes))
    return ModelSpec(
        model=NAME,
        task=TASK,
        preset=preset,
        hyperparameters=sizes.model_dump(mode="json") | {"bands": bands, "dates": dates, "classes": classes},
        inputs=(
            TensorSpec(
                name="x",
                axes=(Axis(name="sample"), Axis(name="band", size=bands), Axis(name="time", size=dates)),
            ),
        ),
        outputs=(
            TensorSpec(name=head.replace("-", "_"), axes=(Axis(name="sample"), Axis(name="class", size=classes))),
        ),
        head=head,
        decision="argmax",
        layers=tuple(layers),
        paper=PAPER,
    )
