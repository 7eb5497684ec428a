"""How commands print tables and JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import typer


def print_json(value: Any) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False))


def table(*columns: str) -> Any:
    """An empty table with those columns."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def print_table(filled: Any) -> None:
    """Print a table; in a pipe with a width that keeps lines whole."""
    from rich.console import Console

    # A pipe has no width of its own; a fixed one keeps lines whole for grep and for logs.
    Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False).print(filled)
