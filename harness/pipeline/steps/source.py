"""The answers of the source in its own framework: what every target is compared with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from harness.errors import ModelError
from harness.models.spec import ModelSpec
from harness.pipeline.fingerprint import of_runtime
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import Context, Step
from harness.pipeline.steps.weights import WEIGHTS, sampling_of


@dataclass(frozen=True, kw_only=True)
class SourceStep(Step):
    """Leaves the outputs on the probe in float32 and float64, and on the test samples where there are any."""

    kind: ClassVar[str] = "source"
    makes_source: ClassVar[bool] = True

    batch_size: int
    threads: int

    def outside(self) -> dict[str, Any]:
        """The framework, its worker, and what gives it the probe."""
        return {**of_runtime(self.worker), "code": code_hash(__name__)}

    def carry_out(self, context: Context) -> None:
        """Load the weights in both precisions and predict."""
        weights = context.needed(*WEIGHTS) / "weights.safetensors"
        probe = context.needed("data", "probe") / "probe.safetensors"
        if "data" not in context.needs:
            probe = _in_source_order(context, probe)
        axes = sampling_of(context).of(context.ask("load", path=str(weights), precision="float32"))
        context.predict(probe, "probe.float32.safetensors", self.batch_size, axes)
        if "inputs" in context.needs:
            test = context.needed("inputs") / "test.safetensors"
            context.predict(test, "test.float32.safetensors", self.batch_size, axes)
        context.ask("load", path=str(weights), precision="float64")
        context.predict(probe, "probe.float64.safetensors", self.batch_size, axes)


def _in_source_order(context: Context, probe: Path) -> Path:
    """A probe made for a given file, under the names and with the axes of the source, in the step's own folder."""
    import numpy as np
    from safetensors.numpy import load_file, save_file

    spec = ModelSpec.from_json((context.needed(*WEIGHTS) / "model.json").read_text())
    loaded = json.loads((context.needed("structure") / "load.json").read_text())
    names = [str(entry["name"]) for entry in loaded["inputs"]]
    arrays = load_file(probe)
    orders = input_orders(spec, [arrays[name].shape for name in names])
    turned = {
        tensor.name: np.ascontiguousarray(arrays[name].transpose(np.argsort(order)))
        for tensor, name, order in zip(spec.inputs, names, orders, strict=True)
    }
    save_file(turned, context.folder / "probe.safetensors")
    return context.folder / "probe.safetensors"


def input_orders(spec: ModelSpec, shapes: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Which axes of the model's inputs, in order, the axes of arrays of those shapes are.

    Raises ModelError where the arrays cannot be inputs of the model.
    """
    found = [tensor.order_in(shape) for tensor, shape in zip(spec.inputs, shapes, strict=False)]
    if len(spec.inputs) != len(shapes) or None in found:
        wanted = "; ".join(
            f"{tensor.name} (" + ", ".join(f"{axis.name} {axis.size or ''}".strip() for axis in tensor.axes) + ")"
            for tensor in spec.inputs
        )
        raise ModelError(
            f"the file takes inputs of shape {'; '.join(map(str, shapes))}, the model of the weights takes {wanted}",
            hint="give the weights that the file was made from",
        )
    return [order for order in found if order is not None]
