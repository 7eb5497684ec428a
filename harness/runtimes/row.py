"""The rows of the table of runtimes, and what is found out about a runtime on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.runtimes.locked_environment import LockedEnvironment
from harness.version_names import split

FileFormat = Literal["onnx", "safetensors", "savedmodel", "keras"]


@dataclass(frozen=True)
class VersionedPackages:
    """The packages whose version the name of a runtime may fix, as in ``python/onnxruntime@1.20``.

    ``parts``: pairs of a short name and a distribution; the short name is written before the number, and is empty where
    there is one distribution only. ``example``: a number for each part, for error messages. ``beside``: requirements of
    everything else that the worker needs.
    """

    parts: tuple[tuple[str, str], ...]
    example: tuple[str, ...]
    beside: tuple[str, ...]


@dataclass(frozen=True)
class Framework:
    """What trains models.

    ``name``: as scenarios write it. ``title``: its name for people. ``native``: the folder below ``native/`` that holds
    its models; frameworks that share a folder are one family. ``mlm``: its name in STAC's machine-learning-model
    extension, and the package whose version is given there. ``imports_weights``: whether it runs weights from a file.
    """

    name: str
    title: str
    native: str
    mlm: tuple[str, str]
    imports_weights: bool = True


@dataclass(frozen=True)
class Runtime:
    """One row: what executes a model file, and how it is reached.

    Attributes:
        name: ``language/engine``; a version may follow, see :mod:`harness.runtimes.versioned`.
        host: how the engine is reached. A row that says ``rpy2`` (R inside a Python process) can be reached by
            ``Rscript`` as well, one that says ``juliacall`` by a plain ``julia``; see
            :func:`harness.runtimes.registry.host_of`.
        packages: the packages of its language that it needs.
        reads: the file formats that it loads.
        install: the command that installs it.
        worker: the module that holds its ``ENGINE`` class, where Python hosts it.
        framework: what it trains with, where it can train.
        oracle: whether it can serve as a route oracle of every format that it reads.
        oracle_of: the formats of which it can serve as a route oracle.
        versioned: what a version in its name means, where it can be asked for in a version.
        environment: a Python environment of its own: the one that its worker runs in, or one that R calls by reticulate.
        optimisation: the level at which its language compiles code as it runs (Julia's ``-O``); None: the language's own.
        inner_values_note: what a reader must know about the values of inner tensors that it gives.
    """

    name: str
    host: str
    packages: tuple[str, ...]
    reads: tuple[FileFormat, ...]
    install: str
    worker: str = ""
    framework: Framework | None = None
    oracle: bool = False
    oracle_of: tuple[FileFormat, ...] = ()
    versioned: VersionedPackages | None = None
    environment: LockedEnvironment | None = None
    optimisation: int | None = None
    inner_values_note: str = ""

    @property
    def base(self) -> str:
        """The name without a version."""
        return split(self.name)[0]

    @property
    def language(self) -> str:
        """The part of the name before the slash: the name of a :class:`harness.runtimes.language.Language`."""
        return self.name.partition("/")[0]

    @property
    def engine(self) -> str:
        """The part of the name after the slash, without a version."""
        return self.base.partition("/")[2]


@dataclass(frozen=True)
class Availability:
    """Whether a runtime can be started here; ``versions`` by package; ``reason`` and ``install`` where it cannot."""

    installed: bool
    versions: dict[str, str]
    reason: str = ""
    install: str = ""
