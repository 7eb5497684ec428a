"""The command line: arguments, progress and exit codes, nothing else."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn, cast, get_args

import typer

import harness
from harness.cli.printing import print_json, print_table, table
from harness.cli.store import store_app
from harness.errors import ExitCode, HarnessError
from harness.runtimes.table import importing_frameworks

if TYPE_CHECKING:
    from harness.compare.port import PortComparison
    from harness.compare.records import CellResult

EPILOGUE = (
    "Exit codes: 0 all cells as expected; 1 a cell worse than the scenario expects; 2 bad usage, scenario or data; "
    "3 a cell failed, or a step was lost by accident; 130 interrupted."
)

#: The base of typer's usage errors, wherever this version of typer keeps it.
_UsageError = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[2])

app = typer.Typer(
    name="harness",
    help="Does a deep-learning model give the same answers in another language? Train, export, reopen, compare.",
    epilog=EPILOGUE,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
data_app = typer.Typer(help="The data sources.", no_args_is_help=True)
app.add_typer(data_app, name="data")
envs_app = typer.Typer(help="The environments that runtimes run in.", no_args_is_help=True)
app.add_typer(envs_app, name="envs")
app.add_typer(store_app, name="store")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for a machine to read.")]
Output = Annotated[Path, typer.Option("--output", help="Folder of the results; each scenario has one below it.")]
StoreFolder = Annotated[Path, typer.Option("--store", help="Folder of the artifacts that finished steps left.")]
Pdf = Annotated[bool, typer.Option("--pdf", help="Write every figure as PDF too.")]


def _version(value: bool) -> None:
    if value:
        typer.echo(harness.__version__)
        raise typer.Exit


@app.callback()
def _main(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    """Nothing but options that every command has."""


@app.command()
def run(
    scenario: Annotated[Path, typer.Argument(help="A scenario file, e.g. scenarios/tempcnn_py_to_r.yaml.")],
    output: Output = Path("results"),
    store: StoreFolder = Path("exported"),
    pdf: Pdf = False,
    as_json: Json = False,
) -> None:
    """Run a scenario: train, export, reopen, compare, report. Goes on from what is finished."""
    from harness.scenario.read import read_scenario

    # Read before anything heavy is imported: a bad scenario is told at once.
    asked = read_scenario(scenario)
    from harness.cli.progress import listener
    from harness.results.scenario_run import run as run_scenario

    with listener(quiet=as_json) as listening:
        result = run_scenario(asked, scenario, output=output, store=store, listener=listening, pdf=pdf)
    code = int(result.exit_code)
    title = result.scenario.title
    _print_outcome(
        title,
        result.folder,
        result.cells,
        fresh=result.fresh,
        code=code,
        as_json=as_json,
        port=result.port,
        accidents=result.accidents,
    )
    raise typer.Exit(code)


@app.command()
def compare(
    model: Annotated[Path, typer.Argument(help="An .onnx file.")],
    to: Annotated[str, typer.Option("--to", help="Runtimes to open it in, with commas between them.")],
    probe: Annotated[
        list[str], typer.Option("--probe", help="X.npy, axis 0 the sample; NAME=X.npy for each of several inputs.")
    ],
    labels: Annotated[Path | None, typer.Option("--labels", help="y.npy: classes of the samples, from 0.")] = None,
    ids: Annotated[Path | None, typer.Option("--ids", help="ids.npy: whole numbers that name the samples.")] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--from", help="The weights it was made from: .safetensors, .pt or .keras. Adds parameters and route."
        ),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option("--model", help="With --from: the model of the weights, e.g. tempcnn, where no file says it."),
    ] = None,
    head: Annotated[
        str | None, typer.Option("--head", help="With --model: logits, log-softmax or softmax; the file's if left out.")
    ] = None,
    framework: Annotated[
        str,
        typer.Option(
            "--framework",
            help=f"With --from: what runs the weights: {', '.join(importing_frameworks())}.",
        ),
    ] = "pytorch",
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Samples per call.")] = 64,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of every runtime.")] = 1,
    time: Annotated[bool, typer.Option("--time", help="Time every runtime, at batch 1 and at --batch-size.")] = False,
    expect: Annotated[str, typer.Option("--expect", help="The worst verdict that exits with 0.")] = "equivalent",
    output: Output = Path("results"),
    store: StoreFolder = Path("exported"),
    pdf: Pdf = False,
    as_json: Json = False,
) -> None:
    """Compare a model you have: open one file in several runtimes, on your own probe. No scenario is needed."""
    from harness.cli.progress import listener
    from harness.compare.records import Verdict
    from harness.compare.verdict import exit_code
    from harness.errors import ScenarioError
    from harness.models.spec import Head
    from harness.pipeline.given_plan import Given
    from harness.results.given_run import compare_given
    from harness.scenario.sections import TimingSection

    if expect not in [verdict.value for verdict in Verdict]:
        raise ScenarioError(
            f"there is no verdict '{expect}'", where="--expect", hint="e.g. identical, equivalent, drifted"
        )
    if head is not None and head not in get_args(Head):
        raise ScenarioError(
            f"there is no head '{head}'", where="--head", hint=f"choose one of {', '.join(get_args(Head))}"
        )
    named = [part.partition("=") if "=" in part else ("", "=", part) for part in probe]
    given = Given(
        model=model,
        targets=tuple(dict.fromkeys(part.strip() for part in to.split(","))),
        probe={name: Path(path) for name, _, path in named},
        labels=labels,
        ids=ids,
        weights=weights,
        architecture=architecture,
        head=cast("Head | None", head),
        framework=framework,
        batch_size=batch_size,
        threads=threads,
        timing=TimingSection(batch_sizes=sorted({1, batch_size})) if time else None,
    )
    with listener(quiet=as_json) as listening:
        result = compare_given(given, output=output, store=store, listener=listening, pdf=pdf)
    code = int(ExitCode.CELL_FAILED if result.accidents else exit_code(result.cells, Verdict(expect)))
    _print_outcome(
        model.name,
        result.folder,
        result.cells,
        fresh=result.fresh,
        code=code,
        as_json=as_json,
        accidents=result.accidents,
    )
    raise typer.Exit(code)


@app.command()
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


@app.command()
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


@app.command()
def schema() -> None:
    """The JSON Schema of a scenario file, for an editor to check and complete it."""
    from harness.scenario.sections import json_schema

    print_json(json_schema())


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="The results folder of a scenario, e.g. results/tempcnn_py_to_r.")],
    pdf: Pdf = False,
    as_json: Json = False,
) -> None:
    """Rebuild tables, figures and pages from the result files of a finished run."""
    from harness.results.scenario_run import rebuild_report

    cells = rebuild_report(folder, pdf=pdf)
    if as_json:
        print_json({"folder": str(folder), "cells": [cell.model_dump(mode="json") for cell in cells]})
    else:
        typer.echo(f"Report: {folder / 'report.html'}")


def _print_outcome(
    title: str,
    folder: Path,
    cells: list[CellResult],
    *,
    fresh: bool,
    code: int,
    as_json: bool,
    port: PortComparison | None = None,
    accidents: Mapping[str, str],
) -> None:
    if as_json:
        rows = [cell.model_dump(mode="json") for cell in cells]
        lost = {"accidents": dict(accidents)} if accidents else {}
        held = {} if port is None else {"port": port.model_dump(mode="json")}
        print_json(
            {"title": title, "folder": str(folder), "fresh": fresh, "exit_code": code, "cells": rows, **held, **lost}
        )
        return
    _print_cells(title, cells)
    if port is not None:
        from harness.report.tables.port import answer

        typer.echo(answer(port))
    for step, how in accidents.items():
        typer.echo(f"Lost by accident: {step}: {how}; the same command tries it again")
    if not fresh:
        typer.echo("All of this was finished before.")
    typer.echo(f"Report: {folder / 'report.html'}")


def _print_cells(title: str, cells: list[CellResult]) -> None:
    typer.echo(title)
    # Of a single source every cell would name the same.
    several = len({cell.source for cell in cells}) > 1
    shown_table = table(
        *(["source"] if several else []), "target", "route", "verdict", "error / floor", "in one sentence"
    )
    for cell in cells:
        ratio = cell.runtime_comparison.rms_ratio if cell.runtime_comparison else None
        shown = "" if ratio is None else f"{ratio:.2f}"
        source = [cell.source] if several else []
        shown_table.add_row(*source, cell.target, cell.route_label, cell.verdict.value, shown, cell.sentence)
    print_table(shown_table)


def main() -> NoReturn:
    """The entry point: one line and an exit code for every error a user can meet."""
    debug = "--debug" in sys.argv or bool(os.environ.get("HARNESS_DEBUG"))
    # `--debug` is read here and accepted anywhere on the line.
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    signal.signal(signal.SIGTERM, _terminated)
    try:
        # Not standalone: otherwise Ctrl-C and usage errors would end the process with words of their own.
        code = app(args=arguments, prog_name="harness", standalone_mode=False)
    except HarnessError as error:
        if debug:
            raise
        _fail(error.line(), error.exit_code)
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            sys.exit(ExitCode.USAGE)
        context = f"harness {error.ctx.info_name}" if error.ctx and error.ctx.parent else "harness"
        _fail(f"{error.format_message().rstrip('.')}; see `{context} --help`", ExitCode.USAGE)
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe went away, as `| head` does: not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.OK)
    except Exception as error:
        if debug:
            raise
        what = " ".join(f"{type(error).__name__}: {error}".split())
        _fail(f"internal error: {what}; run it again with --debug and report what it prints", ExitCode.CELL_FAILED)
    if code == ExitCode.INTERRUPTED:
        _fail("interrupted; the same command goes on from the steps that are finished", ExitCode.INTERRUPTED)
    sys.exit(code or ExitCode.OK)


def _terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _fail(line: str, code: ExitCode) -> NoReturn:
    print(f"harness: {line}", file=sys.stderr)
    sys.exit(code)
