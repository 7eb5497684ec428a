"""Parameters of any model, drawn from a seed."""

from __future__ import annotations

import numpy as np

from harness.models.spec import ModelSpec


def random_parameters(spec: ModelSpec, seed: int = 0) -> dict[str, np.ndarray]:
    """Canonical parameters with moving statistics as a trained model has them."""
    generator = np.random.default_rng(seed)
    arrays = {}
    for parameter in spec.parameters:
        values = generator.standard_normal(parameter.shape) * 0.4
        if parameter.role == "variance":
            values = generator.uniform(0.3, 2.0, parameter.shape)
        if parameter.role == "scale":
            values = generator.uniform(0.6, 1.5, parameter.shape)
        arrays[parameter.name] = values.astype(np.float32)
    return arrays
