"""``manifest.json`` as the report reads it: what a reader needs to know of a run beside its numbers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from harness.models.spec import ModelSpec


class _Part(BaseModel):
    """Keys that the report does not show may be there."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ScenarioPart(_Part):
    """The scenario: its name, title, text and the SHA-256 of its file."""

    name: str
    title: str = ""
    text: str = ""
    sha256: str | None = None


class BandPart(_Part):
    """A band in its place on the channel axis."""

    name: str
    unit: str = ""
    description: str = ""


class Normalisation(_Part):
    """normalised = (x - offset) * scale, per band."""

    kind: str = "none"
    offset: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()


class VariablePart(_Part):
    """A physical variable that is estimated."""

    name: str
    unit: str = ""
    description: str = ""


class ForecastPart(_Part):
    """What is forecast, where the data are frames: frames seen and forecast, seconds between them, and their scale."""

    history: int
    horizon: int
    rows: int
    columns: int
    interval: int
    unit: str = ""
    bottom: float = 0.0
    top: float = 1.0
    thresholds: tuple[float, ...] = ()
    resampling: dict[str, Any] = {}


class DataPart(_Part):
    """``dataset.json``. ``counts``: part -> class name (``sequences`` of frames) -> samples."""

    name: str
    title: str = ""
    synthetic: bool = False
    bands: tuple[BandPart, ...] = ()
    class_names: tuple[str, ...]
    variables: tuple[VariablePart, ...] = ()
    licence: str = ""
    doi: str | None = None
    citation: str = ""
    url: str | None = None
    notes: tuple[str, ...] = ()
    dates: int | None = None
    sampling: str | None = None
    seed: int | None = None
    normalisation: Normalisation = Normalisation()
    counts: dict[str, dict[str, int]] = {}
    #: None where the data are no frames.
    forecast: ForecastPart | None = None


class PackagePart(_Part):
    """One package that a runtime needs; ``direct``: asked for by the runtime itself and not by another package."""

    name: str
    version: str = ""
    language: str = ""
    bytes: int | None = None
    direct: bool = True


class RuntimePart(_Part):
    """One runtime of the scenario: whether it is installed, its versions, its packages, and how to install it."""

    installed: bool
    versions: dict[str, str] = {}
    install: str = ""
    reason: str = ""
    packages: tuple[PackagePart, ...] = ()


class ProbePart(_Part):
    """The probe: number of samples and SHA-256 of its bytes."""

    samples: int | None = None
    sha256: str | None = None


class DecisionPart(_Part):
    """What is decided on an output of a given file, and why; see ``harness.compare.decision_choice``.

    ``per_class``: whether the output is (sample, class), so that its errors can be told by class or label.
    """

    output: str
    rule: str
    why: str
    sentence: str
    axis: int | None = None
    thresholds: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    asked: bool = False
    assumed: bool = False
    per_class: bool = True


class Manifest(_Part):
    """The manifest of one run; see ``docs/artifacts.md``."""

    scenario: ScenarioPart
    harness: dict[str, Any] = {}
    hardware: dict[str, Any] = {}
    threads: Any = None
    seeds: Any = None
    python: Any = None
    lock: str | None = None
    runtimes: dict[str, RuntimePart] = {}
    data: DataPart
    model: ModelSpec | None = None
    #: The task where there is no model that names it; empty where nothing tells one.
    task: str = ""
    training: dict[str, Any] = {}
    exports: dict[str, dict[str, Any]] = {}
    artifacts: dict[str, Any] = {}
    probe: ProbePart = ProbePart()
    cells: dict[str, str] = {}
    #: Whether test samples with known classes were predicted; a probe that a user gives may have none.
    labelled: bool = True
    #: ``trained``: the harness trained the source. ``weights``: its weights were given as a file, see ``imported``.
    #: ``file``: only a model file was given, and is itself the reference.
    source: str = "trained"
    #: ``import.json`` of weights that were given.
    imported: dict[str, Any] = {}
    #: What was found of the sample axes of a given file, one sentence each.
    samples_said: tuple[str, ...] = ()
    #: What is decided of a given file; None in a scenario, whose model says it.
    decision: DecisionPart | None = None
    #: The outputs that the user's own framework gave: ``file``, ``sha256``, ``types`` by name, and what is ``said`` of them.
    expected: dict[str, Any] = {}
    #: Whether the probe is arrays of the user's own, and no part of a data set.
    probe_given: bool = False
    #: By step, how its worker was lost (killed, out of memory, past its time); the next run tries it again.
    accidents: dict[str, str] = {}
