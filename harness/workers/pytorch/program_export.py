"""A program that the user trusts, exported to ONNX anew."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from harness.workers.engine import Array, Failed
from harness.workers.pytorch.script_program import ScriptProgram, first_line


def export_program(program: Any, path: Path, opset: int, fold: bool) -> None:
    """Write a program of ``torch.export``; ``fold``: the exporter's optimiser may change the graph. Raises Failed."""
    with _refusing():
        written = torch.onnx.export(
            program, dynamo=True, optimize=fold, opset_version=opset, external_data=False, verbose=False
        )
        written.save(str(path), external_data=False)


def export_script(model: ScriptProgram, example: dict[str, Array], path: Path, opset: int, fold: bool) -> None:
    """Write TorchScript, traced with an ``example`` by input, any number of samples. Raises Failed where PyTorch cannot."""
    inputs, outputs = ([info.name for info in infos] for infos in (model.inputs, model.outputs))
    with _refusing():
        torch.onnx.export(
            model.module,
            tuple(torch.from_numpy(example[name]) for name in inputs),
            str(path),
            dynamo=False,
            do_constant_folding=fold,
            # What is not in training mode is folded otherwise, whatever is asked.
            training=torch.onnx.TrainingMode.EVAL if fold else torch.onnx.TrainingMode.PRESERVE,
            opset_version=opset,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes={name: {0: "sample"} for name in (*inputs, *outputs)},
            verbose=False,
        )


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    with warnings.catch_warnings():
        # What an exporter says of its own future is nothing that the user could change.
        warnings.simplefilter("ignore")
        try:
            yield
        except Exception as error:
            raise Failed(f"PyTorch cannot export the program: {first_line(error)}") from error
