"""Synthetic spectra: reflectance of vegetation over soil, made by a formula from the variables that are to be estimated.

Leaves absorb as Beer's law says, by chlorophyll in the visible and by water in the short-wave infrared; they hide the soil below
them by an exponential of the leaf area index. The bands of absorption are bell curves at the right places, not measured ones:
errors on these data say nothing about real spectra.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from harness.data.dataset import ArrayDataset, Arrays, Band, DatasetInfo, DataSource, Part, Served, Variable

VARIABLES = (
    Variable("leaf area index", "m2/m2", "one-sided area of leaves per area of ground"),
    Variable("canopy chlorophyll", "g/m2", "chlorophyll of all leaves per area of ground"),
)

#: The first and the last wavelength, in nm.
_RANGE = (400.0, 2400.0)
#: Absorption, each (centre in nm, width in nm, strength): of chlorophyll per 10 ug/cm2, and of water per 0.01 cm.
_CHLOROPHYLL = ((440.0, 40.0, 0.45), (670.0, 30.0, 0.40), (550.0, 60.0, 0.08))
_WATER = ((970.0, 30.0, 0.03), (1200.0, 40.0, 0.06), (1450.0, 70.0, 0.55), (1940.0, 80.0, 0.90), (2400.0, 150.0, 0.50))
#: Spectra of one field have their soil in common and never straddle a split.
_SPECTRA_PER_FIELD = 4
#: The region of each part, with the number of its first field.
_REGIONS: dict[Part, tuple[str, int]] = {
    "train": ("west", 1000),
    "valid": ("south", 2_001_000),
    "test": ("east", 4_001_000),
}


class Options(BaseModel):
    """Options of the data source ``synthetic-spectra``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: int = Field(default=800, ge=10, le=1_000_000, description="spectra of the training part")
    valid: int = Field(default=200, ge=4, le=1_000_000, description="spectra of the validation part")
    test: int = Field(default=400, ge=4, le=1_000_000, description="spectra of the test part")
    bands: int = Field(default=40, ge=4, le=2000, description="bands, at equal distances from 400 to 2400 nm")
    noise: float = Field(default=0.003, ge=0, le=0.1, description="standard deviation of the noise, in reflectance")


def wavelengths(bands: int) -> NDArray[np.float64]:
    """Wavelengths (band,) in nm."""
    return np.linspace(*_RANGE, bands)


def simulate(random: np.random.Generator, spectra: int, bands: int, noise: float) -> dict[str, NDArray[Any]]:
    """Spectra by name: ``x`` float32 (spectrum, band), reflectance x 10000 in whole numbers; ``variables`` float32 (spectrum,
    variable), in their units.
    """
    at = wavelengths(bands)
    # Rounded, so that what is learned does not hang on the last bits of a generator's transformations.
    area = np.round(random.uniform(0.3, 6.0, spectra), 3)
    chlorophyll = np.round(random.uniform(15.0, 65.0, spectra), 2)
    water = np.round(random.uniform(0.005, 0.03, spectra), 5)
    fields = -(-spectra // _SPECTRA_PER_FIELD)
    brightness = np.repeat(random.uniform(0.6, 1.4, fields), _SPECTRA_PER_FIELD)[:spectra]
    error = random.normal(0.0, 1.0, (spectra, bands)) * noise

    plateau = 0.52 - 0.1 * (at - _RANGE[0]) / (_RANGE[1] - _RANGE[0])
    absorbed = chlorophyll[:, None] / 10 * _absorption(at, _CHLOROPHYLL) + water[:, None] / 0.01 * _absorption(
        at, _WATER
    )
    leaf = plateau * np.exp(-absorbed)
    soil = brightness[:, None] * (0.08 + 0.22 * (at - _RANGE[0]) / (_RANGE[1] - _RANGE[0]))
    seen = np.exp(-0.5 * area)[:, None]
    reflectance = seen * soil + (1 - seen) * leaf + error
    return {
        "x": np.clip(np.rint(reflectance / 1e-4), 1, 2**16 - 1).astype(np.float32),
        # 1 ug/cm2 is 0.01 g/m2 of leaf.
        "variables": np.stack([area, np.round(area * chlorophyll * 0.01, 5)], axis=1).astype(np.float32),
    }


def _absorption(at: NDArray[np.float64], features: tuple[tuple[float, float, float], ...]) -> NDArray[np.float64]:
    return np.asarray(
        sum(strength * np.exp(-0.5 * ((at - centre) / width) ** 2) for centre, width, strength in features)
    )


def _read(options: Options, folder: Path, seed: int) -> ArrayDataset:
    parts: dict[Part, Arrays] = {}
    for number, (part, (region, first)) in enumerate(_REGIONS.items()):
        count = int(getattr(options, part))
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 0x53504543, number])))
        made = simulate(random, count, options.bands, options.noise)
        groups = first + np.arange(count) // _SPECTRA_PER_FIELD
        ids = groups * 10 + np.arange(count) % _SPECTRA_PER_FIELD
        parts[part] = Arrays(made, ids, groups, np.full(count, region))
    info = DatasetInfo(
        name="synthetic-spectra",
        title="Synthetic reflectance spectra of vegetation (made by a formula, not measured)",
        synthetic=True,
        bands=tuple(Band(f"R{at:.0f}", "reflectance x 10000", f"{at:.1f} nm") for at in wavelengths(options.bands)),
        class_names=(),
        licence="MIT, as this software; no measurement is contained",
        citation="Made by this software (synthetic-spectra): Beer's law with bell curves of absorption; not measured data.",
        notes=(
            "The data are synthetic: errors say nothing about real spectra.",
            "Leaf area index, chlorophyll and water of leaves are drawn evenly and independently of each other, and the "
            "brightness of the soil per field of four spectra. The canopy's chlorophyll is that of a leaf times its area.",
        ),
    )
    served = Served(
        ("x",), {"y": "variables"}, {"bands": options.bands, "variables": len(VARIABLES)}, variables=VARIABLES
    )
    return ArrayDataset(info=info, parts=parts, serves={"regression": served}, band_axes={"x": 1}, factor=1e-4)


SOURCE = DataSource(
    name="synthetic-spectra",
    title="synthetic reflectance spectra of vegetation with leaf area index and chlorophyll, made on the spot",
    options=Options,
    read=_read,
    kind="arrays",
    tasks=("regression",),
)
