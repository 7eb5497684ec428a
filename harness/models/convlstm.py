"""ConvLSTM: stacked convolutional LSTMs that turn frames into as many frames after them.

Shi, Chen, Wang, Yeung, Wong, Woo (2015): Convolutional LSTM Network: A Machine Learning Approach for Precipitation
Nowcasting. Advances in Neural Information Processing Systems 28. https://arxiv.org/abs/1506.04214

As in the implementations compared here, without the peephole terms of equation 3 of the paper. Demetrakopoulos (2023),
Short-term Precipitation Forecasting in The Netherlands, https://arxiv.org/abs/2312.01197, stacks four of them: after each an
activation, after all but the last batch normalisation, and at the end a 3-D convolution with a sigmoid.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.errors import ModelError
from harness.models.hypotheses import Hypothesis, add_to_forget_bias
from harness.models.spec import (
    Axis,
    Head,
    Layer,
    ModelSpec,
    TaskName,
    TensorSpec,
    batch_normalisation,
    convolution,
    convolutional_lstm,
)

NAME = "convlstm"
TITLE = "ConvLSTM"
PAPER = "https://doi.org/10.48550/arXiv.1506.04214"
TASK: TaskName = "forecast"
SIZES = ("bands", "history", "horizon", "rows", "columns")
#: Which axis each size is that of.
AXES = {"bands": "band", "history": "time", "horizon": "step", "rows": "row", "columns": "column"}
#: A sample holds thousands of outputs.
MINIMUM_PROBE = 8
HEAD: Head = "sigmoid"

Activation = Literal["linear", "tanh", "leaky-relu"]


class Hyperparameters(BaseModel):
    """What a ConvLSTM is made of; lists run over the layers in order. Nothing is left to a framework's default.

    ``cell_activation`` is that of the candidate and of the cell's output, ``recurrent_activation`` that of the three gates;
    ``hard-sigmoid`` is clip(0.2 x + 0.5, 0, 1). ``layer_activation`` follows each layer. ``slope`` is that of every LeakyReLU.
    ``gate_order``: how the gates lie in weight and bias, i input, f forget, o output, g candidate. ``forget_bias``: what the
    bias of the forget gate begins with; all others begin with 0. ``epsilon`` and ``momentum`` are those of batch
    normalisation, the momentum being the weight of the new value (Keras states that of the old one).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    filters: tuple[int, ...] = Field(min_length=1)
    kernels: tuple[int, ...] = Field(min_length=1)
    cell_activation: Activation
    recurrent_activation: Literal["sigmoid", "hard-sigmoid"]
    layer_activation: Activation
    slope: float = Field(ge=0, lt=1)
    gate_order: Literal["ifog", "ifgo", "iofg"]
    forget_bias: float = Field(allow_inf_nan=False)
    epsilon: float = Field(gt=0, lt=1)
    momentum: float = Field(gt=0, le=1)
    output_kernel: tuple[int, int, int]

    @model_validator(mode="after")
    def _one_entry_per_layer(self) -> Hyperparameters:
        if len(self.filters) != len(self.kernels):
            raise ValueError(
                f"filters and kernels must be equally long, not {len(self.filters)} and {len(self.kernels)}"
            )
        if any(filters <= 0 for filters in self.filters):
            raise ValueError(f"filters must be positive, not {list(self.filters)}")
        kernels = [*self.kernels, *self.output_kernel]
        if any(kernel <= 0 or kernel % 2 == 0 for kernel in kernels):
            raise ValueError(f"kernels must be odd, so that the size of the frames is kept, not {kernels}")
        return self


_THESIS: dict[str, Any] = {
    "filters": (64, 64, 64, 64),
    "kernels": (7, 5, 3, 1),
    "recurrent_activation": "sigmoid",
    "layer_activation": "leaky-relu",
    "slope": 0.01,
    "gate_order": "ifog",
    "epsilon": 1e-3,
    "output_kernel": (3, 3, 3),
}

#: ``thesis-keras``: layers of Keras 3 with ``activation=None``, a linear cell, momentum 0.99 of the old value and forget bias 1;
#: ``thesis-pytorch``: its port, tanh in the cell, momentum 0.99 copied as that of the new value, forget bias 0;
#: ``demetrakopoulos``: LeakyReLU inside the cell and none after it, and the hard sigmoid that Keras 2 gave to the gates.
PRESETS: dict[str, dict[str, Any]] = {
    "thesis-keras": {**_THESIS, "cell_activation": "linear", "forget_bias": 1.0, "momentum": 0.01},
    "thesis-pytorch": {**_THESIS, "cell_activation": "tanh", "forget_bias": 0.0, "momentum": 0.99},
    "demetrakopoulos": {
        **_THESIS,
        "cell_activation": "leaky-relu",
        "recurrent_activation": "hard-sigmoid",
        "layer_activation": "linear",
        "forget_bias": 1.0,
        "momentum": 0.01,
    },
}

#: What ports of a ConvLSTM were seen to disagree about; frameworks and their versions have other defaults.
HYPOTHESES: tuple[Hypothesis, ...] = (
    *(Hypothesis("cell activation", name, {"cell_activation": name}) for name in ("linear", "tanh", "leaky-relu")),
    *(Hypothesis("recurrent activation", name, {"recurrent_activation": name}) for name in ("sigmoid", "hard-sigmoid")),
    *(Hypothesis("layer activation", name, {"layer_activation": name}) for name in ("linear", "tanh", "leaky-relu")),
    # Defaults of PyTorch and of Keras.
    *(Hypothesis("slope of LeakyReLU", f"{slope:g}", {"slope": slope}) for slope in (0.01, 0.3)),
    # A port of PyTorch, Keras and the LSTM of ONNX.
    *(Hypothesis("gate order", ", ".join(order), {"gate_order": order}) for order in ("ifog", "ifgo", "iofg")),
    # Some implementations add 1 when they run rather than to the parameter.
    *(Hypothesis("forget bias", f"{amount:+g} when run", {}, add_to_forget_bias(amount)) for amount in (1.0, -1.0)),
    *(Hypothesis("epsilon of batch normalisation", f"{value:g}", {"epsilon": value}) for value in (1e-3, 1e-5)),
)


def build(
    *,
    bands: int,
    history: int,
    horizon: int,
    rows: int,
    columns: int,
    head: Head = HEAD,
    preset: str | None = "thesis-pytorch",
    hyperparameters: dict[str, Any] | None = None,
) -> ModelSpec:
    """The specification for frames of ``rows`` x ``columns``, ``history`` of them seen and as many forecast.

    Input ``x``: float32 (sample, band, time, row, column). Output ``forecast``: float32 (sample, band, step, row, column), one
    band, 0 to 1. ``hyperparameters`` override the preset. Raises ModelError on an unknown preset, bad sizes, and a horizon
    that is not the history: every frame seen gives one frame forecast.
    """
    if head != HEAD:
        raise ModelError(f"convlstm has no head '{head}'", hint=f"its head is {HEAD}")
    if preset is not None and preset not in PRESETS:
        raise ModelError(f"convlstm has no preset '{preset}'", hint=f"choose one of {', '.join(PRESETS)}")
    if horizon != history:
        raise ModelError(
            f"convlstm forecasts as many frames as it sees, not {horizon} from {history}",
            hint="set history and horizon of the data to the same number",
        )
    try:
        sizes = Hyperparameters.model_validate({**(PRESETS[preset] if preset else {}), **(hyperparameters or {})})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "hyperparameters"
        raise ModelError(first["msg"].removeprefix("Value error, "), where=f"convlstm {where}") from error
    layers: list[Layer] = []
    channels = bands
    for index, (filters, kernel) in enumerate(zip(sizes.filters, sizes.kernels, strict=True), start=1):
        layers.append(convolutional_lstm(f"lstm{index}", channels, filters, (kernel, kernel)))
        if index < len(sizes.filters):
            # No layer can take it in: it stands behind the recurrence and an activation.
            layers.append(batch_normalisation(f"norm{index}", filters, normalises=None, epsilon=sizes.epsilon))
        channels = filters
    layers.append(convolution("output", channels, 1, sizes.output_kernel))
    place = (Axis(name="row", size=rows), Axis(name="column", size=columns))
    return ModelSpec(
        model=NAME,
        task=TASK,
        preset=preset,
        hyperparameters=sizes.model_dump(mode="json") | {"bands": bands},
        inputs=(
            TensorSpec(
                name="x",
                axes=(Axis(name="sample"), Axis(name="band", size=bands), Axis(name="time", size=history), *place),
            ),
        ),
        outputs=(
            TensorSpec(
                name="forecast",
                axes=(Axis(name="sample"), Axis(name="band", size=1), Axis(name="step", size=horizon), *place),
            ),
        ),
        head=head,
        decision="exceedance",
        layers=tuple(layers),
        paper=PAPER,
    )
