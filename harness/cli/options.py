"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for a machine to read.")]
Output = Annotated[Path, typer.Option("--output", help="Folder of the results; each scenario has one below it.")]
StoreFolder = Annotated[Path, typer.Option("--store", help="Folder of the artifacts that finished steps left.")]
Pdf = Annotated[bool, typer.Option("--pdf", help="Write every figure as PDF too.")]
