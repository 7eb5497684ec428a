"""Toymean: a dense layer over the whole series."""

from __future__ import annotations

from typing import Any

from harness.errors import ModelError
from harness.models.spec import Axis, Head, ModelSpec, TaskName, TensorSpec, dense

NAME = "toymean"
TITLE = "Toy mean"
PAPER = "none: it serves as an example"
TASK: TaskName = "classification"
SIZES = ("bands", "dates", "classes")
MINIMUM_PROBE = 64
HEAD: Head = "logits"
PRESETS: dict[str, dict[str, Any]] = {"small": {"width": 8}}


def build(
    *,
    bands: int,
    dates: int,
    classes: int,
    head: Head = HEAD,
    preset: str | None = "small",
    hyperparameters: dict[str, Any] | None = None,
) -> ModelSpec:
    """The specification for series of ``bands`` x ``dates`` and ``classes`` classes. Raises ModelError."""
    if head != "logits":
        raise ModelError(f"toymean has no head '{head}'", hint="choose logits")
    sizes = {**PRESETS[preset or "small"], **(hyperparameters or {})}
    return ModelSpec(
        model=NAME,
        preset=preset,
        hyperparameters=sizes | {"bands": bands, "dates": dates, "classes": classes},
        inputs=(
            TensorSpec(
                name="x", axes=(Axis(name="sample"), Axis(name="band", size=bands), Axis(name="time", size=dates))
            ),
        ),
        outputs=(TensorSpec(name="logits", axes=(Axis(name="sample"), Axis(name="class", size=classes))),),
        head=head,
        decision="argmax",
        layers=(dense("hidden", bands * dates, sizes["width"]), dense("classifier", sizes["width"], classes)),
        paper=PAPER,
    )
