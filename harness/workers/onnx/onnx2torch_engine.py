"""python/onnx2torch: an .onnx file turned back into a PyTorch module by the package onnx2torch, and run by PyTorch.

The file is converted in this process whenever it is loaded; nothing is pickled. onnx2torch knows no Loop, Scan or If and no
operator newer than about opset 16, and says so by an error that becomes one line here.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import onnx
import torch
from onnx import ModelProto, NodeProto, TensorProto

from harness.workers.engine import (
    Array,
    BadInput,
    Engine,
    LoadedModel,
    Precision,
    Stopwatch,
    TensorInfo,
    Unsupported,
    environment_threads,
)
from harness.workers.onnx.file import inputs_of, known_before, metadata_of, outputs_of, read_model, stated_weight
from harness.workers.onnx.structure import structure
from harness.workers.pytorch import torch_threads
from harness.workers.tensors import dtype_of

#: Operators that onnx2torch hands to torchvision, which this runtime does without.
_OF_TORCHVISION = ("NonMaxSuppression", "RoiAlign")


def _onnx2torch() -> ModuleType:
    """The package, without torchvision: it is imported for two operators alone, which are then not known.

    A torchvision that was built for another PyTorch than the one installed fails when it is imported.
    """
    absent = {name: ModuleType(name) for name in ("torchvision", "torchvision.ops")}
    absent["torchvision.ops"].roi_align = None  # type: ignore[attr-defined]
    absent["torchvision"].ops = absent["torchvision.ops"]  # type: ignore[attr-defined]
    before = {name: sys.modules.get(name) for name in absent}
    sys.modules |= absent
    try:
        import onnx2torch
        from onnx2torch.node_converters.registry import _CONVERTER_REGISTRY as converters
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    for known in [known for known in converters if known.operation_type in _OF_TORCHVISION]:
        del converters[known]
    package: ModuleType = onnx2torch
    return package


_PACKAGE = _onnx2torch()

#: Tensors of modules that hold what was an input of their node, by the input's place.
_HELD: dict[type[torch.nn.Module], dict[str, int]] = {
    torch.nn.modules.conv._ConvNd: {"weight": 1, "bias": 2},
    torch.nn.modules.batchnorm._BatchNorm: {"weight": 1, "bias": 2, "running_mean": 3, "running_var": 4},
    torch.nn.Linear: {"weight": 1, "bias": 2},
}
#: Attributes of modules that hold what was an input of their node as plain numbers, by the operator, in the order of the inputs.
_AS_NUMBERS: dict[str, tuple[str, ...]] = {
    "Clip": ("min_val", "max_val"),
    "ReduceSum": ("_axes",),
    "Unsqueeze": ("_axes",),
}


class BackInTorch(LoadedModel):
    """A module that onnx2torch made of a file, in evaluation mode."""

    def __init__(self, model: ModelProto) -> None:
        self.inputs, self.outputs = inputs_of(model), outputs_of(model)
        self.metadata = metadata_of(model)
        self._stored = {tensor.name: tensor for tensor in model.graph.initializer}
        _check(model, [*self.inputs, *self.outputs])
        renamed = ModelProto.FromString(model.SerializeToString())
        # Names of nodes become executable code in a graph of torch.fx; text of a file must not.
        for index, node in enumerate(renamed.graph.node):
            node.name = f"node{index}"
        self._nodes = list(renamed.graph.node)
        self.module = _converted(renamed).eval()
        _check_ranks(self.module, model, self._nodes)
        self._places = self._outputs_of_nodes()

    def _outputs_of_nodes(self) -> dict[str, tuple[str, int | None]]:
        """Module and place among its results of every tensor that a node gives; no place where the result is one tensor."""
        return {
            name: (node.name, place if len(node.output) > 1 else None)
            for node in self._nodes
            for place, name in enumerate(node.output)
            if name
        }

    def run(self, feeds: dict[str, Array], watch: Stopwatch) -> dict[str, Array]:
        """See LoadedModel."""
        call = self._call(feeds)
        with watch:
            found = call()
        wanted = [self._places[info.name] for info in self.outputs]
        # The module gives the results of the nodes that the outputs come from, each node once.
        nodes = list(dict.fromkeys(node for node, _ in wanted))
        results = dict(zip(nodes, found if len(nodes) > 1 else [found], strict=True))
        values = (results[node] if place is None else results[node][place] for node, place in wanted)
        return {
            info.name: np.require(value.numpy(), dtype_of(info.dtype), "C")
            for info, value in zip(self.outputs, values, strict=True)
        }

    def prepared(self, feeds: dict[str, Array]) -> Callable[[], object]:
        """See LoadedModel."""
        return self._call(feeds)

    def _call(self, feeds: dict[str, Array]) -> Callable[[], Any]:
        tensors = [torch.from_numpy(feeds[info.name]) for info in self.inputs]
        call: Callable[[], Any] = torch.inference_mode()(functools.partial(self.module, *tensors))
        return call

    def parameters(self) -> dict[str, Array]:
        """What the modules hold, under the file's names and in its layout; of copies the second is ``<name>#2``, and so on."""
        found: dict[str, Array] = {}
        count: dict[str, int] = {}
        for name, value in self._held():
            count[name] = count.get(name, 0) + 1
            found[name if count[name] == 1 else f"{name}#{count[name]}"] = value
        return found

    def _held(self) -> Iterator[tuple[str, Array]]:
        """Every tensor with the name of the initializer that it was made of; what was made of none has its own."""
        # Where no node needs one it is left out.
        kept = getattr(self.module, "initializers", None)
        container = {} if kept is None else dict(kept.named_buffers())
        number = 0
        for node in self._nodes:
            module = self.module.get_submodule(node.name)
            for name in module.onnx_mapping.inputs:
                if name in self._stored:
                    yield name, container[f"onnx_initializer_{number}"].numpy()
                    number += 1
            yield from _held_by(module, node, self._stored)

    def activations(self, feeds: dict[str, Array], names: list[str]) -> dict[str, Array]:
        """See LoadedModel."""
        for name in names:
            if name not in self._places:
                raise BadInput(f"the graph has no tensor '{name}'")
        wanted = {self._places[name][0] for name in names}
        results: dict[str, Any] = {}
        handles = []
        for node in wanted:

            def keep(module: Any, given: Any, result: Any, node: str = node) -> None:
                results[node] = result

            handles.append(self.module.get_submodule(node).register_forward_hook(keep))
        try:
            self._call(feeds)()
        finally:
            for handle in handles:
                handle.remove()
        found = {}
        for name in names:
            node, place = self._places[name]
            value = results[node] if place is None else results[node][place]
            found[name] = np.require(value.numpy(), requirements="C")
        return found


#: Dtypes that PyTorch computes with and NumPy has.
_DTYPES = {"bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"}
#: Operators that it computes otherwise than ONNX says, in some of their modes at least.
_WRONG = ("CumSum", "Resize")
#: Operators of which onnx2torch gives the first output alone, whatever the file asks for.
_ONE_OUTPUT = ("LayerNormalization", "MaxPool")


def _check(model: ModelProto, ends: list[TensorInfo]) -> None:
    """Raises Unsupported for what onnx2torch converts without an error but computes wrongly."""
    for info in ends:
        if info.dtype not in _DTYPES:
            raise Unsupported(f"'{info.name}' is {info.dtype}, which PyTorch hardly computes with")
    for node in model.graph.node:
        if node.op_type in _WRONG:
            raise Unsupported(
                f"operator {node.op_type} (node '{node.name}') is not supported by python/onnx2torch, which computes it wrongly"
            )
        if node.op_type in _ONE_OUTPUT and any(node.output[1:]):
            raise Unsupported(f"onnx2torch drops outputs of {node.op_type} (node '{node.name}') but the first")
    _check_dropouts(model)
    made = {name for node in model.graph.node for name in node.output}
    for info in ends[-len(model.graph.output) :]:
        if info.name not in made:
            raise Unsupported(f"onnx2torch does not convert it: output '{info.name}' is the result of no node")


def _check_ranks(module: torch.nn.Module, model: ModelProto, nodes: list[NodeProto]) -> None:
    """Raises Unsupported for a mean over the axes of no shape: onnx2torch takes an input of unknown rank for a single number."""
    for node, original in zip(nodes, model.graph.node, strict=True):
        if node.op_type == "GlobalAveragePool" and getattr(module.get_submodule(node.name), "_x_dims", None) == []:
            label = f"node '{original.name}'" if original.name else f"before '{original.output[0]}'"
            raise Unsupported(
                f"operator GlobalAveragePool ({label}) is not supported by python/onnx2torch where the file does not tell how "
                "many axes its input has"
            )


def _check_dropouts(model: ModelProto) -> None:
    """Raises Unsupported for a Dropout in training mode, or possibly so: onnx2torch ignores the input."""
    known = {
        name: onnx.numpy_helper.to_array(tensor)
        for name, tensor in known_before(model.graph).items()
        if not tensor.dims
    }
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    for place, node in enumerate(model.graph.node, start=1):
        if node.op_type != "Dropout" or len(node.input) < 3 or not node.input[2]:
            continue
        label = f"'{node.name}'" if node.name else f"number {place}"
        what = f"operator Dropout (opset {opset}, node {label}): "
        mode, ratio = known.get(node.input[2]), known.get(node.input[1])
        if ratio is not None and not ratio > 0:
            continue
        if mode is None:
            raise Unsupported(f"{what}a training mode that comes with the inputs is not supported by python/onnx2torch")
        if mode:
            raise Unsupported(
                f"{what}training mode, which draws at random, is not supported; export the model in evaluation mode"
            )


def _converted(model: ModelProto) -> Any:
    """The module of a model. Raises Unsupported with onnx2torch's own words."""
    try:
        return _PACKAGE.convert(model, attach_onnx_mapping=True)
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        if isinstance(error, KeyError) and any(error.args[0] in node.output for node in model.graph.node):
            line = (
                f"'{error.args[0]}' is computed in the graph, and weights are looked for among the file's tensors alone"
            )
        raise Unsupported(_in_words(line) or f"onnx2torch: {type(error).__name__}") from error


def _in_words(line: str) -> str:
    """A message of onnx2torch without the Python in it: ``onnx2torch has no converter for Loop 13``."""
    before = "Converter is not implemented (OperationDescription("
    if not line.startswith(before):
        return f"onnx2torch: {line}" if line else ""
    parts = dict(part.strip().split("=", 1) for part in line.removeprefix(before).rstrip(")").split(","))
    domain, operator = (parts.get(name, "''").strip("'") for name in ("domain", "operation_type"))
    return (
        f"onnx2torch has no converter for {domain + '.' if domain else ''}{operator} {parts.get('version', '')}".strip()
    )


def _held_by(
    module: torch.nn.Module, node: NodeProto, stored: Mapping[str, TensorProto]
) -> Iterator[tuple[str, Array]]:
    """The tensors of one module that were initializers, in the file's layout."""
    if isinstance(module, torch.nn.Sequential):
        # A padding of its own before a convolution.
        module = module[-1]
    places = next((places for kind, places in _HELD.items() if isinstance(module, kind)), {})
    taken = set(getattr(module, "onnx_mapping", ((),))[0])
    # Others keep them in the order of the node's inputs.
    rest = [place for place, name in enumerate(node.input) if name in stored and name not in taken]
    for key, tensor in module.state_dict().items():
        # A single number of a node is no tensor of the file.
        if key == "num_batches_tracked" or node.op_type in ("Constant", "ConstantOfShape"):
            if stated_weight(node) is not None:
                yield node.output[0], tensor.detach().numpy()
            continue
        place = places[key] if key in places else (rest.pop(0) if not places and rest else None)
        value = tensor.detach().numpy()
        if place is None or place >= len(node.input) or node.input[place] not in stored:
            yield f"{node.name}.{key}", value
            continue
        transposed = {entry.name: entry.i for entry in node.attribute}.get("transB", 0)
        if isinstance(module, torch.nn.Linear) and key == "weight" and not transposed:
            value = value.T
        yield node.input[place], value
    for name, key in zip(node.input[1:], _AS_NUMBERS.get(node.op_type, ()), strict=False):
        # A Clip from 0 on becomes a ReLU, which does not name its limit.
        held = 0.0 if isinstance(module, torch.nn.ReLU) and key == "min_val" else getattr(module, key, None)
        if name in stored and held is not None:
            yield name, _as_stored(held, stored[name])


def _as_stored(numbers: Any, tensor: TensorProto) -> Array:
    """Numbers of a module in the dtype of the tensor that they were read from, and in its order: axes are kept sorted."""
    value = onnx.numpy_helper.to_array(tensor)
    held = np.asarray(numbers, value.dtype)
    return value if held.ndim and np.array_equal(held, np.sort(value)) else held


class OnnxToTorch(Engine):
    """onnx2torch behind the worker contract."""

    runtime: ClassVar[str] = "python/onnx2torch"
    # Some of its modules compute in float32 whatever they are given.
    precisions: ClassVar[tuple[Precision, ...]] = ("float32",)

    def __init__(self) -> None:
        torch_threads.pin()

    def versions(self) -> dict[str, str]:
        """See Engine."""
        import importlib.metadata

        return {
            "onnx2torch": importlib.metadata.version("onnx2torch"),
            "torch": torch.__version__,
            "onnx": onnx.__version__,
            "numpy": np.__version__,
        }

    def threads(self) -> dict[str, int]:
        """See Engine."""
        return torch_threads.sizes() | environment_threads()

    def load(self, path: Path, precision: Precision) -> BackInTorch:
        """See Engine."""
        if precision == "float64":
            raise Unsupported("float64 is not supported by python/onnx2torch")
        return BackInTorch(read_model(path, self.runtime))

    def structure(self, path: Path) -> dict[str, Any]:
        """See Engine."""
        return structure(read_model(path, self.runtime), path)


ENGINE = OnnxToTorch
