"""``harness runtimes`` and ``harness prepare``: what is installed, and making what is missing."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from harness.cli.options import Json
from harness.cli.printing import print_json, print_table, table


def runtimes(as_json: Json = False) -> None:
    """Which runtimes are installed, their versions, and the command that installs a missing one.

    A runtime in a version of its own is listed once its environment is made.
    """
    from harness.runtimes.made_environments import runtimes_in_versions
    from harness.runtimes.registry import RUNTIMES, availability

    known = RUNTIMES | {row.name: row for row in runtimes_in_versions()}
    states = {name: availability(row) for name, row in known.items()}
    if as_json:
        rows = {
            name: {
                "installed": state.installed,
                "versions": state.versions,
                "reason": state.reason,
                "install": state.install or known[name].install,
                "reads": list(known[name].reads),
            }
            for name, state in states.items()
        }
        print_json(rows)
        return
    shown_table = table("runtime", "installed", "versions, or what is missing")
    for name, state in states.items():
        versions = ", ".join(f"{package} {version}" for package, version in state.versions.items())
        missing = f"{state.reason}; install it with: {state.install}"
        shown_table.add_row(name, "yes" if state.installed else "no", versions if state.installed else missing)
    print_table(shown_table)


def prepare(
    names: Annotated[list[str], typer.Argument(help="Runtimes, e.g. python/onnxruntime@1.20.", metavar="RUNTIME...")],
    allow_cuda: Annotated[
        bool, typer.Option("--allow-cuda", help="Fetch the libraries of CUDA too, some gigabytes, where PyTorch asks.")
    ] = False,
) -> None:
    """Make the environments that runtimes run in, which otherwise the first run does that names them."""
    from harness.errors import UnavailableError
    from harness.runtimes.registry import ready, runtime
    from harness.runtimes.resolution import CUDA_VARIABLE

    if allow_cuda:
        os.environ[CUDA_VARIABLE] = "1"
    for row in [runtime(name) for name in names]:
        here = ready(row, lambda text: print(text, file=sys.stderr, flush=True))
        if not here.installed:
            # What would be said is how to make it, which has just been tried.
            hint = None if here.install == row.install and row.environment else f"install it with: {here.install}"
            raise UnavailableError(here.reason, where=row.name, hint=hint)
        typer.echo(f"{row.name}: {', '.join(f'{package} {version}' for package, version in here.versions.items())}")
