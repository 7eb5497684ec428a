"""Workers of this process that answer for oracles, one of them wrong: onnx.reference with its own operators."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx

from harness.errors import BadInputError, UnsupportedError, WorkerError
from harness.pipeline.step import Context, Step
from harness.scenario.sections import LimitsSection
from harness.workers.engine import BadInput, Precision, Unsupported
from harness.workers.onnx.reference import OnnxReference, ReferenceModel
from harness.workers.requests import Requests
from harness.workers.tensors import write_tensors

A, B, C, D = "python/onnx-reference", "r/base", "julia/base", "python/onnxruntime"


class Plain(OnnxReference):
    """onnx.reference as it is: it computes Erf in single precision."""

    def load(self, path: Path, precision: Precision) -> ReferenceModel:
        """See Engine."""
        with mock.patch("harness.workers.onnx.reference.OPERATORS", []):
            return super().load(path, precision)


class Without(OnnxReference):
    """An engine that refuses operators."""

    def __init__(self, *operators: str) -> None:
        super().__init__()
        self._refused = operators

    def load(self, path: Path, precision: Precision) -> ReferenceModel:
        """See Engine."""
        for node in onnx.load(str(path)).graph.node:
            if node.op_type in self._refused:
                raise Unsupported(f"operator {node.op_type} is not supported here")
        return super().load(path, precision)


class Scaled(OnnxReference):
    """An engine whose Tanh is off by a little."""

    def load(self, path: Path, precision: Precision) -> ReferenceModel:
        """See Engine."""
        from harness.workers.onnx.exact.operator import operator

        wrong = operator("Tanh", lambda node, x: np.tanh(x) * (1 + 1e-6))
        from harness.workers.onnx import reference

        with mock.patch("harness.workers.onnx.reference.OPERATORS", [*reference.OPERATORS, wrong]):
            return super().load(path, precision)


class InProcess:
    """Workers by the name of their runtime; ``asked`` counts their requests."""

    def __init__(self, engines: Mapping[str, OnnxReference]) -> None:
        self._tables = {name: Requests(engine).table(lambda *_: None) for name, engine in engines.items()}
        self.asked: dict[str, int] = dict.fromkeys(engines, 0)

    def ask(self, runtime: str, request: str, **arguments: Any) -> dict[str, Any]:
        """As a context asks; refusals become the errors that a worker's answers do."""
        self.asked[runtime] += 1
        try:
            return self._tables[runtime][request](**arguments)
        except Unsupported as error:
            raise UnsupportedError(str(error), where=runtime) from error
        except BadInput as error:
            raise BadInputError(str(error), where=runtime) from error
        except Exception as error:
            raise WorkerError(str(error), where=runtime) from error

    def context(self, step: Step, folder: Path, needs: Mapping[str, Path]) -> Context:
        """What a step is carried out with."""
        folder.mkdir()
        context = Context(step, folder, dict(needs), workers=None, limits=LimitsSection())  # type: ignore[arg-type]
        context.ask_other = self.ask  # type: ignore[method-assign]
        context.ask = lambda request, **arguments: self.ask(step.worker.name, request, **arguments)  # type: ignore[method-assign]
        return context


def network(path: Path, *, batch: int | str = "N") -> Path:
    """Gemm, Erf, Gemm, Tanh, Add; opset 17."""
    random = np.random.default_rng(0)
    stored = {"w": (4, 5), "v": (5, 3)}
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("MatMul", ["x", "w"], ["a"], "first"),
            onnx.helper.make_node("Erf", ["a"], ["b"], "erf"),
            onnx.helper.make_node("MatMul", ["b", "v"], ["c"], "second"),
            onnx.helper.make_node("Tanh", ["c"], ["d"], "tanh"),
            onnx.helper.make_node("Constant", [], ["one"], "one", value_float=1.0),
            onnx.helper.make_node("Add", ["d", "one"], ["y"], "last"),
        ],
        "g",
        [onnx.helper.make_tensor_value_info("x", 1, [batch, 4])],
        [onnx.helper.make_tensor_value_info("y", 1, [batch, 3])],
        [
            onnx.numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name)
            for name, shape in stored.items()
        ],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def given(root: Path, samples: int = 20, **network_options: Any) -> dict[str, Path]:
    """The folders that steps of a given file need."""
    folders = {name: root / name for name in ("given", "probe", "samples")}
    for folder in folders.values():
        folder.mkdir()
    network(folders["given"] / "model.onnx", **network_options)
    probe = np.random.default_rng(1).normal(size=(samples, 4)).astype(np.float32)
    write_tensors(folders["probe"] / "probe.safetensors", {"x": probe})
    (folders["samples"] / "samples.json").write_text(json.dumps({"axes": {"x": 0, "y": 0}, "whole": False, "said": []}))
    return folders
