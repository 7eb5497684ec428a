"""A TorchScript archive that the user trusts, run as the source that a file is compared with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree

from harness.workers.engine import Array, BadInput, LoadedModel, Precision, Stopwatch, TensorInfo, Unsupported


class ScriptProgram(LoadedModel):
    """A TorchScript archive; its inputs are named as its ``forward`` names them, outputs are numbered."""

    def __init__(self, path: Path, precision: Precision) -> None:
        try:
            module = torch.jit.load(str(path), map_location="cpu").eval()
        except (RuntimeError, ValueError) as error:
            raise BadInput(f"{path}: torch.jit.load refuses it: {first_line(error)}") from error
        self.metadata = {}
        self._state = {name: value.detach().clone() for name, value in module.state_dict().items()}
        self.widened = precision == "float64"
        if self.widened:
            module = module.double()
            for part in module.modules():
                for name in part._c._method_names():
                    graph = part._c._get_method(name).graph
                    _widen_script(graph, graph)
        self.module = module
        arguments = [one for one in module.forward.schema.arguments if one.name != "self"]
        self.inputs = [TensorInfo(one.name, "", None) for one in arguments if not one.has_default_value()]
        self.outputs = [TensorInfo(f"output_{place}", "float32", None) for place in range(_returned(module))]

    def run(self, feeds: dict[str, Array], watch: Stopwatch) -> dict[str, Array]:
        """See LoadedModel."""
        given = [torch.from_numpy(feeds[info.name]) for info in self.inputs]
        # What the program makes itself without a type is made in its precision.
        with _default_dtype(torch.float64 if self.widened else torch.float32), torch.inference_mode(), watch:
            found = self.module(*given)
        leaves = [value for value in pytree.tree_leaves(found) if isinstance(value, torch.Tensor)]
        if self.widened and any(value.dtype == torch.float32 for value in leaves):
            raise Unsupported("the program turns numbers into float32 itself, so that it cannot be run in float64")
        return {info.name: value.numpy() for info, value in zip(self.outputs, leaves, strict=True)}

    def parameters(self) -> dict[str, Array]:
        """The state of the program under its own names."""
        return {
            name: value.contiguous().numpy() for name, value in self._state.items() if value.dtype.is_floating_point
        }


@contextlib.contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _returned(module: Any) -> int:
    """How many tensors a program returns. Raises Unsupported where its type does not tell."""
    kinds = [one.type for one in module.forward.schema.returns]
    flat = [part for kind in kinds for part in (kind.elements() if isinstance(kind, torch.TupleType) else [kind])]
    if not all(isinstance(kind, torch.TensorType) for kind in flat):
        raise Unsupported("the program returns more than tensors; wrap it so that it returns a tuple of them")
    return len(flat)


def _widen_script(graph: Any, block: Any) -> None:
    """Operations of TorchScript that name float32 name float64 instead."""
    single, double = 6, 7  # as PyTorch numbers its types
    for node in list(block.nodes()):
        for inner in node.blocks():
            _widen_script(graph, inner)
        if not node.kind().startswith("aten::") or "dtype" not in node.schema():
            continue
        for place, argument in enumerate(torch._C.parse_schema(node.schema()).arguments):
            value = node.inputsAt(place)
            if argument.name == "dtype" and value.node().kind() == "prim::Constant" and value.toIValue() == single:
                constant = graph.insertConstant(double)
                constant.node().moveBefore(node)
                node.replaceInput(place, constant)


def first_line(error: Exception) -> str:
    """The first line of what an error says."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]
