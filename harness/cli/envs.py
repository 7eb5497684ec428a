"""``harness envs``: the environments that runtimes run in."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.options import Json
from harness.cli.printing import print_json, print_table, table

envs_app = typer.Typer(help="The environments that runtimes run in.", no_args_is_help=True)


@envs_app.command("list")
def envs_list(as_json: Json = False) -> None:
    """The environments that were made, what they hold and what they take on the disk."""
    from harness.runtimes.made_environments import made_environments

    found = made_environments()
    if as_json:
        print_json(
            [
                {
                    "name": one.name,
                    "folder": str(one.folder),
                    "bytes": one.bytes,
                    "packages": one.packages,
                    "whole": one.complete,
                }
                for one in found
            ]
        )
        return
    shown_table = table("environment", "MB", "packages", "folder")
    for one in found:
        packages = str(len(one.packages)) if one.complete else "left by a process that was ended, or being made"
        shown_table.add_row(one.name, f"{one.bytes / 1e6:.0f}", packages, str(one.folder))
    print_table(shown_table)


@envs_app.command("clean")
def envs_clean(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Runtimes, e.g. python/onnxruntime@1.20; all if none.", metavar="[RUNTIME...]"),
    ] = None,
) -> None:
    """Remove environments; a run that names such a runtime makes its environment again."""
    from harness.runtimes.made_environments import clean

    removed, left = clean(names or ())
    for one in removed:
        typer.echo(f"removed {one.name}: {one.bytes / 1e6:.0f} MB")
    for one in left:
        typer.echo(f"left {one.name}: another process makes it now")
    if not removed and not left:
        typer.echo("there was nothing to remove")
