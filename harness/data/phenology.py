"""Synthetic seasons of field parcels as Sentinel-2 would see them: for tests and demonstrations, not for science.

The green fraction of a parcel rises and falls by a double logistic curve (Beck et al. (2006), Remote Sensing of
Environment 100, 321-334, https://doi.org/10.1016/j.rse.2005.10.021) and mixes the spectra of soil, straw and leaves.
An atmosphere, haze, clouds and noise make top-of-atmosphere reflectance of it. Spectra and dates are plausible values
for Brittany, chosen by hand; nothing is measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Order of the bands in this module: that of BreizhCrops' channels.
BAND_ORDER = ("B1", "B10", "B11", "B12", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9")

# Reflectance by band, in BAND_ORDER. B10 hardly reaches the ground and B9 is darkened by water vapour.
_LEAVES = np.array([0.03, 0.0, 0.20, 0.09, 0.03, 0.07, 0.03, 0.11, 0.33, 0.43, 0.45, 0.47, 0.46])
_SOIL = np.array([0.07, 0.0, 0.30, 0.25, 0.08, 0.11, 0.15, 0.17, 0.19, 0.21, 0.23, 0.25, 0.25])
_STRAW = np.array([0.09, 0.0, 0.36, 0.24, 0.11, 0.16, 0.20, 0.24, 0.28, 0.31, 0.33, 0.35, 0.35])
_WOOD = np.array([0.05, 0.0, 0.22, 0.15, 0.05, 0.07, 0.09, 0.12, 0.16, 0.18, 0.19, 0.20, 0.20])
_BLOSSOM = np.array([0.00, 0.0, 0.02, 0.01, 0.00, 0.10, 0.09, 0.08, 0.04, 0.03, 0.03, 0.02, 0.02])
_CLOUD = np.array([0.52, 0.05, 0.38, 0.30, 0.50, 0.49, 0.50, 0.51, 0.53, 0.54, 0.54, 0.55, 0.35])
# Light scattered on the way, and light that comes through.
_PATH = np.array([0.095, 0.0013, 0.003, 0.002, 0.072, 0.045, 0.026, 0.021, 0.017, 0.014, 0.011, 0.010, 0.004])
_TRANSMISSION = np.array([0.72, 0.002, 0.93, 0.92, 0.77, 0.84, 0.88, 0.89, 0.91, 0.92, 0.92, 0.93, 0.38])

YEAR_DAYS = 365


@dataclass(frozen=True)
class Season:
    """A class's season. Days are days of the year; spreads are standard deviations between parcels."""

    code: str
    name: str
    share: float
    green_up: float
    senescence: float
    base: float
    amplitude: float
    rise: float = 9.0
    fall: float = 8.0
    spread: float = 9.0
    #: Fraction of what is not green that is wood rather than soil or straw.
    wood: float = 0.0
    #: Brightness and day of a yellow blossom.
    blossom: tuple[float, float] = (0.0, 0.0)
    #: Mean number of mowings a year.
    mowings: float = 0.0
    #: Chance of a green cover before or after the crop.
    cover: float = 0.0


#: BreizhCrops' nine classes in the order of its class mapping, with one crop code each of the French parcel register.
#: The shares follow its imbalance in rough terms, but its rarest classes are made less rare, to be seen at all.
SEASONS: tuple[Season, ...] = (
    Season("ORH", "barley", 0.08, 72, 164, 0.20, 0.66, cover=0.45),
    Season("BTH", "wheat", 0.16, 83, 183, 0.17, 0.70, cover=0.45),
    Season("CZH", "rapeseed", 0.04, 58, 176, 0.36, 0.52, blossom=(0.9, 112), cover=0.2),
    Season("MIS", "corn", 0.24, 168, 262, 0.06, 0.78, cover=0.5, spread=11),
    Season("TRN", "sunflower", 0.015, 160, 240, 0.06, 0.70, blossom=(0.6, 203), cover=0.3, spread=10),
    Season("VRG", "orchards", 0.02, 104, 298, 0.36, 0.30, rise=12, fall=14, wood=0.5),
    Season("NOX", "nuts", 0.01, 124, 292, 0.28, 0.44, rise=10, fall=14, wood=0.75),
    Season("PPH", "permanent meadows", 0.185, 78, 305, 0.46, 0.22, rise=16, fall=22, mowings=1.0, spread=14),
    Season("PTR", "temporary meadows", 0.25, 70, 312, 0.42, 0.38, rise=14, fall=22, mowings=2.6, spread=14),
)


@dataclass(frozen=True)
class RegionSeries:
    """A region's parcels before they are written: ``seen`` (parcel, day) marks the days on which a parcel was seen."""

    labels: NDArray[np.int64]
    #: Days of the year (day,) on which a satellite passed.
    days: NDArray[np.int64]
    seen: NDArray[np.bool_]
    #: Top-of-atmosphere reflectance (parcel, day, band), in BAND_ORDER.
    reflectance: Array
    #: Opacity of the cloud above a parcel (parcel, day), 0 to 1.
    cloud: Array


def class_counts(parcels: int) -> NDArray[np.int64]:
    """Parcels per class (class,), by largest remainder; one at least of every class where there are enough parcels."""
    shares = np.array([season.share for season in SEASONS])
    exact = shares / shares.sum() * parcels
    counts: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    for index in np.argsort(counts - exact, kind="stable")[: parcels - int(counts.sum())]:
        counts[index] += 1
    if parcels >= len(SEASONS):
        for index in np.flatnonzero(counts == 0):
            counts[np.argmax(counts)] -= 1
            counts[index] += 1
    return counts


def _logistic(argument: Array) -> Array:
    rising: Array = 1.0 / (1.0 + np.exp(-np.clip(argument, -40.0, 40.0)))
    return rising


def _overpasses(random: np.random.Generator, parcels: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Days of two orbits, every ten days until July and every five with the second satellite, and who sees which."""
    orbits = []
    for first in (3, 6):
        before = np.arange(first, 182, 10)
        orbits.append(np.concatenate([before, np.arange(before[-1] + 5, YEAR_DAYS, 5)]))
    days = np.union1d(*orbits)
    covered = random.choice(3, size=parcels, p=[0.35, 0.35, 0.3])
    seen = np.zeros((parcels, len(days)), dtype=bool)
    for number, orbit in enumerate(orbits):
        seen |= ((covered == number) | (covered == 2))[:, None] & np.isin(days, orbit)[None, :]
    return days, seen & (random.random(seen.shape) > 0.06)


def _green_fraction(
    random: np.random.Generator, labels: NDArray[np.int64], days: Array, delay: float
) -> tuple[Array, Array]:
    """Fraction of green leaves and of straw (parcel, day)."""
    parcels = len(labels)

    def of(name: str) -> Array:
        return np.array([getattr(season, name) for season in SEASONS], dtype=np.float64)[labels]

    day = days[None, :]
    spread = of("spread")
    green_up = of("green_up") + delay + spread * random.standard_normal(parcels)
    senescence = of("senescence") + delay + spread * random.standard_normal(parcels)
    vigour = np.clip(1.0 + 0.14 * random.standard_normal(parcels), 0.5, 1.35)
    base = of("base") * np.clip(1.0 + 0.22 * random.standard_normal(parcels), 0.3, 1.8)
    rise = of("rise") * np.exp(0.2 * random.standard_normal(parcels))
    fall = of("fall") * np.exp(0.2 * random.standard_normal(parcels))
    up = _logistic((day - green_up[:, None]) / rise[:, None])
    down = _logistic((day - senescence[:, None]) / fall[:, None])
    annual = (of("wood") == 0) & (of("mowings") == 0)
    # What an annual crop had of green in winter goes with its harvest.
    lasting = np.where(annual[:, None], 1.0 - 0.8 * down, 1.0)
    green = base[:, None] * lasting + (of("amplitude") * vigour)[:, None] * (up - down)
    covered = random.random(parcels) < of("cover")
    height = np.where(covered, random.uniform(0.2, 0.6, parcels), 0.0)
    summer_crop = green_up > 140
    begins = np.where(summer_crop, -60.0, senescence + random.uniform(35, 70, parcels))
    ends = np.where(summer_crop, green_up - random.uniform(25, 60, parcels), 500.0)
    cover = _logistic((day - begins[:, None]) / 8.0) * _logistic((ends[:, None] - day) / 6.0)
    green = green + height[:, None] * cover
    mowings = random.poisson(of("mowings"))
    for number in range(4):
        when = random.uniform(110, 285, parcels)[:, None]
        depth = random.uniform(0.3, 0.65, parcels)[:, None] * (mowings > number)[:, None]
        since = day - when
        green = green * (1.0 - depth * np.where(since > 0, np.exp(-np.maximum(since, 0.0) / 22.0), 0.0))
    stubble = np.where(annual[:, None], 0.75 * down * np.exp(-np.maximum(day - senescence[:, None], 0.0) / 45.0), 0.08)
    green = np.clip(green, 0.02, 0.97)
    return green, np.clip(stubble, 0.0, 1.0) * (1.0 - green)


def _clouds(random: np.random.Generator, parcels: int, days: int, fraction: float) -> Array:
    """Opacity (parcel, day): weather that lasts for some overpasses, most of it shared by the region."""
    if fraction <= 0:
        return np.zeros((parcels, days))

    def weather(rows: int) -> Array:
        noise = random.standard_normal((rows, days))
        for column in range(1, days):
            noise[:, column] = 0.55 * noise[:, column - 1] + np.sqrt(1 - 0.55**2) * noise[:, column]
        return noise

    state = np.sqrt(0.6) * weather(1) + np.sqrt(0.4) * weather(parcels)
    threshold = np.quantile(state, 1.0 - fraction)
    opacity: Array = np.clip((state - threshold) * 1.3, 0.0, 0.96)
    return opacity


def simulate(random: np.random.Generator, parcels: int, *, delay: float, cloud_fraction: float) -> RegionSeries:
    """A region's parcels: ``delay`` days later than others, ``cloud_fraction`` of the dates under some cloud."""
    labels = random.permutation(np.repeat(np.arange(len(SEASONS)), class_counts(parcels)))
    days, seen = _overpasses(random, parcels)
    green, straw = _green_fraction(random, labels, days.astype(np.float64), delay)
    wood = np.array([season.wood for season in SEASONS])[labels][:, None] * (1.0 - green - straw)
    soil = 1.0 - green - straw - wood
    # Wet soil is dark: in winter more than in summer, and by weather.
    season = 1.0 + 0.14 * np.cos(2 * np.pi * (days - 205) / YEAR_DAYS)
    brightness = random.lognormal(0.0, 0.16, (parcels, 1)) * season * random.lognormal(0.0, 0.09, (1, len(days)))
    leaves = _LEAVES * np.exp(0.09 * random.standard_normal((parcels, 1, len(BAND_ORDER))))
    surface = green[..., None] * leaves
    surface += (soil * brightness)[..., None] * _SOIL
    surface += straw[..., None] * _STRAW
    surface += wood[..., None] * _WOOD
    heights = np.array([kind.blossom[0] for kind in SEASONS])[labels] * random.uniform(0.4, 1.1, parcels)
    peaks = np.array([kind.blossom[1] for kind in SEASONS])[labels] + delay + 6 * random.standard_normal(parcels)
    bloom = heights[:, None] * np.exp(-0.5 * ((days[None, :] - peaks[:, None]) / 9.0) ** 2)
    surface += bloom[..., None] * _BLOSSOM
    haze = random.gamma(1.5, 0.25, (1, len(days), 1)) + random.gamma(1.0, 0.08, (parcels, len(days), 1))
    reflectance = _PATH * (0.85 + 0.5 * haze) + _TRANSMISSION * surface
    cloud = _clouds(random, parcels, len(days), cloud_fraction)
    bright = random.uniform(0.75, 1.3, (parcels, len(days), 1))
    reflectance += cloud[..., None] * (bright * _CLOUD - reflectance)
    reflectance *= 1.0 + 0.025 * random.standard_normal(reflectance.shape)
    reflectance += 0.0015 * np.abs(random.standard_normal(reflectance.shape)) * (_TRANSMISSION > 0.01)
    return RegionSeries(labels=labels, days=days, seen=seen, reflectance=reflectance, cloud=cloud)
