"""Hyper-parameters of a model: those of a preset and the user's own, checked by the model's pydantic class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import ModelError

Sizes = TypeVar("Sizes", bound=BaseModel)


def checked(
    name: str,
    kind: type[Sizes],
    presets: Mapping[str, Mapping[str, Any]],
    preset: str | None,
    given: Mapping[str, Any] | None,
) -> Sizes:
    """The hyper-parameters of the model ``name``: those of ``preset``, overridden by ``given``.

    Raises ModelError on an unknown preset, and on a hyper-parameter that is unknown, missing or out of range.
    """
    if preset is not None and preset not in presets:
        raise ModelError(f"{name} has no preset '{preset}'", hint=f"choose one of {', '.join(presets)}")
    try:
        return kind.model_validate({**(presets[preset] if preset else {}), **(given or {})})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "hyperparameters"
        raise ModelError(first["msg"].removeprefix("Value error, "), where=f"{name} {where}") from error


def check_head(name: str, head: str, known: str) -> None:
    """Raises ModelError where a model is asked for another head than its only one."""
    if head != known:
        raise ModelError(f"{name} has no head '{head}'", hint=f"its head is {known}")
