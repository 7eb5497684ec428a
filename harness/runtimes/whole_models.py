"""What runs a whole model, architecture and all, as the source of a file: one row for each kind of file."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from harness.runtimes.row import Runtime

WHOLE_MODELS: dict[str, Runtime] = {
    row.name: row
    for row in (
        Runtime(
            "python/keras-file",
            host="python",
            worker="harness.workers.keras.whole_model",
            packages=("keras", "tensorflow"),
            reads=(),
            install="pip install keras tensorflow",
        ),
        Runtime(
            "python/torch-program",
            host="python",
            worker="harness.workers.pytorch.program",
            packages=("torch",),
            reads=(),
            install="pip install torch",
        ),
        Runtime(
            "python/tensorflow-program",
            host="python",
            worker="harness.workers.keras.program",
            packages=("tensorflow",),
            reads=(),
            install="pip install tensorflow",
        ),
    )
}


@dataclass(frozen=True)
class WholeModel:
    """A file that holds a whole model. ``file``: what its worker loads; ``program``: what it is, where it is run as it is."""

    runtime: str
    file: Path
    program: str = ""


def whole_model(path: Path) -> WholeModel | None:
    """What a file or folder is by its ending and its members; None where it holds no whole model. Nothing of it is run."""
    if path.name == "saved_model.pb" and path.is_file():
        return WholeModel("python/tensorflow-program", path, "SavedModel")
    if path.is_dir():
        return whole_model(path / "saved_model.pb") if (path / "saved_model.pb").is_file() else None
    if path.suffix == ".keras":
        return WholeModel("python/keras-file", path)
    if path.suffix == ".pt2":
        return WholeModel("python/torch-program", path, "torch.export program")
    if path.suffix in (".pt", ".pth", ".ts", ".torchscript") and _is_torchscript(path):
        return WholeModel("python/torch-program", path, "TorchScript program")
    return None


def _is_torchscript(path: Path) -> bool:
    """A TorchScript archive has code beside its tensors; a file of weights has none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def files_of(model: WholeModel) -> dict[str, Path]:
    """All files that its worker reads, by their place below the model's folder."""
    if model.file.name != "saved_model.pb":
        return {model.file.name: model.file}
    folder = model.file.parent
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
