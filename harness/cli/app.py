"""The command line, assembled from a file per group of commands; what every error prints, and the exit codes."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn, cast

import typer

import harness
from harness.cli.compare import compare
from harness.cli.conformance import conformance
from harness.cli.data import data_app
from harness.cli.envs import envs_app
from harness.cli.runtimes import prepare, runtimes
from harness.cli.sample import sample
from harness.cli.scenarios import report, run, schema
from harness.cli.store import store_app
from harness.errors import ExitCode, HarnessError

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
# In the order in which `harness --help` lists them.
for _command in (run, compare, sample, runtimes, prepare, schema, report, conformance):
    app.command()(_command)
app.add_typer(data_app, name="data")
app.add_typer(envs_app, name="envs")
app.add_typer(store_app, name="store")


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
