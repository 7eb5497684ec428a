"""The state of an interrupted training, as safetensors and JSON: nothing here is ever unpickled."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.workers.engine import Array, BadInput
from harness.workers.requests import write_json
from harness.workers.tensors import read_tensors, write_tensors

_RECORD = "checkpoint.json"


def save(
    folder: Path, epoch: int, state: dict[str, Array], rows: list[dict[str, Any]], settings: dict[str, Any]
) -> None:
    """Save what is needed to resume after ``epoch`` (counted from 1). The JSON names the tensors that belong to it."""
    name = f"checkpoint-{epoch}.safetensors"
    write_tensors(folder / name, state)
    write_json(folder / _RECORD, {"epoch": epoch, "tensors": name, "rows": rows, "settings": settings})
    for old in folder.glob("checkpoint-*.safetensors"):
        if old.name != name:
            old.unlink()


def resume(
    folder: Path, restore: Callable[[dict[str, Array]], None], settings: dict[str, Any]
) -> tuple[int, list[dict[str, Any]]]:
    """Go back to a checkpoint: the epochs done and their rows of the training log.

    ``restore`` gets what was saved, and raises ValueError, having changed nothing, where it does not fit. (0, []) where
    there is no checkpoint, where it cannot be read, or where it was made with other ``settings``: going on from any other
    state would not give the same weights.
    """
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        if record["settings"] != json.loads(json.dumps(settings)):
            print("the checkpoint was made with other settings; starting from the first epoch", file=sys.stderr)
            return 0, []
        tensors = read_tensors(folder / Path(record["tensors"]).name)
        epoch, rows = int(record["epoch"]), list(record["rows"])
        restore(tensors)
    except FileNotFoundError:
        return 0, []
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, BadInput) as error:
        print(f"the checkpoint cannot be read ({error}); starting from the first epoch", file=sys.stderr)
        return 0, []
    return epoch, rows


def remove(folder: Path) -> None:
    """Delete the checkpoint of a training that is finished."""
    for file in (folder / _RECORD, *folder.glob("checkpoint-*.safetensors")):
        with contextlib.suppress(FileNotFoundError):
            file.unlink()
