"""python/torch-program: programs of ``torch.export`` (``.pt2``) and TorchScript, which the user trusts.

They are run as they are, as the source that a file is compared with. Nothing is unpickled: an archive that holds pickled objects
is refused, and what PyTorch itself would unpickle is not read.
"""

from __future__ import annotations

import contextlib
import functools
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch._export.serde import serialize
from torch.utils import _pytree as pytree

from harness.workers.engine import (
    Array,
    BadInput,
    Engine,
    LoadedModel,
    Precision,
    Progress,
    Stopwatch,
    TensorInfo,
    Unsupported,
    environment_threads,
)
from harness.workers.program_layers import ProgramLayer, write_layers
from harness.workers.pytorch import torch_threads
from harness.workers.pytorch.program_export import export_program, export_script
from harness.workers.pytorch.script_program import ScriptProgram, first_line
from harness.workers.requests import existing_file, output_file
from harness.workers.tensors import read_tensors

_ANEW = "save it anew with torch.export.save of PyTorch 2.8 or later"


class TorchProgram(LoadedModel):
    """A program of ``torch.export``; inputs by the names of its arguments, outputs by those of its graph."""

    def __init__(self, path: Path, precision: Precision) -> None:
        program = _exported_program(path)
        self.metadata = {}
        self.widened = precision == "float64"
        signature = program.graph_signature
        values = {node.name: node.meta.get("val") for node in program.graph.nodes}
        self.inputs = [_info(name, values.get(name)) for name in signature.user_inputs if isinstance(name, str)]
        self.outputs = [_info(name, values.get(name)) for name in signature.user_outputs if isinstance(name, str)]
        if len(self.inputs) != len(signature.user_inputs):
            raise Unsupported(f"{path}: takes arguments that are no tensors")
        self.program = program
        self._in_spec = program.call_spec.in_spec
        self._state = {name: value.detach() for name, value in program.state_dict.items()}
        # Conditions on sizes are checked by the harness; those on types would refuse a program in float64.
        self.module = program.module(check_guards=False)
        if self.widened:
            _widen(self.module)

    def run(self, feeds: dict[str, Array], watch: Stopwatch) -> dict[str, Array]:
        """See LoadedModel."""
        args, kwargs = self._arguments(feeds)
        with torch.inference_mode(), watch:
            found = self.module(*args, **kwargs)
        leaves = [value for value in pytree.tree_leaves(found) if isinstance(value, torch.Tensor)]
        return {info.name: value.numpy() for info, value in zip(self.outputs, leaves, strict=True)}

    def _arguments(self, feeds: dict[str, Array]) -> tuple[Any, Any]:
        flat = [torch.from_numpy(feeds[info.name]) for info in self.inputs]
        args, kwargs = pytree.tree_unflatten(flat, self._in_spec)
        return args, kwargs

    def parameters(self) -> dict[str, Array]:
        """The state of the program under its own names."""
        return {
            name: value.contiguous().numpy() for name, value in self._state.items() if value.dtype.is_floating_point
        }

    def layers(self) -> list[ProgramLayer]:
        """Every operation that gives floating-point numbers, with the module and the line that it comes from."""
        found: dict[str, ProgramLayer] = {}
        read: dict[str, tuple[str, ...]] = {}
        for node in self.module.graph.nodes:
            # The layers behind what a node reads; what does not depend on the inputs is no layer.
            before = dict.fromkeys(name for one in node.all_input_nodes for name in read.get(one.name, ()))
            if node.op == "placeholder":
                read[node.name] = ("",)
            elif before and _gives_numbers(node):
                line, inputs = _line(node.meta.get("stack_trace") or ""), tuple(name for name in before if name)
                found[node.name] = ProgramLayer(node.name, _kind(node), _namespace(node), line, inputs)
                read[node.name] = (node.name,)
            else:
                read[node.name] = tuple(before)
        return [*found.values()]

    def activations(self, feeds: dict[str, Array], names: list[str]) -> dict[str, Array]:
        """Results of operations, named as in the graph of the program."""
        known = {node.name for node in self.module.graph.nodes}
        if unknown := [name for name in names if name not in known]:
            raise BadInput(f"the program has no operation '{unknown[0]}'")
        recorder = _Recorder(self.module, set(names))
        args, kwargs = self._arguments(feeds)
        with torch.inference_mode():
            recorder.run(*pytree.tree_leaves((args, kwargs)))
        return recorder.found


class _Recorder(torch.fx.Interpreter):  # type: ignore[misc]
    """Runs a graph and keeps what some of its nodes give."""

    def __init__(self, module: torch.fx.GraphModule, names: set[str]) -> None:
        super().__init__(module)
        self._names = names
        self.found: dict[str, Array] = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        """See torch.fx.Interpreter."""
        value = super().run_node(n)
        if n.name in self._names and isinstance(value, torch.Tensor):
            self.found[n.name] = value.detach().contiguous().numpy().copy()
        return value


def _exported_program(path: Path) -> Any:
    _check_archive(path)
    with _without_pickle():
        try:
            return torch.export.load(path)
        except BadInput:
            raise
        except Exception as error:
            raise BadInput(f"{path}: torch.export.load refuses it: {first_line(error)}") from error


def _check_archive(path: Path) -> None:
    """Raises BadInput on what is no archive of ``torch.export``, and on one that holds pickled objects."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            configs = [json.loads(archive.read(name)) for name in names if name.endswith("_config.json")]
    except (zipfile.BadZipFile, ValueError, KeyError, NotImplementedError) as error:
        raise BadInput(f"{path}: not an archive of torch.export.save; {_ANEW}") from error
    if not any("/models/" in f"/{name}" and name.endswith(".json") for name in names) or not configs:
        raise BadInput(f"{path}: not an archive that torch.export.save of PyTorch 2.8 or later wrote; {_ANEW}")
    for config in configs:
        for name, entry in (config.get("config") or {}).items():
            if (
                entry.get("use_pickle")
                or "custom_obj" in str(entry.get("path_name"))
                or "opaque" in str(entry.get("path_name"))
            ):
                raise BadInput(
                    f"{path}: holds '{name}' as a pickled object, which is never unpickled; export it with plain tensors"
                )
    for folder in ("/data/weights/", "/data/constants/"):
        if any(folder in f"/{name}" and name.endswith(".pt") for name in names):
            raise BadInput(f"{path}: holds pickled tensors of an old format, which are never unpickled; {_ANEW}")


@contextlib.contextmanager
def _without_pickle() -> Iterator[None]:
    """Within the block PyTorch unpickles nothing: sample inputs are left out, and everything else of that kind is refused."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise BadInput("the archive holds pickled objects, which are never unpickled")

    def leave_out(serialized: Any) -> Any:
        return serialized if isinstance(serialized, dict | tuple) else ()

    replaced = [
        (serialize, "deserialize_torch_artifact", leave_out),
        (torch, "load", refuse),
        (pickle, "loads", refuse),
        (pickle, "load", refuse),
        (torch._C, "_pickle_load_obj", refuse),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in replaced if hasattr(owner, name)]
    try:
        for owner, name, by in replaced:
            setattr(owner, name, by)
        yield
    finally:
        for owner, name, old in before:
            setattr(owner, name, old)


def _info(name: str, value: Any) -> TensorInfo:
    if not isinstance(value, torch.Tensor):
        return TensorInfo(name, "float32", None)
    shape = tuple(int(size) if isinstance(size, int) else str(size) for size in value.shape)
    return TensorInfo(name, str(value.dtype).removeprefix("torch."), shape)


def _widen(module: torch.fx.GraphModule) -> None:
    """The program in float64: its tensors, the types it names, and no conditions on types."""
    module.double()
    for owner in module.modules():
        for name, value in list(vars(owner).items()):
            if isinstance(value, torch.Tensor) and value.dtype == torch.float32:
                setattr(owner, name, value.double())
    for graph_module in (one for one in module.modules() if isinstance(one, torch.fx.GraphModule)):
        for node in list(graph_module.graph.nodes):
            if "_assert_tensor_metadata" in str(node.target):
                graph_module.graph.erase_node(node)
                continue
            node.args, node.kwargs = pytree.tree_map(_wide, (node.args, dict(node.kwargs)))
        graph_module.recompile()


def _wide(value: Any) -> Any:
    # Numbers are rounded to float32, as the model uses them and file formats store them.
    if isinstance(value, float):
        return float(np.float32(value))
    return torch.float64 if value == torch.float32 and isinstance(value, torch.dtype) else value


def _gives_numbers(node: torch.fx.Node) -> bool:
    value = node.meta.get("val")
    return node.op == "call_function" and isinstance(value, torch.Tensor) and value.dtype.is_floating_point


def _kind(node: torch.fx.Node) -> str:
    return str(node.target).removeprefix("aten.").partition(".")[0]


def _namespace(node: torch.fx.Node) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    paths = [str(path) for path, _ in stack.values()]
    return paths[-1].replace("L['self']", "").strip(".") if paths else ""


def _line(trace: str) -> str:
    """The last call of a stack trace: file, line and code."""
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    places = [index for index, line in enumerate(lines) if line.startswith("File ")]
    if not places:
        return ""
    # Calls inside of PyTorch say nothing of the model.
    own = [index for index in places if "/torch/" not in lines[index]] or places
    code = lines[own[-1] + 1] if own[-1] + 1 < len(lines) and not lines[own[-1] + 1].startswith("File ") else ""
    return f"{lines[own[-1]]}: {code}" if code else lines[own[-1]]


class TorchPrograms(Engine):
    """PyTorch behind the worker contract, for programs."""

    runtime: ClassVar[str] = "python/torch-program"

    def __init__(self) -> None:
        torch_threads.pin()
        self._model: TorchProgram | ScriptProgram | None = None

    def versions(self) -> dict[str, str]:
        """See Engine."""
        return {"torch": torch.__version__, "numpy": np.__version__}

    def threads(self) -> dict[str, int]:
        """See Engine."""
        return torch_threads.sizes() | environment_threads()

    def load(self, path: Path, precision: Precision) -> TorchProgram | ScriptProgram:
        """See Engine; ``path`` is a ``.pt2`` archive, or else TorchScript."""
        self._model = TorchProgram(path, precision) if path.suffix == ".pt2" else ScriptProgram(path, precision)
        return self._model

    def requests(self, progress: Progress) -> dict[str, Callable[..., dict[str, Any]]]:
        """``layers``, and ``export`` of the program that is loaded."""
        return {"layers": functools.partial(self._layers), "export": self._export}

    def _export(self, out: str, inputs: str, opset: int, fold: bool) -> dict[str, Any]:
        """Write a program as ONNX; ``inputs``: a file of arrays by input, to trace TorchScript with."""
        if self._model is None or self._model.widened:
            raise BadInput("export takes a program that is loaded in float32")
        path = output_file(out)
        if isinstance(self._model, TorchProgram):
            export_program(self._model.program, path, opset, fold)
        else:
            export_script(self._model, read_tensors(existing_file(inputs)), path, opset, fold)
        return {"bytes": path.stat().st_size}

    def _layers(self, outputs: str) -> dict[str, Any]:
        return write_layers(self._model, outputs)


ENGINE = TorchPrograms
