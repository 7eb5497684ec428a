"""The table of backends: what a .keras file becomes where another backend opens it."""

import json

from fixture import cell_name

from harness.report.build import build_report
from harness.report.read import read_results
from harness.report.tables.backend_swap_table import swap_table


def test_only_swaps_are_in_it_with_what_the_backend_holds(folder, draw_only):
    draw_only()
    assert swap_table([read_results(folder)]).rows == ()
    cells = json.loads((folder / "cells.json").read_text())
    swapped = [cell for cell in cells if cell["cell"] == cell_name("safetensors", "python/pytorch")]
    assert len(swapped) == 1
    swapped[0] |= {"route": "keras-backend-swap", "source": "keras-tensorflow"}
    (folder / "cells.json").write_text(json.dumps(cells))
    (row,) = swap_table([read_results(folder)]).rows
    assert (row["source"], row["backend"], row["verdict"]) == ("keras-tensorflow", "pytorch", "identical")
    assert row["parameters"] == "equal bit for bit"
    swapped[0]["parameters"]["rows"][0]["relation"] = "unequal"
    (folder / "cells.json").write_text(json.dumps(cells))
    (row,) = swap_table([read_results(folder)]).rows
    assert row["parameters"].startswith("1 of ")
    build_report(folder)
    assert "Backends of Keras" in (folder / "report.md").read_text()
