"""The request ``replace``: a graph in which some tensors are inputs, so that it can be run with other values of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto, TensorProto

from harness.workers.engine import BadInput
from harness.workers.requests import existing_file, output_file, write_bytes


def replacer(read: Callable[[Path], ModelProto]) -> Callable[..., dict[str, Any]]:
    """The handler; ``read`` loads a model with all of its tensors."""

    def replace(path: str, out: str, tensors: list[dict[str, Any]]) -> dict[str, Any]:
        """Write a copy of a model with more inputs.

        Args:
            path: the model.
            out: the file to write.
            tensors: ``tensor``, its name in the graph; ``input``, the name of the new float32 input in its place;
                ``reader``, the first output of the only node that reads the input, or null for every node that reads the tensor;
                ``axes``, how many axes it has.

        Nodes that made the tensor stay, and so do outputs of the graph. Raises BadInput on a tensor that no node reads.
        """
        model = read(existing_file(path))
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
        for entry in tensors:
            name, new, reader = entry["tensor"], entry["input"], entry.get("reader")
            changed = 0
            for node in model.graph.node:
                if reader is not None and node.output[0] != reader:
                    continue
                for index, read_name in enumerate(node.input):
                    if read_name == name:
                        node.input[index] = new
                        changed += 1
            if not changed:
                raise BadInput(f"no node reads '{name}'" if reader is None else f"'{reader}' does not read '{name}'")
            model.graph.input.append(onnx.helper.make_tensor_value_info(new, TensorProto.FLOAT, [None] * entry["axes"]))
        write_bytes(output_file(out), model.SerializeToString())
        return {"inputs": len(model.graph.input)}

    return replace
