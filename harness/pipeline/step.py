"""What a step is, and what it may use while it is carried out.

Each kind of step is a frozen dataclass in :mod:`harness.pipeline.steps`: its fields are what decides its result, its methods say
what else does and how it is done.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from pydantic_core import to_jsonable_python

from harness.files.digests import content_hash
from harness.runtimes.pool import Progress, Workers
from harness.runtimes.row import Runtime
from harness.scenario.sections import LimitsSection

#: Marks a field that says where an input lies. What lies there decides the result, and enters the key by its content.
PLACE: Mapping[str, Any] = {"place": True}

#: Fields of every step that are no settings of its own.
_COMMON = ("id", "runtime", "needs", "beside")


@dataclass(frozen=True, kw_only=True)
class Step(ABC):
    """One unit of work.

    ``runtime`` does it; None: the harness itself. ``needs`` are the ids of the steps whose artifacts it reads, ``beside`` those of
    steps before it whose artifacts it reads where there are any: that one of them
    failed does not stand in its way, unless it was lost by accident.
    """

    #: The kind, which names the folders of its artifacts.
    kind: ClassVar[str]
    #: Whether it makes the source: without it there is nothing to compare with, and the run cannot go on.
    makes_source: ClassVar[bool] = False
    #: Whether a later attempt goes on from what an interrupted one left in its folder.
    resumable: ClassVar[bool] = False

    id: str
    runtime: Runtime | None = None
    needs: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @abstractmethod
    def outside(self) -> dict[str, Any]:
        """What its result depends on beside its settings and needs, as JSON: code, versions, contents of files.

        Nothing is imported to find out. Raises HarnessError where a file that it names cannot be read.
        """

    @abstractmethod
    def carry_out(self, context: Context) -> None:
        """Do it; its files are in ``context.folder`` afterwards.

        Raises HarnessError: WorkerError costs the cells that need the step, anything else ends the run.
        """

    @property
    def worker(self) -> Runtime:
        """The runtime of a step that has one."""
        if self.runtime is None:
            raise ValueError(f"step {self.id} has no runtime")
        return self.runtime

    def settings(self) -> dict[str, Any]:
        """Its own fields as JSON values."""
        return {
            entry.name: to_jsonable_python(getattr(self, entry.name))
            for entry in fields(self)
            if entry.name not in _COMMON
        }

    def key(self, needs: Mapping[str, str]) -> str:
        """The key of its artifact; ``needs`` holds the keys of the steps it needs, by id.

        Places are left out: the same content gives the same key wherever it lies.
        """
        places = {entry.name for entry in fields(self) if entry.metadata.get("place")}
        content = {
            "kind": self.kind,
            "runtime": None if self.runtime is None else self.runtime.name,
            "settings": {name: value for name, value in self.settings().items() if name not in places},
            "outside": self.outside(),
            "needs": [needs[name] for name in self.needs],
        }
        return content_hash(content | ({"beside": [needs[name] for name in self.beside]} if self.beside else {}))


@dataclass
class Context:
    """What a step may use: its own folder, the folders of the steps it needs, workers and their limits."""

    step: Step
    folder: Path
    needs: dict[str, Path]
    workers: Workers
    limits: LimitsSection
    progress: Progress | None = field(default=None)

    def ask(self, request: str, **arguments: Any) -> dict[str, Any]:
        """Ask the worker of the step's runtime, within the limit of a request."""
        timeout = self.limits.training_seconds if request == "train" else self.limits.request_seconds
        return self.workers.request(
            self.step.worker.name, request, timeout=timeout, progress=self.progress, **arguments
        )

    def ask_other(self, runtime: str, request: str, **arguments: Any) -> dict[str, Any]:
        """Ask the worker of another runtime, within the limit of a request."""
        return self.workers.request(runtime, request, timeout=self.limits.request_seconds, progress=None, **arguments)

    def needed(self, *kinds: str) -> Path:
        """The folder of the one needed step whose id begins with one of ``kinds``."""
        return next(path for name, path in self.needs.items() if name.partition(" ")[0] in kinds)

    def predict(
        self, inputs: Path, outputs: str, batch_size: int | None, sample_axes: Mapping[str, int | None]
    ) -> dict[str, Any]:
        """Have the loaded model predict a file of inputs into a file of the step's folder.

        ``sample_axes``: those that are not 0, by name; see the worker contract.
        """
        # A worker of another version, which does not know them, answers where they are not needed.
        axes = {"sample_axes": dict(sample_axes)} if sample_axes else {}
        outputs = str(self.folder / outputs)
        return self.ask("predict", inputs=str(inputs), outputs=outputs, batch_size=batch_size, **axes)

    def tell(self, text: str) -> None:
        """Tell the listener what is being done, where how much of it there is is not known."""
        if self.progress is not None:
            self.progress({"done": 0, "total": 0, "text": text})
