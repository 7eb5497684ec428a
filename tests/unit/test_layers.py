"""Imports run downwards only: the layers of the packages, compared with the imports that the code really has."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from harness.runtimes.registry import LANGUAGES
from harness.tasks import TASKS

PACKAGE = Path(__file__).resolve().parents[2] / "harness"

#: Packages from the top down. A file may import from its own package and from packages below.
LAYERS = (
    ("harness.__main__",),
    ("harness.cli",),
    ("harness.results", "harness.conformance"),
    ("harness.pipeline",),
    ("harness.scenario",),
    ("harness.report", "harness.workers"),
    ("harness.runtimes",),
    ("harness.data", "harness.compare"),
    ("harness.models",),
    ("harness.tasks",),
    ("harness.files",),
    ("harness.version_names",),
    ("harness.errors",),
    ("harness",),
)

#: Frameworks and bridges that only workers may import.
FRAMEWORKS = {
    "torch",
    "tensorflow",
    "keras",
    "tf2onnx",
    "onnx2tf",
    "jax",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "rpy2",
    "juliacall",
    "ml_dtypes",
}


def modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found.append((".".join(part for part in parts if part != "__init__"), path))
    return found


def rank(module: str) -> int:
    matches = [
        (len(package), index)
        for index, layer in enumerate(LAYERS)
        for package in layer
        if module == package or module.startswith(package + ".")
    ]
    return max(matches)[1]


def package_of(module: str) -> str:
    return max((name for layer in LAYERS for name in layer if module == name or module.startswith(name + ".")), key=len)


def imports(path: Path) -> set[str]:
    return imported_by(ast.parse(path.read_text()))


def imported_by(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names if is_module(f"{node.module}.{alias.name}")}
    return names


def executed_imports(path: Path) -> set[str]:
    """As :func:`imports`, without what only type checkers see."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        for field in ("body", "orelse"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                block[:] = [part for part in block if not is_for_type_checkers(part)]
    return imported_by(tree)


def is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def is_module(name: str) -> bool:
    path = PACKAGE.parent / Path(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_imports_run_downwards(module: str, path: Path) -> None:
    for imported in imports(path):
        if not (imported == "harness" or imported.startswith("harness.")) or package_of(imported) == package_of(module):
            continue
        assert rank(imported) > rank(module), f"{module} imports {imported}, which stands above it"


def test_no_modules_import_each_other_in_a_circle() -> None:
    known = dict(modules())
    # A package is imported with each of its modules; a circle through it alone is none of theirs.
    graph = {name: {other for other in executed_imports(path) if other in known} for name, path in known.items()}
    for name, path in known.items():
        if path.name == "__init__.py":
            graph[name] = set()
    assert tuple(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_only_workers_import_frameworks(module: str, path: Path) -> None:
    if module.startswith("harness.workers"):
        return
    tops = {name.partition(".")[0] for name in imports(path)}
    assert not tops & FRAMEWORKS


@pytest.mark.parametrize("package", ["harness.compare", "harness.report"])
def test_compare_and_report_know_no_worker(package: str) -> None:
    for module, path in modules():
        if module.startswith(package):
            bad = [name for name in imports(path) if name.startswith(("harness.workers", "harness.runtimes"))]
            assert not bad, f"{module} imports {bad}"


def names_in(node: ast.expr) -> set[str]:
    """The strings that an operand of a comparison is, or lists."""
    return {part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def compared_names(source: str) -> set[str]:
    """The strings that a source compares something with, by an operator or in a case of ``match``."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            found |= set().union(*(names_in(side) for side in (node.left, *node.comparators)))
        elif isinstance(node, ast.MatchValue):
            found |= names_in(node.value)
    return found


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_only_the_files_of_a_language_compare_its_name(module: str, path: Path) -> None:
    """What differs between languages is a method of `harness.runtimes.language.Language`, which each implements once."""
    own = {name for name in LANGUAGES if module.startswith(f"harness.runtimes.{name}")}
    assert not (compared_names(path.read_text()) & set(LANGUAGES)) - own


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_only_the_files_of_a_task_compare_its_name(module: str, path: Path) -> None:
    """What differs between tasks is a method or an attribute of `harness.tasks.base.Task`, which each states once."""
    if not module.startswith("harness.tasks"):
        assert not compared_names(path.read_text()) & set(TASKS)


def test_a_comparison_with_the_name_of_a_language_is_seen() -> None:
    for line in ("if row.language == 'r': ...", "x = 1 if 'julia' != language else 2", "language in ('r', 'julia')"):
        assert compared_names(line) & set(LANGUAGES)
    assert compared_names("match language:\n    case 'python': ...") == {"python"}


def test_a_whole_import_of_the_harness_loads_no_framework() -> None:
    code = (
        "import sys, harness.cli.app, harness.results.scenario_run, harness.results.given_run, harness.report.build\n"
        "import harness.data.prepare, harness.scenario.sections\n"
        f"print(sorted(set(sys.modules) & {FRAMEWORKS!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_needs_neither_numpy_nor_pandas() -> None:
    heavy = {"numpy", "pandas", "matplotlib", "pydantic", "yaml"}
    code = f"import sys, harness.cli.app; print(sorted(set(sys.modules) & {heavy!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
