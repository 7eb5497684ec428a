"""How a specification is built for data, where a user leaves the preset out."""

from __future__ import annotations

import pytest

from harness.errors import ModelError
from harness.models import build_for

SIZES = {"bands": 4, "rows": 9, "columns": 8, "labels": 5}


def test_without_preset_and_hyperparameters_a_model_is_its_own_default() -> None:
    assert build_for("patchcnn", SIZES) == build_for("patchcnn", SIZES, preset="small")
    assert build_for("tempcnn", {"bands": 4, "dates": 9, "classes": 5}).preset == "breizhcrops"


def test_hyperparameters_without_a_preset_are_all_of_them() -> None:
    with pytest.raises(ModelError, match="Field required"):
        build_for("patchcnn", SIZES, hyperparameters={"unknown": 1})
    held = build_for("patchcnn", SIZES, preset="small").hyperparameters
    own = {name: value for name, value in held.items() if name not in ("bands", "labels")}
    assert build_for("patchcnn", SIZES, hyperparameters=own).preset is None
