"""Every route the harness knows, as rows of one table: a conversion of a model into a file format by one named tool.

A route is implemented by a function of the same name in the worker module of every framework that it converts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.runtimes.row import FileFormat
from harness.runtimes.table import frameworks
from harness.version_names import split

Option = Literal["opset", "fold"]


@dataclass(frozen=True)
class Route:
    """One row.

    ``title``: what it does, for people. ``converts``: the frameworks whose models it converts, or families of frameworks
    (the folders of ``native/`` that their models lie in); every framework where none is named. ``writes``: the format of
    its files. ``tools``: Python packages beside the framework whose versions decide what is written. ``options``: what a
    scenario may ask of it: an ``opset``, and by ``fold: false`` that batch normalisation is kept as an operator.
    """

    name: str
    title: str
    converts: tuple[str, ...]
    writes: FileFormat
    tools: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()

    @property
    def frameworks(self) -> tuple[str, ...]:
        """The names of the frameworks whose models it converts; empty where it converts those of every one."""
        known = frameworks().values()
        return tuple(one.name for one in known if one.name in self.converts or one.native in self.converts)

    def fits(self, framework: str) -> bool:
        """Whether it converts models of a framework, whatever the version in its name."""
        return not self.converts or split(framework)[0] in self.frameworks


ROUTES: dict[str, Route] = {
    row.name: row
    for row in (
        Route("safetensors", "the weights alone, for the same model written by hand", (), "safetensors"),
        Route(
            "torch-dynamo",
            "torch.onnx.export by torch.export",
            ("pytorch",),
            "onnx",
            ("onnx", "onnxscript"),
            ("opset", "fold"),
        ),
        Route(
            "torch-script",
            "torch.onnx.export by tracing (TorchScript)",
            ("pytorch",),
            "onnx",
            ("onnx", "onnxscript"),
            ("opset", "fold"),
        ),
        Route(
            "torch-scan",
            "torch-dynamo with loops over time kept as ONNX Scan",
            ("pytorch",),
            "onnx",
            ("onnx", "onnxscript"),
            ("opset", "fold"),
        ),
        Route(
            "keras-export",
            "Keras' model.export to ONNX",
            ("keras",),
            "onnx",
            ("onnx", "onnxscript", "tf2onnx"),
            ("opset",),
        ),
        Route("tf2onnx", "tf2onnx on the Keras model", ("keras-tensorflow",), "onnx", ("onnx", "tf2onnx"), ("opset",)),
        Route("keras-to-savedmodel", "Keras' model.export to a SavedModel", ("keras-tensorflow",), "savedmodel"),
        Route("keras-backend-swap", "a .keras file for another backend of Keras", ("keras",), "keras"),
        Route(
            "tf2onnx-savedmodel",
            "tf2onnx on the SavedModel that Keras writes",
            ("keras-tensorflow",),
            "onnx",
            ("onnx", "tf2onnx"),
            ("opset",),
        ),
    )
}
