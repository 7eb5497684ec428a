"""``harness data``: the data sources and their files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Json
from harness.cli.printing import print_json, print_table, table

data_app = typer.Typer(help="The data sources.", no_args_is_help=True)


@data_app.command("list")
def data_list(as_json: Json = False) -> None:
    """The data sources by name."""
    from harness.data.sources import source, source_names

    found = [source(name) for name in source_names()]
    if as_json:
        print_json(
            {
                row.name: {
                    "title": row.title,
                    "options": row.options.model_json_schema(),
                    "makes_its_files": row.write is not None,
                    "obtain": row.obtain,
                }
                for row in found
            }
        )
        return
    shown_table = table("source", "what", "options")
    for row in found:
        shown_table.add_row(row.name, row.title, ", ".join(row.options.model_fields))
    print_table(shown_table)


@data_app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="A data source, see `harness data list`.")],
    folder: Annotated[Path, typer.Option("--folder", help="Where its files go, in a folder of its name.")] = Path(
        "data"
    ),
    region: Annotated[list[str] | None, typer.Option("--region", help="A region to fetch; may be given again.")] = None,
    level: Annotated[str | None, typer.Option("--level", help="Processing level: L1C or L2A.")] = None,
    shapefile: Annotated[bool, typer.Option(help="Fetch the outlines of the parcels too.")] = True,
    base_url: Annotated[str | None, typer.Option("--base-url", help="Address of a mirror of published data.")] = None,
    any_size: Annotated[bool, typer.Option("--any-size", help="Take files of other sizes than published.")] = False,
    product: Annotated[str | None, typer.Option("--product", help="A product, e.g. RAD_NL25_PCP_NA.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="First time (UTC), e.g. 2024-07-09T12:00.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last time (UTC).")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of a synthetic source.")] = 0,
    as_json: Json = False,
) -> None:
    """Put the files of a data source into a folder, or say how to come by them. Goes on where it was interrupted."""
    from harness.cli.download_progress import download_progress
    from harness.data.dataset import Wanted
    from harness.data.files import get

    wanted = Wanted(tuple(region or ()), level, shapefile, base_url, any_size, product, first, last)
    with download_progress(quiet=as_json) as progress:
        written = get(name, folder / name, seed, wanted, progress)
    if as_json:
        print_json({"source": name, "folder": str(folder / name), "files": [str(path) for path in written]})
        return
    for path in written:
        typer.echo(path)
