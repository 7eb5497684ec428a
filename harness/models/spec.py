"""What a model is, before any framework: inputs, outputs, head, decision rule and canonical parameters.

The canonical layout of a parameter is PyTorch's: convolutions (out, in, *kernel), dense layers (out, in).
Every framework's own layout is reached from it by the rules of ``harness.models.layouts``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from harness.tasks.decision_rule import Decision as Decision
from harness.tasks.heads import Head as Head

if TYPE_CHECKING:
    from harness.tasks.base import Problem

#: The name of a file of `harness.tasks`.
TaskName = str
LayerKind = Literal["convolution", "batch-normalisation", "dense", "convolutional-lstm"]
ParameterRole = Literal["weight", "bias", "scale", "shift", "mean", "variance"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Axis(_Frozen):
    """One axis of a tensor by name; ``size`` is None where it may vary from call to call."""

    name: str
    size: int | None = None


class TensorSpec(_Frozen):
    """A named input or output: its axes in order and its dtype (a NumPy name). Masks are bool inputs.

    ``sample_axis``: which of the axes, counted from 0, is the sample; None for an input that all samples share (the dates of a
    tile) and for an output that belongs to none of them.
    """

    name: str
    axes: tuple[Axis, ...]
    dtype: str = "float32"
    sample_axis: int | None = 0

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Sizes by axis; None where the axis is dynamic."""
        return tuple(axis.size for axis in self.axes)

    def order_in(self, shape: Sequence[int]) -> tuple[int, ...] | None:
        """Which axis of this tensor each axis of an array of that shape is.

        The tensor's own order where it fits; else the one other order of the axes after the first that fits; None where
        none does, or several.
        """

        def fits(order: tuple[int, ...]) -> bool:
            return all(self.axes[axis].size in (None, size) for axis, size in zip(order, shape, strict=True))

        if len(shape) != len(self.axes):
            return None
        orders = [(0, *rest) for rest in permutations(range(1, len(shape)))] if shape else [()]
        if fits(orders[0]):
            return orders[0]
        others = [order for order in orders[1:] if fits(order)]
        return others[0] if len(others) == 1 else None

    def arranged(self, order: Sequence[int]) -> TensorSpec:
        """The same tensor with its axes in another order."""
        return self.model_copy(update={"axes": tuple(self.axes[axis] for axis in order)})


class Parameter(_Frozen):
    """One canonical parameter: ``name`` is ``<layer>.<PyTorch's name>``, ``shape`` its canonical shape."""

    name: str
    shape: tuple[int, ...]
    role: ParameterRole
    trainable: bool = True


class Layer(_Frozen):
    """A layer that owns parameters, in the order of execution.

    ``epsilon`` is set for batch normalisation; ``normalises`` names the layer whose output it normalises, into which
    an exporter may fold it, and is None where none can take it in.
    """

    name: str
    kind: LayerKind
    parameters: tuple[Parameter, ...]
    epsilon: float | None = None
    normalises: str | None = None


class ModelSpec(_Frozen):
    """A reference architecture with its sizes filled in. Serialised as JSON beside every artifact.

    ``task``: what the model's output is for. ``decided``: the name of the output that decisions are made on, the first where
    it is None.
    """

    model: str
    task: TaskName = "classification"
    preset: str | None = None
    hyperparameters: dict[str, Any]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    head: Head
    decision: Decision
    decided: str | None = None
    layers: tuple[Layer, ...]
    paper: str = ""

    @property
    def decided_output(self) -> TensorSpec:
        """The output that decisions are made on, and that a loss is taken of."""
        return next((tensor for tensor in self.outputs if tensor.name == self.decided), self.outputs[0])

    def problem(self, record: Mapping[str, Any]) -> Problem:
        """What the model's task must know of it and of its data, of which ``dataset.json`` tells."""
        # Imported here: specifications are read without NumPy.
        from harness.tasks.base import Problem

        decided = self.decided_output
        # The sample comes first in the arrays that tasks see.
        order = sorted(range(len(decided.axes)), key=lambda axis: axis != decided.sample_axis)
        axes = [decided.axes[axis] for axis in order]
        names = record.get("class_names") or [variable["name"] for variable in record.get("variables", ())]
        return Problem(
            decided.name,
            tuple(axis.name for axis in axes),
            tuple(axis.size for axis in axes),
            self.head,
            tuple(names),
            record,
        )

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """All canonical parameters in the order of execution."""
        return tuple(parameter for layer in self.layers for parameter in layer.parameters)

    @property
    def trainable_count(self) -> int:
        """Number of trainable scalars (moving statistics not counted)."""
        count = 0
        for parameter in self.parameters:
            if parameter.trainable:
                size = 1
                for length in parameter.shape:
                    size *= length
                count += size
        return count

    def to_json(self) -> str:
        """The specification as one line of JSON with sorted keys."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """The inverse of :meth:`to_json`; raises pydantic's ValidationError on anything else."""
        return cls.model_validate_json(text)


def convolution(name: str, inputs: int, outputs: int, kernel: tuple[int, ...]) -> Layer:
    """A convolution with bias: weight (out, in, *kernel), bias (out)."""
    return Layer(
        name=name,
        kind="convolution",
        parameters=(
            Parameter(name=f"{name}.weight", shape=(outputs, inputs, *kernel), role="weight"),
            Parameter(name=f"{name}.bias", shape=(outputs,), role="bias"),
        ),
    )


def dense(name: str, inputs: int, outputs: int) -> Layer:
    """A dense layer with bias: weight (out, in), bias (out)."""
    return Layer(
        name=name,
        kind="dense",
        parameters=(
            Parameter(name=f"{name}.weight", shape=(outputs, inputs), role="weight"),
            Parameter(name=f"{name}.bias", shape=(outputs,), role="bias"),
        ),
    )


def convolutional_lstm(name: str, inputs: int, outputs: int, kernel: tuple[int, ...]) -> Layer:
    """A convolutional LSTM: one convolution of input and hidden state to the four gates, applied at every step.

    Weight (4 out, in + out, *kernel) and bias (4 out); along the first axis the gates in their order, along the second the
    input before the hidden state.
    """
    return Layer(
        name=name,
        kind="convolutional-lstm",
        parameters=(
            Parameter(name=f"{name}.weight", shape=(4 * outputs, inputs + outputs, *kernel), role="weight"),
            Parameter(name=f"{name}.bias", shape=(4 * outputs,), role="bias"),
        ),
    )


def batch_normalisation(name: str, channels: int, *, normalises: str | None, epsilon: float = 1e-5) -> Layer:
    """Batch normalisation over the channels of the layer it normalises: scale, shift and moving statistics."""
    return Layer(
        name=name,
        kind="batch-normalisation",
        parameters=(
            Parameter(name=f"{name}.weight", shape=(channels,), role="scale"),
            Parameter(name=f"{name}.bias", shape=(channels,), role="shift"),
            Parameter(name=f"{name}.running_mean", shape=(channels,), role="mean", trainable=False),
            Parameter(name=f"{name}.running_var", shape=(channels,), role="variance", trainable=False),
        ),
        epsilon=epsilon,
        normalises=normalises,
    )
