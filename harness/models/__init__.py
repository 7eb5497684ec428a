"""Reference models. Each file offers NAME, TITLE (its name in the literature), PRESETS and ``build(**sizes) -> ModelSpec``."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from harness.errors import ModelError

#: Names of the models, each the name of a module of this package.
MODELS: tuple[str, ...] = ("tempcnn",)


def model(name: str) -> ModuleType:
    """The module of a model by name. Raises ModelError where there is none of that name."""
    if name not in MODELS:
        raise ModelError(f"there is no model '{name}'", hint=f"choose one of {', '.join(MODELS)}")
    return import_module(f"harness.models.{name}")
