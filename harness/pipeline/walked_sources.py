"""Sources that a file can be walked beside: what a walk asks of one, a model of the harness as one, and any whole model.

The layers tell where both part, whatever wrote the file: they owe nothing to an exporter. A fresh export tells what differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.compare.placement import TriedHypothesis
from harness.compare.source_layers import SourceLayer
from harness.models.sampling import Sampling
from harness.models.spec import ModelSpec
from harness.pipeline.placing import Array, Ask
from harness.pipeline.source_hypotheses import Gap, tried_hypotheses
from harness.runtimes.row import Runtime


@dataclass(frozen=True)
class CleanRoute:
    """A route by which a source is exported anew."""

    tool: str
    opset: int
    fold: bool

    @property
    def label(self) -> str:
        """The route in words."""
        return f"{self.tool}, opset {self.opset}, batch normalisation {'folded' if self.fold else 'kept'}"


def clean_routes(row: Runtime) -> tuple[CleanRoute, ...]:
    """Routes of a framework to ONNX, the quickest first; they differ in what they do with batch normalisation and loops."""
    if row.framework is not None and row.framework.native == "keras":
        return (CleanRoute("keras-export", 17, True),)
    return (
        CleanRoute("torch-script", 17, False),
        CleanRoute("torch-script", 17, True),
        CleanRoute("torch-dynamo", 18, True),
        CleanRoute("torch-dynamo", 18, False),
        CleanRoute("torch-scan", 18, False),
    )


def whole_routes(row: Runtime, path: Path) -> tuple[CleanRoute, ...]:
    """Routes of a whole model to ONNX, by what its worker can export."""
    if row.name == "python/keras-file":
        return (CleanRoute("keras-export", 17, True),)
    if row.name == "python/tensorflow-program":
        return (CleanRoute("tf2onnx", 17, True),)
    if path.suffix == ".pt2":
        return (CleanRoute("torch-dynamo", 18, False), CleanRoute("torch-dynamo", 18, True))
    return (CleanRoute("torch-script", 17, False), CleanRoute("torch-script", 17, True))


class WalkedSource(Protocol):
    """What a walk asks of a source. Requests raise WorkerError where its worker refuses or breaks."""

    @property
    def layers(self) -> Sequence[SourceLayer]:
        """Its layers, in the order in which they are run."""

    @property
    def known(self) -> bool:
        """Whether it is a model of the harness: layers have the names that an export gives to stored tensors."""

    @property
    def axis_names(self) -> Mapping[str, Sequence[str]]:
        """Names of the axes of its inputs, as far as they are known."""

    @property
    def normalisations(self) -> int | None:
        """How many batch normalisations it has; None where it does not tell."""

    def sampling(self) -> Sampling:
        """Which axes of its own inputs are the sample."""

    def activations(self, precision: str, inputs: Path, outputs: Path) -> None:
        """Write what its layers give in a precision, by their names."""

    @property
    def routes(self) -> Sequence[CleanRoute]:
        """The routes by which it may be exported, the likeliest first."""

    def export(self, route: CleanRoute, folder: Path) -> None:
        """Write ``model.onnx``."""

    def tried(self, inputs: Mapping[str, Array], gap: Gap, scratch: Path) -> list[TriedHypothesis]:
        """Itself under hypotheses, each with what then remains between its output and the file's."""


@dataclass(frozen=True)
class KnownSource:
    """A model of the harness: ``weights`` is the folder of its weights and of its specification."""

    ask: Ask
    spec: ModelSpec
    weights: Path
    routes: Sequence[CleanRoute]
    known: bool = True

    @property
    def layers(self) -> Sequence[SourceLayer]:
        """See WalkedSource."""
        return [SourceLayer(layer.name, layer.kind, layer.name, "", ()) for layer in self.spec.layers]

    @property
    def axis_names(self) -> Mapping[str, Sequence[str]]:
        """See WalkedSource."""
        return {tensor.name: tuple(axis.name for axis in tensor.axes) for tensor in self.spec.inputs}

    @property
    def normalisations(self) -> int | None:
        """See WalkedSource."""
        return sum(layer.kind == "batch-normalisation" for layer in self.spec.layers)

    def sampling(self) -> Sampling:
        """See WalkedSource."""
        return Sampling.of_spec(self.spec)

    def activations(self, precision: str, inputs: Path, outputs: Path) -> None:
        """See WalkedSource."""
        self.ask("load", path=str(self.weights / "weights.safetensors"), precision=precision)
        names = [layer.name for layer in self.spec.layers]
        self.ask("activations", inputs=str(inputs), names=names, outputs=str(outputs))

    def export(self, route: CleanRoute, folder: Path) -> None:
        """See WalkedSource."""
        self.ask(
            "export",
            weights=str(self.weights / "weights.safetensors"),
            out=str(folder),
            route=route.tool,
            opset=route.opset,
            fold=route.fold,
        )

    def tried(self, inputs: Mapping[str, Array], gap: Gap, scratch: Path) -> list[TriedHypothesis]:
        """See WalkedSource."""
        output = self.spec.outputs[0].name
        return tried_hypotheses(self.ask, self.spec, self.weights, inputs, output, gap, scratch)


@dataclass(frozen=True)
class WholeModelSource:
    """A whole model in the file at ``path``. ``layers`` as its worker told them.

    ``axes``: which axes of its inputs are the sample. ``example``: a file of inputs by its own names, to export it with.
    """

    ask: Ask
    path: str
    layers: Sequence[SourceLayer]
    axes: Sampling
    example: Path
    routes: Sequence[CleanRoute]
    known: bool = False

    @property
    def axis_names(self) -> Mapping[str, Sequence[str]]:
        """Nothing tells them."""
        return {}

    @property
    def normalisations(self) -> int | None:
        """Nothing tells them."""
        return None

    def sampling(self) -> Sampling:
        """See WalkedSource."""
        return self.axes

    def activations(self, precision: str, inputs: Path, outputs: Path) -> None:
        """See WalkedSource."""
        self.ask("load", path=self.path, precision=precision)
        self.ask("activations", inputs=str(inputs), names=[layer.name for layer in self.layers], outputs=str(outputs))

    def export(self, route: CleanRoute, folder: Path) -> None:
        """See WalkedSource."""
        self.ask("load", path=self.path, precision="float32")
        self.ask("export", out=str(folder / "model.onnx"), inputs=str(self.example), opset=route.opset, fold=route.fold)

    def tried(self, inputs: Mapping[str, Array], gap: Gap, scratch: Path) -> list[TriedHypothesis]:
        """There are no hypotheses about a model that is not known here."""
        return []
