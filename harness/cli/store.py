"""``harness store``: whether the artifacts are whole, and the removal of unused ones."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Json, StoreFolder
from harness.cli.printing import print_json, print_table, table

store_app = typer.Typer(help="The artifacts that finished steps left.", no_args_is_help=True)


@store_app.command("check")
def check(store: StoreFolder = Path("exported"), as_json: Json = False) -> None:
    """Read every file of every artifact and compare it with its digest. Exits with 1 where an artifact is damaged.

    A run makes a damaged artifact anew by itself, as soon as it needs it.
    """
    from harness.errors import ExitCode
    from harness.files.store_care import check_store

    found = check_store(store)
    damaged = [entry for entry in found if entry.state == "damaged"]
    if as_json:
        print_json({"store": str(store), "entries": [asdict(entry) for entry in found], "damaged": len(damaged)})
    else:
        whole = [entry for entry in found if entry.state == "whole"]
        others = [entry for entry in found if entry.state != "whole"]
        if others:
            shown = table("what", "state", "MB", "")
            for entry in others:
                shown.add_row(entry.name, entry.state, _megabytes(entry.bytes), entry.what)
            print_table(shown)
        size = _megabytes(sum(entry.bytes for entry in whole))
        typer.echo(f"{len(whole)} artifacts are whole ({size} MB), {len(damaged)} damaged")
    raise typer.Exit(int(ExitCode.WORSE_THAN_EXPECTED if damaged else ExitCode.OK))


@store_app.command("clean")
def clean(
    store: StoreFolder = Path("exported"),
    unused: Annotated[
        bool, typer.Option("--unused", help="Remove artifacts too that no results folder below --output refers to.")
    ] = False,
    output: Annotated[Path, typer.Option("--output", help="With --unused: the folder of all results.")] = Path(
        "results"
    ),
    as_json: Json = False,
) -> None:
    """Remove what killed runs left, damaged artifacts and locks; says what that freed.

    Nothing that a run needs now is removed.
    """
    from harness.files.store_care import clean_store
    from harness.results.references import needed_artifacts

    done = clean_store(store, needed_artifacts(output) if unused else None)
    if as_json:
        parts = {"removed": done.removed, "left": done.left}
        print_json({name: [asdict(entry) for entry in part] for name, part in parts.items()} | {"freed": done.freed})
        return
    for entry in done.removed:
        typer.echo(f"removed {entry.name}: {_megabytes(entry.bytes)} MB, {entry.what}")
    for entry in done.left:
        typer.echo(f"left {entry.name}: {entry.what}")
    typer.echo(f"{_megabytes(done.freed)} MB were freed" if done.removed else "there was nothing to remove")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f}"
