"""Synthetic patches: image patches of fields, made by a formula, for labels per patch and for a class per pixel.

A patch is cut into fields by the nearest of a few points. A field has a class, and its reflectance is that of its class on the
day of the year at which the patch was seen, with an offset of the field and noise of the pixel. Accuracies on them say nothing
about real images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from harness.data.dataset import ArrayDataset, Arrays, Band, DatasetInfo, DataSource, Part, Served

BANDS = (
    Band("B2", "reflectance x 10000", "blue"),
    Band("B3", "reflectance x 10000", "green"),
    Band("B4", "reflectance x 10000", "red"),
    Band("B8", "reflectance x 10000", "near infrared"),
)
CLASSES = ("water", "forest", "grassland", "winter wheat", "maize")

#: Reflectance (class, band) outside of the season, and what the season adds at its height.
_BARE = np.array(
    [
        [0.06, 0.05, 0.04, 0.03],
        [0.03, 0.05, 0.04, 0.20],
        [0.05, 0.08, 0.08, 0.22],
        [0.09, 0.12, 0.15, 0.22],
        [0.08, 0.11, 0.14, 0.20],
    ]
)
_SEASON = np.array(
    [
        [0.00, 0.01, 0.00, 0.00],
        [0.00, 0.01, -0.01, 0.12],
        [-0.01, 0.01, -0.02, 0.14],
        [-0.05, -0.04, -0.10, 0.24],
        [-0.04, -0.03, -0.09, 0.26],
    ]
)
#: The day of the year at which the season of a class is at its height, and its width in days.
_PEAK = np.array([200.0, 190.0, 160.0, 140.0, 215.0])
_WIDTH = np.array([60.0, 70.0, 60.0, 30.0, 30.0])

#: The first and the last day of the year on which patches are seen.
_DAYS = (60, 300)
#: Fields of a patch, at least and at most.
_FIELDS = (3, 6)
#: How often a field is declared, and how often no field of a patch is.
_DECLARED, _NONE_DECLARED = 0.85, 0.03
#: A patch has the label of a class from this share of its pixels on.
LABEL_SHARE = 0.1
#: Patches of one scene have their day in common and never straddle a split.
_PATCHES_PER_SCENE = 5

#: The region of each part, with the number of its first scene.
_REGIONS: dict[Part, tuple[str, int]] = {
    "train": ("west", 1000),
    "valid": ("south", 2_001_000),
    "test": ("east", 4_001_000),
}


class Options(BaseModel):
    """Options of the data source ``synthetic-patches``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: int = Field(default=600, ge=10, le=1_000_000, description="patches of the training part")
    valid: int = Field(default=150, ge=5, le=1_000_000, description="patches of the validation part")
    test: int = Field(default=300, ge=5, le=1_000_000, description="patches of the test part")
    rows: int = Field(default=16, ge=4, le=512, description="rows of a patch")
    columns: int = Field(default=12, ge=4, le=512, description="columns of a patch")
    one_day: bool = Field(
        default=False, description="all patches are of one tile, seen on one day that is given once for all of them"
    )


def simulate(
    random: np.random.Generator, patches: int, rows: int, columns: int, day: int | None = None
) -> dict[str, NDArray[Any]]:
    """Patches by name.

    ``x`` float32 (patch, band, row, column): reflectance x 10000 in whole numbers. ``doy`` float32 (patch,): the day of the
    year, or (1,) where all are seen on the given ``day``. ``mask`` bool (patch, row, column): pixels of declared fields.
    ``classes`` int64 (patch, row, column): 0 where nothing is declared. ``labels`` int64 (patch, class): 1 where a class covers
    :data:`LABEL_SHARE` or more, declared or not.
    """
    scenes = -(-patches // _PATCHES_PER_SCENE)
    doy = np.repeat(random.integers(*_DAYS, scenes, endpoint=True), _PATCHES_PER_SCENE)[:patches]
    if day is not None:
        doy = np.full(patches, day)
    most = _FIELDS[1]
    there = np.arange(most) < random.integers(*_FIELDS, patches, endpoint=True)[:, None]
    # Coordinates in whole 1/64 of a pixel: distances are exact, so that borders are the same on every machine.
    row_of, column_of = (random.integers(0, 64 * size, (patches, most)) for size in (rows, columns))
    down, right = 64 * np.arange(rows) + 32, 64 * np.arange(columns) + 32
    away = (down[:, None, None] - row_of[:, None, None]) ** 2 + (right[:, None] - column_of[:, None, None]) ** 2
    field = np.where(there[:, None, None], away, np.iinfo(np.int64).max).argmin(axis=-1)
    kinds = random.integers(0, len(CLASSES), (patches, most))
    declared = (random.random((patches, most)) < _DECLARED) & (random.random(patches) >= _NONE_DECLARED)[:, None]
    offsets = random.normal(0.0, 0.012, (patches, most, len(BANDS)))
    noise = random.normal(0.0, 0.015, (patches, rows, columns, len(BANDS)))

    height = np.exp(-0.5 * ((doy[:, None] - _PEAK) / _WIDTH) ** 2)
    by_class = _BARE + height[:, :, None] * _SEASON
    patch = np.arange(patches)[:, None, None]
    classes = kinds[patch, field]
    reflectance = by_class[patch, classes] + offsets[patch, field] + noise
    mask = declared[patch, field]
    covered = (classes[..., None] == np.arange(len(CLASSES))).mean(axis=(1, 2))
    return {
        # Whole numbers, as a sensor gives them: the last bits of exp() differ between machines.
        "x": np.clip(np.rint(reflectance / 1e-4), 1, 2**16 - 1).astype(np.float32).transpose(0, 3, 1, 2),
        "doy": (doy if day is None else doy[:1]).astype(np.float32),
        "mask": mask,
        "classes": np.where(mask, classes, 0),
        "labels": (covered >= LABEL_SHARE).astype(np.int64),
    }


def _read(options: Options, folder: Path, seed: int) -> ArrayDataset:
    parts: dict[Part, Arrays] = {}
    day = None
    if options.one_day:
        day = int(np.random.default_rng([seed, 0x50415443]).integers(*_DAYS, endpoint=True))
    for number, (part, (region, first)) in enumerate(_REGIONS.items()):
        count = int(getattr(options, part))
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 0x50415443, number])))
        made = simulate(random, count, options.rows, options.columns, day)
        groups = first + np.arange(count) // _PATCHES_PER_SCENE
        ids = groups * 10 + np.arange(count) % _PATCHES_PER_SCENE
        parts[part] = Arrays(made, ids, groups, np.full(count, region))
    info = DatasetInfo(
        name="synthetic-patches",
        title="Synthetic patches of fields (made by a formula, not observed)",
        synthetic=True,
        bands=BANDS,
        class_names=(),
        licence="MIT, as this software; no measurement is contained",
        citation="Made by this software (synthetic-patches): fields around points, seasons of bell shape; not observed data.",
        notes=(
            "The data are synthetic: accuracies say nothing about real images.",
            "Fields lie around random points, and their reflectance follows the day of the year; "
            + (
                "the five patches of a scene have their day in common."
                if day is None
                else f"all are seen on day {day}."
            ),
            f"A patch has the label of a class that covers {LABEL_SHARE:.0%} of it or more. About {1 - _DECLARED:.0%} of the "
            "fields are not declared: they lie outside of the mask, and count in no loss and no metric of pixels.",
            f"In about {_NONE_DECLARED:.0%} of the patches no field is declared: their masks are empty.",
        ),
    )
    sizes = {"bands": len(BANDS), "rows": options.rows, "columns": options.columns}
    return ArrayDataset(
        info=info,
        parts=parts,
        serves={
            "multi-label": Served(("x",), {"y": "labels"}, sizes | {"labels": len(CLASSES)}, CLASSES),
            "segmentation": Served(
                ("x", "doy", "mask"),
                {"y": "classes", "mask": "mask"},
                sizes | {"classes": len(CLASSES)},
                CLASSES,
                shared=("doy",) if options.one_day else (),
            ),
        },
        band_axes={"x": 1},
        factor=1e-4,
    )


SOURCE = DataSource(
    name="synthetic-patches",
    title="synthetic image patches of fields, with labels and with a class per pixel, made on the spot",
    options=Options,
    read=_read,
    kind="arrays",
    tasks=("multi-label", "segmentation"),
)
