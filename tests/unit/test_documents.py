"""What documents say exists: files, links, commands; and what is written down twice is the same."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import typer
import yaml

import harness
from harness.cli.app import app
from harness.files.store_care import check_store, clean_store
from harness.results.references import needed_artifacts
from tests.unit.test_layers import LAYERS, imports, modules, package_of

ROOT = Path(__file__).resolve().parents[2]


def test_commits_that_show_how_something_is_added_are_in_the_history() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("| a commit that adds one |")[2].partition("\n\n")[0]
    named = re.findall(r'\| "([^"]+)" \|', table)
    assert named
    git = ["git", "-C", str(ROOT)]
    shallow = subprocess.run([*git, "rev-parse", "--is-shallow-repository"], capture_output=True, text=True)
    if shallow.stdout.strip() != "false":
        pytest.skip("this is no clone with its whole history")
    subjects = subprocess.run([*git, "log", "--format=%s"], capture_output=True, text=True, check=True).stdout
    assert set(named) <= set(subjects.splitlines())


@pytest.mark.parametrize(
    "copy",
    [
        "CITATION.cff",
        "LICENSE",
        "native/julia/LICENSE",
        "native/julia/Project.toml",
        "native/r/DESCRIPTION",
        "native/r/LICENSE",
        "native/r/man/plainonnx-package.Rd",
    ],
)
def test_the_authors_are_the_same_everywhere(copy: str) -> None:
    assert harness.AUTHORS in (ROOT / copy).read_text()
    assert f"`{copy}`" in (ROOT / "RELEASING.md").read_text()


def test_the_citation_names_this_version_and_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["version"] == harness.__version__
    assert citation["license"] == project["license"]
    assert citation["keywords"] == project["keywords"]


def test_the_readme_of_the_store_is_no_artifact_and_stays(tmp_path: Path) -> None:
    shutil.copy(ROOT / "exported" / "README.md", tmp_path)
    assert check_store(tmp_path) == []
    assert clean_store(tmp_path, needed=()).removed == ()
    assert (tmp_path / "README.md").is_file()


def test_the_readme_of_the_results_is_no_result(tmp_path: Path) -> None:
    shutil.copy(ROOT / "results" / "README.md", tmp_path)
    assert needed_artifacts(tmp_path) == set()


DOCUMENTS = [
    path
    for pattern in (
        "*.md",
        "docs/**/*.md",
        "exported/*.md",
        "results/*.md",
        "changelog.d/README.md",
        "native/*/README.md",
    )
    for path in sorted(ROOT.glob(pattern))
]
#: Folders that files of the project lie in. What runs leave in exported/ and results/ is not there.
FOLDERS = "harness|tests|native|docs|scripts|scenarios|benchmarks"
PROGRAM = typer.main.get_command(app)


def each(found: Callable[[str], Iterable[str]]) -> pytest.MarkDecorator:
    """What is found in each document, with its name."""
    cases = [(path, one) for path in DOCUMENTS for one in sorted(set(found(path.read_text())))]
    return pytest.mark.parametrize(
        ("document", "found"), cases, ids=[f"{path.relative_to(ROOT)}: {one}" for path, one in cases]
    )


def code(text: str) -> list[str]:
    """Lines of code blocks, and spans of code."""
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    rest = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    spans = (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", rest))
    return [line.partition(" # ")[0].strip() for block in blocks for line in block.splitlines()] + list(spans)


def paths(text: str) -> Iterable[str]:
    for span in code(text):
        yield from re.findall(rf"(?<![\w./-])(?:{FOLDERS})/[\w./*@-]*(?![\w<{{*])", span)


def links(text: str) -> Iterable[str]:
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]


def commands(text: str) -> Iterable[str]:
    for span in code(text):
        if found := re.match(r"(?:python -m )?harness ((?:[a-z]+ ?)+.*)", span):
            yield found[1]


def targets(text: str) -> Iterable[str]:
    for span in code(text):
        if found := re.match(r"make ([a-z-]+)", span):
            yield found[1]


@each(paths)
def test_a_path_that_a_document_names_exists(document: Path, found: str) -> None:
    assert list(ROOT.glob(found.rstrip("/."))), f"there is no {found}"


@each(links)
def test_a_link_resolves(document: Path, found: str) -> None:
    file, _, anchor = found.partition("#")
    target = (document.parent / file).resolve() if file else document
    assert target.exists(), f"there is no {file}"
    if anchor:
        headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each(commands)
def test_a_command_exists_with_its_options(document: Path, found: str) -> None:
    command = PROGRAM
    words = found.split()
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"there is no command {words[0]}"
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known


@each(targets)
def test_a_target_of_make_exists(document: Path, found: str) -> None:
    assert re.search(rf"^{re.escape(found)}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_all_kinds_of_references_are_found() -> None:
    text = "`harness/cli/app.py` [x](y.md#z)\n```sh\npython -m harness store check --json  # all\n```\n`make\ntest` `harness store`"
    assert list(paths(text)) == ["harness/cli/app.py"]
    assert links(text) == ["y.md#z"]
    assert list(commands(text)) == ["store check --json", "store"]
    assert list(targets(text)) == ["test"]


def drawn() -> tuple[dict[str, float], set[tuple[str, str]]]:
    """Packages of the drawing with their height, and its arrows."""
    drawing = (ROOT / "docs" / "images" / "architecture.svg").read_text()
    boxes = re.findall(r'data-package="(\w+)" transform="translate\([\d.]+,([\d.]+)\)"', drawing)
    return {name: float(height) for name, height in boxes}, set(
        re.findall(r'data-from="(\w+)" data-to="(\w+)"', drawing)
    )


def real_imports() -> set[tuple[str, str]]:
    """Which package imports which, as the code has it; the package itself and its entry point left out."""
    found = {
        (package_of(module), package_of(name))
        for module, path in modules()
        for name in imports(path)
        if is_harness(name)
    }
    packages = {(one.partition(".")[2], other.partition(".")[2]) for one, other in found if one != other}
    return {(one, other) for one, other in packages if one != "__main__" and other}


def is_harness(name: str) -> bool:
    return name.partition(".")[0] == "harness"


def test_the_drawing_has_the_layers() -> None:
    boxes, _ = drawn()
    layers = [[name.partition(".")[2] for name in layer] for layer in LAYERS]
    assert set(boxes) == {name for layer in layers for name in layer} - {"", "__main__"}
    heights = [{boxes[name] for name in layer} for layer in layers if set(layer) & set(boxes)]
    assert all(len(height) == 1 for height in heights)
    assert heights == sorted(heights, key=min)


def test_the_arrows_are_the_imports() -> None:
    _, arrows = drawn()
    real = real_imports()
    assert arrows <= real
    reached = set(arrows)
    while more := {(a, d) for a, b in reached for c, d in arrows if b == c} - reached:
        reached |= more
    assert real <= reached, "an import that follows from no arrows"
