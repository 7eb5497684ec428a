"""What implementations of one architecture are known to disagree about, as changes that can be tried on one of them.

A model offers ``HYPOTHESES`` where its implementations leave something open. A hypothesis names one setting and one value of it;
it changes hyper-parameters of the specification, or the parameters before they are loaded, or both.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import ModelError
from harness.models import MODELS, model
from harness.models.spec import ModelSpec

Array = NDArray[Any]
Parameters = dict[str, Array]
#: Canonical parameters before and after; the specification says which of them is what.
Change = Callable[[ModelSpec, Parameters], Parameters]


@dataclass(frozen=True)
class Hypothesis:
    """A setting by name (``cell activation``) and a value it may have (``tanh``), in words that a report can print."""

    setting: str
    value: str
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    change: Change | None = None

    @property
    def label(self) -> str:
        """Setting and value: ``cell activation tanh``."""
        return f"{self.setting} {self.value}"

    def changes(self, spec: ModelSpec) -> bool:
        """Whether a model of this specification would be another one."""
        held = spec.hyperparameters
        return self.change is not None or any(held.get(name) != value for name, value in self.hyperparameters.items())


def hypotheses_of(name: str) -> tuple[Hypothesis, ...]:
    """The hypotheses that a model offers. Raises ModelError where it offers none."""
    found: tuple[Hypothesis, ...] = getattr(model(name), "HYPOTHESES", ())
    if not found:
        offering = [other for other in MODELS if getattr(model(other), "HYPOTHESES", ())]
        raise ModelError(
            f"{name} has no hypotheses about what its implementations disagree on",
            hint=f"leave `port` out, or choose one of {', '.join(offering)}",
        )
    return found


def applied(spec: ModelSpec, parameters: Parameters, hypotheses: Sequence[Hypothesis]) -> tuple[ModelSpec, Parameters]:
    """Specification and parameters under some hypotheses. Raises ModelError where a specification cannot have them."""
    changed = dict(spec.hyperparameters)
    for hypothesis in hypotheses:
        changed |= hypothesis.hyperparameters
    module = model(spec.model)
    sizes = {size: changed.pop(size) for size in module.SIZES if size in changed}
    for size in set(module.SIZES) - set(sizes):
        sizes[size] = _size(spec, module.AXES[size])
    built: ModelSpec = module.build(**sizes, head=spec.head, preset=None, hyperparameters=changed)
    for hypothesis in hypotheses:
        if hypothesis.change is not None:
            parameters = hypothesis.change(built, parameters)
    return built, parameters


def _size(spec: ModelSpec, axis: str) -> int:
    for tensor in (*spec.inputs, *spec.outputs):
        for known in tensor.axes:
            if known.name == axis and known.size is not None:
                return known.size
    raise ModelError(f"a specification of {spec.model} has no axis '{axis}' of a fixed size")


def combinations(hypotheses: Sequence[Hypothesis], size: int) -> Iterator[tuple[Hypothesis, ...]]:
    """All sets of so many hypotheses, each about another setting."""
    for chosen in itertools.combinations(hypotheses, size):
        if len({hypothesis.setting for hypothesis in chosen}) == size:
            yield chosen


def add_to_forget_bias(amount: float) -> Change:
    """The forget gate's bias of every convolutional LSTM moved by ``amount``, as an implementation does that adds it itself."""

    def change(spec: ModelSpec, parameters: Parameters) -> Parameters:
        place = str(spec.hyperparameters["gate_order"]).index("f")
        moved = dict(parameters)
        for layer in spec.layers:
            if layer.kind == "convolutional-lstm":
                bias = np.array(parameters[f"{layer.name}.bias"])
                size = len(bias) // 4
                bias[place * size : (place + 1) * size] += np.asarray(amount, bias.dtype)
                moved[f"{layer.name}.bias"] = bias
        return moved

    return change
