"""What the terminal shows of cells: one number beside the sentence that names it."""

from __future__ import annotations

import pytest

from harness.cli.outcome import _print_cells
from harness.compare.records import CellResult
from tests.unit.results.judge.judged_cells import judged


def test_the_column_and_the_sentence_show_one_number_of_one_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    found = judged(0.5, 2.5, folded=True)
    assert found.runtime.rms_ratio == pytest.approx(2.0)
    assert found.end_to_end is not None
    assert found.end_to_end.rms_ratio == pytest.approx(0.5)
    cell = CellResult(
        cell="c",
        model="tempcnn",
        source="pytorch",
        route="r",
        route_label="r",
        target="r/base",
        verdict=found.judgement.verdict,
        sentence=found.judgement.sentence,
        runtime_comparison=found.runtime,
        end_to_end=found.end_to_end,
    )
    _print_cells("title", [cell])
    shown = capsys.readouterr().out
    header, row = (line for line in shown.splitlines() if line.split()[:1] in (["target"], ["r/base"]))
    assert "runtime error / floor" in header
    place = header.index("runtime error / floor")
    assert row[place:].split()[0] == "2"
    assert "its runtime error is 2 times the noise floor" in " ".join(shown.split())
    assert "0.5" not in shown
