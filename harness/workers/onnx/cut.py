"""A graph split into one model file per node, with the inputs that the oracle computes for it.

Any runtime that loads a model file can then be asked for a single node, on inputs that carry no error of the nodes
before it. The walk goes through the graph once, in float64 and in float32 beside each other, and holds only those
tensors that later nodes still read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.inliner
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from harness.workers.engine import Array, BadInput, Precision, Unsupported
from harness.workers.onnx.evaluator import reads
from harness.workers.tensors import read_tensors, write_tensors

#: ``run(model, precision, feeds)``: every output of a model by name.
Run = Callable[[ModelProto, Precision, Mapping[str, Any]], dict[str, Any]]

#: Operators with random results, which differ between runs.
RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")


class Walk:
    """Runs the nodes of a model one by one, in the order of its file.

    ``inputs`` by name, in the dtypes that the file declares. ``position``: index of the next node. ``stopped``: why
    the walk cannot go on; empty where it can.
    """

    def __init__(self, model: ModelProto, inputs: Mapping[str, Array], run: Run) -> None:
        self._own = {name for node in model.graph.node for name in node.output if name}
        self._model = onnx.inliner.inline_local_functions(model) if model.functions else model
        self._run = run
        self._nodes = list(self._model.graph.node)
        self._stored = {tensor.name: tensor for tensor in self._model.graph.initializer}
        self._reads = [reads(node) for node in self._nodes]
        self._last_use = {name: index for index, names in enumerate(self._reads) for name in names}
        #: Values by name: in double, and as single precision arrives at them.
        self._wide: dict[str, Any] = {name: _widened(array) for name, array in inputs.items()}
        self._single: dict[str, Any] = dict(inputs)
        self._flowing = set(inputs)
        #: Dtype and number of axes of everything computed, None for what is no tensor; values that do not flow.
        self._types: dict[str, ValueInfoProto | None] = {name: _ranked(name, array) for name, array in inputs.items()}
        self._fixed: dict[str, Any] = {}
        self.position = 0
        self.stopped: str | None = None

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def finished(self) -> bool:
        """Whether no node is left, or the walk cannot go on."""
        return self.stopped is not None or self.position >= len(self)

    @property
    def held(self) -> int:
        """Number of tensors in memory that later nodes read."""
        return len(self._wide)

    def step(self, folder: Path | None) -> tuple[dict[str, Any] | None, int]:
        """Do the next node and write what it needs to be examined; returns its record and the bytes of its tensors.

        Files in ``folder``, where given: ``<index>.onnx``, the node as a model of its own; ``<index>.inputs.safetensors``,
        the oracle's values rounded to the file's dtypes; ``<index>.tensors.safetensors``, for every output ``oracle:<name>``
        (the whole graph in float64), ``reference:<name>`` (the whole graph in float32) and ``expected:<name>`` (the node in
        float64 on the rounded inputs). Returns None for a node that only states a constant.
        """
        index, node, reads = self.position, self._nodes[self.position], self._reads[self.position]
        try:
            record, size = self._examine(index, node, reads, folder)
        except Exception as error:  # whatever an implementation of an operator raises
            self.stopped = f"operator {node.op_type} (node '{node.name}') cannot be computed: {_line(error)}"
            return None, 0
        self.position += 1
        for name in (*reads, *node.output):
            if self._last_use.get(name, -1) <= index:
                self._wide.pop(name, None)
                self._single.pop(name, None)
        return record, size

    def carried(self) -> list[str]:
        """Names of the tensors that depend on the inputs and that nodes to come still read."""
        return [name for name in self._single if name in self._flowing]

    def segment(self, first: int) -> tuple[ModelProto, list[str]] | None:
        """The nodes from ``first`` up to here as a model of their own, and its inputs, in file dtypes and of any size.

        Its outputs are what later nodes read. A target that is given its own values of the inputs goes on where it was, so
        that a long graph is run once in all, and not once for each of its parts. None where what is handed over is no
        tensor, or of a dtype that NumPy does not have.
        """
        nodes = self._nodes[first : self.position]
        made: dict[str, None] = {}
        inputs: list[str] = []
        graph = GraphProto(name=self._model.graph.name or "graph")
        for index, node in enumerate(nodes, first):
            for name in self._reads[index]:
                if name in made or name in inputs or any(name == tensor.name for tensor in graph.initializer):
                    continue
                if name in self._flowing:
                    inputs.append(name)
                elif name in self._stored:
                    graph.initializer.append(self._stored[name])
                else:
                    graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(self._fixed[name]), name))
            made |= dict.fromkeys(name for name in node.output if name)
        outputs = [name for name in self.carried() if name in made] or [name for name in made if name in self._flowing]
        types = [self._types[name] for name in (*inputs, *outputs)]
        if not outputs or any(kind is None for kind in types):
            return None
        graph.node.extend(nodes)
        graph.input.extend(types[: len(inputs)])
        graph.output.extend(types[len(inputs) :])
        model = ModelProto(ir_version=max(self._model.ir_version, 4), graph=graph)
        model.opset_import.extend(self._model.opset_import)
        return model, inputs

    def _examine(
        self, index: int, node: NodeProto, reads: list[str], folder: Path | None
    ) -> tuple[dict[str, Any] | None, int]:
        wide = {name: self._value(name, self._wide) for name in reads}
        single = {name: self._value(name, self._single) for name in reads}
        names = [name for name in node.output if name]
        if any(name in self._flowing for name in reads):
            self._flowing.update(names)
        arrays = all(isinstance(value, np.ndarray) for value in (*wide.values(), *single.values()))
        model = self._one_node(node, names, single if arrays else {}, {}, {})
        found = self._run(model, "float32", single)
        exact = self._run(model, "float64", wide)
        self._wide |= exact
        self._single |= found
        self._types |= {name: _ranked(name, value) for name, value in found.items()}
        self._fixed |= {name: value for name, value in found.items() if name not in self._flowing}
        if not reads:
            return None, 0
        record: dict[str, Any] = {
            "index": index,
            "node": node.name,
            "operator": node.op_type,
            "domain": node.domain,
            "tensors": names,
            "own": [name for name in names if name in self._own],
            "reason": _reason(node, arrays and all(isinstance(value, np.ndarray) for value in found.values())),
        }
        if folder is None or not all(isinstance(value, np.ndarray) for value in (*found.values(), *exact.values())):
            return record, 0
        tensors = {f"oracle:{name}": exact[name] for name in names} | {
            f"reference:{name}": found[name] for name in names
        }
        try:
            if record["reason"] is None:
                tensors |= self._write_node(folder / f"{index:05d}", node, names, wide, single, found)
            write_tensors(folder / f"{index:05d}.tensors.safetensors", tensors)
        except Unsupported as refused:
            record["reason"] = str(refused)
            return record, 0
        # The weights of a node lie in its model.
        alone = folder / f"{index:05d}.onnx"
        weights = alone.stat().st_size if alone.exists() else 0
        return record, weights + sum(array.nbytes for array in tensors.values())

    def _write_node(
        self,
        stem: Path,
        node: NodeProto,
        names: list[str],
        wide: dict[str, Array],
        single: dict[str, Array],
        found: dict[str, Array],
    ) -> dict[str, Array]:
        with np.errstate(over="ignore", invalid="ignore"):
            rounded = {name: wide[name].astype(single[name].dtype) for name in wide}
        # A node of constants alone gets the first of them as an input: a model needs at least one.
        fed = [name for name in wide if name in self._flowing] or list(wide)[:1]
        inputs = {name: rounded[name] for name in fed}
        held = {name: rounded[name] for name in wide if name not in fed}
        model = self._one_node(node, names, inputs, held, found)
        stem.with_name(f"{stem.name}.onnx").write_bytes(model.SerializeToString())
        write_tensors(stem.with_name(f"{stem.name}.inputs.safetensors"), inputs)
        expected = self._run(model, "float64", {name: _widened(array) for name, array in inputs.items()})
        return {f"expected:{name}": np.asarray(expected[name]) for name in names}

    def _value(self, name: str, values: dict[str, Any]) -> Any:
        if name in values:
            return values[name]
        if name not in self._stored:
            raise BadInput(f"the graph has no tensor '{name}'")
        array = onnx.numpy_helper.to_array(self._stored[name])
        return _widened(array) if values is self._wide else array

    def _one_node(
        self,
        node: NodeProto,
        names: list[str],
        inputs: Mapping[str, Array],
        held: Mapping[str, Array],
        outputs: Mapping[str, Array],
    ) -> ModelProto:
        """A model of one node; its outputs are typed where ``outputs`` are known."""
        graph = GraphProto(name=self._model.graph.name or "graph")
        graph.node.append(node)
        graph.input.extend(_typed(name, array) for name, array in inputs.items())
        for name, array in held.items():
            graph.initializer.append(self._stored.get(name) or onnx.numpy_helper.from_array(array, name))
        for name in names:
            graph.output.append(_typed(name, outputs[name]) if name in outputs else ValueInfoProto(name=name))
        # Before IR 4 initializers had to be inputs too.
        model = ModelProto(ir_version=max(self._model.ir_version, 4), graph=graph)
        model.opset_import.extend(self._model.opset_import)
        return model


class Cutter:
    """Answers the request ``cut``; keeps the walk between requests for the parts of one graph."""

    def __init__(self, read: Callable[[Path], ModelProto], run: Run) -> None:
        self._read = read
        self._run = run
        self._asked: tuple[str, str] | None = None
        self._walk: Walk | None = None

    def cut(
        self, path: str, inputs: str, out: str, first: int = 0, tensors: int = 64, max_bytes: int = 1 << 28
    ) -> dict[str, Any]:
        """Write the nodes from ``first`` on, until ``tensors`` tensors or ``max_bytes`` bytes are written to ``out``."""
        for name, value in (("first", first), ("tensors", tensors), ("max_bytes", max_bytes)):
            if not isinstance(value, int) or isinstance(value, bool) or value < (name != "first"):
                raise BadInput(f"{name} must be a whole number, not {value!r}")
        folder = Path(out)
        if not folder.is_dir():
            raise BadInput(f"{out}: no such folder")
        walk = self._walk_to(path, inputs, first)
        records: list[dict[str, Any]] = []
        count = size = 0
        while not walk.finished and count < tensors and size < max_bytes:
            record, written = walk.step(folder)
            size += written
            if record is not None:
                count += len(record["tensors"])
                records.append(record)
        answer = {
            "nodes": records,
            "next": walk.position,
            "total": len(walk),
            "stopped": walk.stopped,
            "held": walk.held,
            "segment": None,
        }
        if not (first == 0 and walk.finished) and walk.stopped is None:
            answer["segment"] = _write_segment(walk, first, folder)
        if walk.finished:
            self._walk = self._asked = None
        return answer

    def _walk_to(self, path: str, inputs: str, first: int) -> Walk:
        """The walk at that node: the one under way, or a new one that goes there."""
        if self._walk is None or self._asked != (path, inputs) or self._walk.position != first:
            for file in (path, inputs):
                if not isinstance(file, str) or not Path(file).is_file():
                    raise BadInput(f"{file}: no such file")
            self._walk = Walk(self._read(Path(path)), read_tensors(Path(inputs)), self._run)
            self._asked = (path, inputs)
            while self._walk.position < first and not self._walk.finished:
                self._walk.step(None)
        return self._walk


def _write_segment(walk: Walk, first: int, folder: Path) -> dict[str, Any] | None:
    """Write ``segment.onnx``; returns what it reads, and what later nodes read of all tensors, or None without one."""
    found = walk.segment(first)
    if found is None:
        return None
    model, inputs = found
    (folder / "segment.onnx").write_bytes(model.SerializeToString())
    return {"inputs": inputs, "carried": walk.carried()}


#: Dtypes that safetensors files and NumPy have in common.
_PLAIN = {"bool", "float16", "float32", "float64"} | {
    f"{sign}{bits}" for sign in ("int", "uint") for bits in (8, 16, 32, 64)
}


def _ranked(name: str, value: Any) -> ValueInfoProto | None:
    """Name, dtype and number of axes, each of any length; None for what cannot be handed over."""
    if not isinstance(value, np.ndarray) or value.dtype.name not in _PLAIN:
        return None
    kind = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
    return onnx.helper.make_tensor_value_info(name, kind, [None] * value.ndim)


def _reason(node: NodeProto, arrays: bool) -> str | None:
    """Why a node cannot be run on its own, or None where it can."""
    if node.op_type in RANDOM and node.domain in ("", "ai.onnx"):
        return "it draws at random"
    return None if arrays else "it takes or gives what is no tensor"


def _widened(array: Array) -> Array:
    """Floating-point arrays as float64, all others unchanged."""
    floating = array.dtype.kind == "f" or array.dtype.name.startswith(("bfloat", "float"))
    return array.astype(np.float64) if floating else array


def _typed(name: str, array: Array) -> ValueInfoProto:
    kind = TensorProto.STRING if array.dtype.kind in "OUS" else onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    return onnx.helper.make_tensor_value_info(name, kind, list(array.shape))


def _line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:300]
