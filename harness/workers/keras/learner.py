"""A Keras model under training, on any backend: the same Adam with an L2 penalty as in every other framework."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from harness.models.spec import ModelSpec
from harness.workers.engine import Array
from harness.workers.keras.losses import loss_of, packed
from harness.workers.keras.model import build, canonical_parameters, fill
from harness.workers.training.train import Learner, Settings, derived


class PenalisedAdam(keras.optimizers.Adam):  # type: ignore[misc]
    """Adam whose gradients hold an L2 penalty, as PyTorch's ``weight_decay`` does; Keras' own is decoupled (AdamW).

    ``epsilon`` is PyTorch's, too, but added before the correction of the bias, as Keras does it.
    """

    def __init__(self, learning_rate: float, penalty: float) -> None:
        super().__init__(learning_rate=learning_rate, epsilon=1e-8)
        self.penalty = penalty

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See Adam."""
        if self.penalty:
            gradient = ops.add(gradient, ops.multiply(ops.cast(self.penalty, gradient.dtype), variable))
        super().update_step(gradient, variable, learning_rate)


class KerasLearner(Learner):
    """See Learner. ``framework``, ``versions`` and ``threads`` are those of the backend."""

    def __init__(
        self,
        spec: ModelSpec,
        settings: Settings,
        loss: str,
        seed: int,
        *,
        framework: str,
        versions: dict[str, str],
        threads: int,
    ) -> None:
        self.framework, self.versions, self.threads = framework, versions, threads
        self.spec, self.loss = spec, loss
        keras.utils.set_random_seed(seed % 2**32)
        self.model = build(spec)
        self.optimiser = PenalisedAdam(settings.learning_rate, settings.weight_decay)
        self.optimiser.build(self.model.trainable_variables)
        # The loss is taken of one output alone; the layers are the same ones.
        self.decided = spec.outputs.index(spec.decided_output)
        self.trained = (
            self.model
            if len(spec.outputs) == 1
            else keras.Model(self.model.inputs, self.model.outputs[self.decided], name="trained")
        )
        self._masked: bool | None = None

    def _compile(self, masked: bool) -> None:
        """For targets with a mask or without one, which are known with the first batch."""
        if masked is self._masked:
            return
        self._masked = masked
        # XLA compiles again for every batch size; without it JAX would run operation by operation.
        compiled = keras.backend.backend() == "jax"
        loss = loss_of(self.loss, self.spec.head, masked=masked)
        self.trained.compile(optimizer=self.optimiser, loss=loss, jit_compile=compiled)

    def fill(self, parameters: dict[str, Array], where: str) -> None:
        """See Learner."""
        fill(self.model, self.spec, parameters, where)

    def begin_epoch(self, seed: int) -> None:
        """See Learner: every dropout has a generator of its own, which on PyTorch it leaves aside for the global one."""
        if keras.backend.backend() == "torch":
            # On TensorFlow it would discard compiled functions, and it is not needed there.
            keras.utils.set_random_seed(seed % 2**32)
        for index, layer in enumerate(self.model.layers):
            generator = getattr(layer, "seed_generator", None)
            if generator is not None:
                generator.state.assign(np.array([derived(seed, index) % 2**31, 0], generator.state.dtype))

    def step(self, inputs: dict[str, Array], target: dict[str, Array]) -> float:
        """See Learner."""
        self._compile("mask" in target)
        given = self._given(inputs)
        return float(self.trained.train_on_batch(given, packed(target), return_dict=True)["loss"])

    def outputs(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """See Learner."""
        found = self.model.predict_on_batch(self._given(inputs))
        found = found if isinstance(found, list | tuple) else [found]
        return {tensor.name: np.asarray(value) for tensor, value in zip(self.spec.outputs, found, strict=True)}

    def _given(self, inputs: dict[str, Array]) -> Any:
        arrays = [inputs[tensor.name] for tensor in self.spec.inputs]
        return arrays[0] if len(arrays) == 1 else arrays

    def state(self) -> dict[str, Array]:
        """See Learner."""
        return {name: np.asarray(ops.convert_to_numpy(variable)) for name, variable in self._variables().items()}

    def restore(self, state: dict[str, Array]) -> None:
        """See Learner."""
        variables = self._variables()
        shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
        if {name: array.shape for name, array in state.items()} != shapes:
            raise ValueError("its tensors do not fit the model and its optimiser")
        for name, variable in variables.items():
            variable.assign(state[name])

    def _variables(self) -> dict[str, Any]:
        held = {f"model/{index}": variable for index, variable in enumerate(self.model.weights)}
        return held | {f"optimiser/{index}": variable for index, variable in enumerate(self.optimiser.variables)}

    def parameters(self) -> dict[str, Array]:
        """See Learner."""
        return canonical_parameters(self.model, self.spec)
