"""A ``.pt`` file from anyone: only tensors are read, by PyTorch's restricted unpickler; nothing in it is executed."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from harness.workers.engine import Array, BadInput

#: Names under which training scripts save the weights.
_STATES = ("state_dict", "model_state_dict", "model_state", "model")

_HINT = "save model.state_dict() with torch.save, in the session that has the model"


def read_torch_file(path: Path) -> dict[str, Array]:
    """The tensors of a state dict in a file of ``torch.save``, or of one kept under a usual name in a dictionary.

    The file is loaded with ``weights_only=True``: PyTorch's unpickler builds tensors and plain containers and refuses all
    else. Raises BadInput on a pickled module, a TorchScript archive, compressed or overlapping members, the format before
    PyTorch 1.6 (which allocates what the file claims), and whatever is not a dense tensor in the file's own bytes.
    """
    _check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BadInput(f"{path}: {_refused(str(error))}; {_HINT}") from error
    except (
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        EOFError,
        AssertionError,
    ) as error:
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise BadInput(f"{path}: cannot be read by torch.load: {first}") from error
    state = _state(content, path)
    size = path.stat().st_size
    return {name: _array(name, value, size, path) for name, value in state.items()}


def _check_archive(path: Path) -> None:
    """Members as torch.save writes them: stored and not compressed, so that no more is read than the file holds."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise BadInput(
            f"{path}: not a file that torch.save of PyTorch 1.6 or later wrote ({error}); save it again: "
            "torch.save(torch.load(old, weights_only=True), new)"
        ) from error
    names = [member.filename for member in members]
    if any(name.rpartition("/")[2] == "constants.pkl" for name in names):
        raise BadInput(f"{path}: is a TorchScript archive, which is a program; {_HINT}")
    if not any(name.rpartition("/")[2] == "data.pkl" for name in names):
        raise BadInput(f"{path}: is an archive, but not one of torch.save; {_HINT}")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise BadInput(f"{path}: has compressed members, which torch.save never writes")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise BadInput(f"{path}: its members claim more bytes than the file has")


def _refused(message: str) -> str:
    """The object that the restricted unpickler refused, in a few words."""
    found = re.search(r"GLOBAL (\S+)", message)
    if found is None:
        return "holds more than tensors, and was not loaded"
    return f"holds '{found.group(1)}', which is more than tensors, and was not loaded"


def _state(content: Any, path: Path) -> Mapping[str, Any]:
    if not isinstance(content, Mapping) or not content:
        raise BadInput(f"{path}: holds {type(content).__name__}, not a state dict; {_HINT}")
    for key in _STATES:
        if isinstance(content.get(key), Mapping):
            content = content[key]
            break
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise BadInput(f"{path}: entry '{name}' is {type(value).__name__}, not a tensor; {_HINT}")
    state: Mapping[str, Any] = content
    return state


def _array(name: str, value: torch.Tensor, size: int, path: Path) -> Array:
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
        raise BadInput(f"{path}: '{name}' is no dense tensor on the CPU")
    # With strides of 0, one number could claim to be a tensor of any size.
    if value.numel() * value.element_size() > size:
        raise BadInput(f"{path}: '{name}' of shape {tuple(value.shape)} claims more bytes than the file has")
    if value.dtype == torch.bfloat16:
        raise BadInput(f"{path}: '{name}' must be float32, not bfloat16")
    array: Array = value.detach().contiguous().numpy()
    return array
