"""The conversion of a source's weights into another format by one route."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from harness.pipeline.fingerprint import of_runtime
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import Context, Step
from harness.pipeline.steps.weights import WEIGHTS
from harness.runtimes.python import distribution_version
from harness.runtimes.routes import ROUTES
from harness.scenario.sections import RouteSection


@dataclass(frozen=True, kw_only=True)
class ExportStep(Step):
    """Leaves the exported file, ``export.json``, and a STAC item for ONNX."""

    kind: ClassVar[str] = "export"

    route: RouteSection

    def outside(self) -> dict[str, Any]:
        """The framework, its worker, what describes the file, and the tools that decide what is written."""
        # Those of an environment of its own are in its lock.
        tools = {name: distribution_version(name) for name in ROUTES[self.route.tool].tools}
        return {**of_runtime(self.worker), "code": code_hash(__name__), "tools": tools}

    def carry_out(self, context: Context) -> None:
        """Have the framework's worker export the weights."""
        from harness.models.spec import ModelSpec
        from harness.pipeline.stac import exported_item, read_item, write_item

        weights = context.needed(*WEIGHTS)
        context.ask(
            "export",
            weights=str(weights / "weights.safetensors"),
            metadata=str(weights / "metadata.json"),
            out=str(context.folder),
            route=self.route.tool,
            opset=self.route.opset,
            fold=self.route.fold,
        )
        if self.route.writes != "onnx":
            return
        spec = ModelSpec.from_json((weights / "model.json").read_text(encoding="utf-8"))
        write_item(context.folder, exported_item(context.folder, spec, read_item(weights)))
