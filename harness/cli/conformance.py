"""``harness conformance``: how every reader stands in ONNX's published cases."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Json
from harness.cli.printing import print_json, print_table, table


def conformance(
    runtime: Annotated[
        list[str] | None, typer.Option("--runtime", help="Only this reader; may be given often.")
    ] = None,
    operator: Annotated[
        list[str] | None, typer.Option("--operator", help="Only cases that hold this operator; may be given often.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="How many readers run at once.")] = 1,
    page: Annotated[Path, typer.Option("--page", help="The page to write, with the same as JSON beside it.")] = Path(
        "docs/conformance.md"
    ),
    as_json: Json = False,
) -> int:
    """Run the cases that ONNX publishes on every reader, and count what passes.

    Where all operators are asked for, the page is written, and the totals of the README in the current folder; readers that are
    not asked keep their rows. Exit code 1 where a reader of this project answers wrongly and nothing excuses it.
    """
    from harness.conformance.page import page as as_page
    from harness.conformance.page import with_totals
    from harness.conformance.scoreboard import READERS, RESULTS, Scoreboard, measure
    from harness.errors import ExitCode
    from harness.files.atomic import write_atomically

    board = measure(
        runtime or READERS, frozenset(operator or ()), jobs, lambda text: print(text, file=sys.stderr, flush=True)
    )
    whole = board
    if not operator:
        kept = page.with_suffix(".json")
        if kept.is_file():
            whole = board.with_rows_of(Scoreboard.from_document(json.loads(kept.read_text(encoding="utf-8"))))
        write_atomically(kept, json.dumps(whole.document(), indent=1, sort_keys=True) + "\n")
        write_atomically(page, as_page(whole))
        readme = Path("README.md")
        if readme.is_file():
            text = readme.read_text(encoding="utf-8")
            if with_totals(text, whole) != text:
                write_atomically(readme, with_totals(text, whole))
    if as_json:
        print_json(board.document())
    else:
        shown = table("reader", *RESULTS)
        for standing in board.standings:
            counts = standing.total()
            shown.add_row(standing.reader, *(str(counts[key]) for key in RESULTS))
        for name, install in board.missing.items():
            shown.add_row(name, f"not installed; install it with: {install}")
        print_table(shown)
    for line in board.faults():
        print(f"wrong: {line}", file=sys.stderr)
    return ExitCode.WORSE_THAN_EXPECTED if board.faults() else ExitCode.OK
