"""Reference models. Each file offers NAME, TITLE (its name in the literature), PRESETS, SIZES and ``build(**sizes) -> ModelSpec``.

``SIZES`` names what ``build`` must know of the data; ``HEAD`` is the head of a model unless another is asked for.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from harness.errors import ModelError

#: Names of the models, each the name of a module of this package.
MODELS: tuple[str, ...] = ("convlstm", "tempcnn")


def model(name: str) -> ModuleType:
    """The module of a model by name. Raises ModelError where there is none of that name."""
    if name not in MODELS:
        raise ModelError(f"there is no model '{name}'", hint=f"choose one of {', '.join(MODELS)}")
    return import_module(f"harness.models.{name}")
