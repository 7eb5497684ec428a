"""A Keras model under training, on any backend: the same Adam with an L2 penalty as in every other framework."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from harness.models.spec import ModelSpec
from harness.workers.engine import Array, BadInput
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
        # XLA compiles again for every batch size; without it JAX would run operation by operation.
        compiled = keras.backend.backend() == "jax"
        self.model.compile(optimizer=self.optimiser, loss=loss_of(loss, spec.head), jit_compile=compiled)

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

    def step(self, inputs: dict[str, Array], target: Any) -> float:
        """See Learner."""
        if self.loss != "cross-entropy":
            # Keras takes one target array: the mask of measured pixels is added to it as a band.
            target = np.concatenate([part.astype(np.float32) for part in target], axis=1)
        return float(self.model.train_on_batch(self._given(inputs), target, return_dict=True)["loss"])

    def outputs(self, inputs: dict[str, Array]) -> Array:
        """See Learner."""
        return np.asarray(self.model.predict_on_batch(self._given(inputs)))

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


def loss_of(name: str, head: str) -> Callable[[Any, Any], Any]:
    """A loss of Keras by name: ``cross-entropy`` of labels, or ``mse`` or ``bce`` over the pixels that were measured.

    Raises BadInput on another name.
    """
    if name == "cross-entropy":
        return cross_entropy(head)
    if name not in ("mse", "bce"):
        raise BadInput(f"loss '{name}' cannot be trained with Keras")

    def loss(target: Any, output: Any) -> Any:
        """Mean loss of all pixels that were measured; ``target`` holds the truth and, as 0 or 1, what was measured."""
        truth, mask = ops.split(target, 2, axis=1)
        each = (squared_error if name == "mse" else binary_cross_entropy)(truth, output)
        each = ops.where(ops.cast(mask, "bool"), each, 0.0)
        return ops.divide(ops.sum(each), ops.maximum(ops.sum(mask), 1.0))

    return loss


def squared_error(truth: Any, output: Any) -> Any:
    """Squared error of every value."""
    return ops.square(ops.subtract(output, truth))


def binary_cross_entropy(truth: Any, output: Any) -> Any:
    """Cross-entropy of every value from 0 to 1."""
    # PyTorch bounds the logarithm itself, at -100; either way a certainty that was wrong does not cost everything.
    yes, no = (ops.log(ops.maximum(chance, np.finfo(np.float32).tiny)) for chance in (output, 1.0 - output))
    return ops.negative(ops.add(ops.multiply(truth, yes), ops.multiply(1.0 - truth, no)))


def cross_entropy(head: str) -> Callable[[Any, Any], Any]:
    """Cross-entropy (sample,) of the classes as a loss of Keras, for what a head puts out."""

    def loss(labels: Any, output: Any) -> Any:
        if head == "logits":
            output = ops.log_softmax(output)
        elif head == "softmax":
            output = ops.log(ops.maximum(output, np.finfo(np.float32).tiny))
        chosen = ops.one_hot(ops.cast(ops.reshape(labels, (-1,)), "int32"), output.shape[-1], dtype=output.dtype)
        return ops.negative(ops.sum(ops.multiply(chosen, output), axis=-1))

    return loss
