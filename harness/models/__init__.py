"""Reference models, one file each: a file ``<name>.py`` that says ``NAME = "<name>"`` is a model, and nothing else lists it.

It offers NAME, TITLE (its name in the literature), TASK, PRESETS, SIZES and ``build(**sizes) -> ModelSpec``.

``SIZES`` names what ``build`` must know of the data; ``HEAD`` is the head of a model unless another is asked for, ``HEADS`` are
all that may be, where there are several;
``MINIMUM_PROBE`` samples are the fewest on which an error says something. A model whose implementations leave something open
offers ``HYPOTHESES`` about it, and ``AXES``, which axis each of ``SIZES`` is that of; see `harness.models.hypotheses`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from harness.errors import ModelError

if TYPE_CHECKING:
    from harness.models.spec import Head, ModelSpec


def _models() -> tuple[str, ...]:
    """Names of the models, sorted, found without importing any of them."""
    files = Path(__file__).parent.glob("*.py")
    return tuple(sorted(path.stem for path in files if f'\nNAME = "{path.stem}"\n' in path.read_text(encoding="utf-8")))


#: Names of the models, each the name of a module of this package.
MODELS = _models()


def model(name: str) -> ModuleType:
    """The module of a model by name. Raises ModelError where there is none of that name."""
    if name not in MODELS:
        raise ModelError(f"there is no model '{name}'", hint=f"choose one of {', '.join(MODELS)}")
    return import_module(f"harness.models.{name}")


def model_heads(name: str) -> tuple[Head, ...]:
    """The heads that a model may have, its own first. Raises ModelError where there is no such model."""
    module = model(name)
    found: tuple[Head, ...] = getattr(module, "HEADS", (module.HEAD,))
    return found


def build_for(
    name: str,
    sizes: Mapping[str, int],
    *,
    head: Head | None = None,
    preset: str | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
) -> ModelSpec:
    """The specification of a model for data of these sizes; ``head`` is the model's own where it is None.

    So is ``preset`` where no hyper-parameter is given either; hyper-parameters without a preset are all of them.
    Raises ModelError where the model takes data of another kind, and as its ``build`` does.
    """
    module = model(name)
    if set(sizes) != set(module.SIZES):
        raise ModelError(
            f"{name} takes data with {', '.join(module.SIZES)}; these have {', '.join(sizes)}",
            where="model.name",
            hint="choose a model that fits the data",
        )
    own = {} if preset is None and not hyperparameters else {"preset": preset}
    spec: ModelSpec = module.build(
        **sizes, head=head or module.HEAD, **own, hyperparameters=dict(hyperparameters or {})
    )
    return spec
