"""The data of a scenario: read, normalised, split, and the probe drawn from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from harness.models.spec import TaskName
from harness.pipeline.source_code import code_hash
from harness.pipeline.step import PLACE, Context, Step
from harness.scenario.sections import DataSection


@dataclass(frozen=True, kw_only=True)
class DataStep(Step):
    """``probe``: samples that are drawn from the test part; ``task``: that of the model that learns from the data."""

    kind: ClassVar[str] = "data"

    #: Its options may name places; they enter the key as the data source tells its contents.
    data: DataSection = field(metadata=PLACE)
    seed: int
    probe: int
    task: TaskName

    def outside(self) -> dict[str, Any]:
        """The code that reads the source and prepares its data, its options, and the contents of its files."""
        from harness.data.prepare import fingerprint

        source = f"harness.data.sources.{self.data.source.replace('-', '_')}"
        contents = fingerprint(self._config())
        return {"code": code_hash(__name__, "harness.data.prepare", source), "contents": contents}

    def carry_out(self, context: Context) -> None:
        """Prepare the data."""
        from harness.data.prepare import prepare

        prepare(self._config(), self.seed, self.probe, context.folder, self.task)

    def _config(self) -> Any:
        """The configuration of the data package. Raises DataError on bad options."""
        from harness.data.prepare import DataConfig

        return DataConfig(**self.data.model_dump())
