"""The state of an interrupted PyTorch training, as safetensors and JSON: nothing here is ever unpickled."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import torch

from harness.workers.engine import Array, BadInput
from harness.workers.requests import write_json
from harness.workers.tensors import read_tensors, write_tensors

_RECORD = "checkpoint.json"


def save(
    folder: Path,
    epoch: int,
    module: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    rows: list[dict[str, Any]],
    settings: dict[str, Any],
) -> None:
    """Keep what is needed to go on after ``epoch`` (counted from 1). The JSON names the tensors that belong to it."""
    tensors = {f"module/{name}": value.numpy() for name, value in module.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        for key, value in state.items():
            tensors[f"optimiser/{index}/{key}"] = value.numpy()
    name = f"checkpoint-{epoch}.safetensors"
    write_tensors(folder / name, tensors)
    write_json(folder / _RECORD, {"epoch": epoch, "tensors": name, "rows": rows, "settings": settings})
    for old in folder.glob("checkpoint-*.safetensors"):
        if old.name != name:
            old.unlink()


def resume(
    folder: Path, module: torch.nn.Module, optimiser: torch.optim.Optimizer, settings: dict[str, Any]
) -> tuple[int, list[dict[str, Any]]]:
    """Fill module and optimiser from a checkpoint: the epochs done and their rows of the training log.

    (0, []) where there is no checkpoint, where it cannot be read, or where it was made with other ``settings``: going
    on from any other state would not give the same weights.
    """
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        if record["settings"] != json.loads(json.dumps(settings)):
            print("the checkpoint was made with other settings; starting from the first epoch", file=sys.stderr)
            return 0, []
        tensors = read_tensors(folder / Path(record["tensors"]).name)
        epoch, rows = int(record["epoch"]), list(record["rows"])
        _restore(module, optimiser, tensors)
    except FileNotFoundError:
        return 0, []
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, BadInput) as error:
        print(f"the checkpoint cannot be read ({error}); starting from the first epoch", file=sys.stderr)
        return 0, []
    return epoch, rows


def _restore(module: torch.nn.Module, optimiser: torch.optim.Optimizer, tensors: dict[str, Array]) -> None:
    weights: dict[str, torch.Tensor] = {}
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, array in tensors.items():
        kind, _, rest = name.partition("/")
        if kind == "module":
            weights[rest] = torch.from_numpy(array)
        else:
            index, _, key = rest.partition("/")
            state.setdefault(int(index), {})[key] = torch.from_numpy(array)
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    if set(state) != set(range(len(parameters))):
        raise ValueError("the optimiser's state does not fit the model")
    # Checked before anything is filled in, so that a refused checkpoint leaves the model as it started.
    own = module.state_dict()
    if {name: value.shape for name, value in own.items()} != {name: value.shape for name, value in weights.items()}:
        raise ValueError("the weights do not fit the model")
    module.load_state_dict(weights)
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def remove(folder: Path) -> None:
    """Delete the checkpoint of a training that is finished."""
    for file in (folder / _RECORD, *folder.glob("checkpoint-*.safetensors")):
        with contextlib.suppress(FileNotFoundError):
            file.unlink()
