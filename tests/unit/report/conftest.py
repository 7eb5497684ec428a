import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fixture import write_results

from harness.report import draw_figures
from harness.report.build import ReportFiles, build_report
from harness.report.read import Results, read_results


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Result files of the made-up scenario with a cell of every verdict; tests only read them."""
    return write_results(tmp_path_factory.mktemp("written") / "unit-test")


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy of these result files, to be spoilt by a test."""
    return Path(shutil.copytree(written, tmp_path / "unit-test"))


@pytest.fixture(scope="session")
def results(written: Path) -> Results:
    """The same result files as they are read."""
    return read_results(written)


@pytest.fixture(scope="session")
def report(written: Path, tmp_path_factory: pytest.TempPathFactory) -> ReportFiles:
    """Their report, with PDF files; tests only read it."""
    return build_report(Path(shutil.copytree(written, tmp_path_factory.mktemp("report") / "unit-test")), pdf=True)


@pytest.fixture
def draw_only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Leaves out all figures but those of the given names: drawing is nearly all of the time that a report takes."""
    figures = draw_figures.all_figures()

    def restrict(*names: str) -> None:
        kept = {name: figures[name] for name in figures if name in names}
        assert len(kept) == len(names), f"{set(names) - set(kept)} are no figures"
        monkeypatch.setattr(draw_figures, "all_figures", lambda: kept)

    return restrict
