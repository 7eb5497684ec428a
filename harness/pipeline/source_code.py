"""The source files that a result depends on, found from the imports that are really in them.

A key that lists files by hand lies as soon as one of them imports another. Here a step names the module that does its work,
and every module of the harness that this one may load follows from its import statements, wherever in the file they stand.

Left out is what decides where a result is computed and not which: :data:`INFRASTRUCTURE`, and everything that is imported for
type checkers alone.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from harness.errors import HarnessError
from harness.files.atomic import write_atomically
from harness.files.cache import cache_folder
from harness.files.digests import file_hash
from harness.files.native import native_folder
from harness.files.source_hash import source_hash

#: The package whose modules are followed.
PACKAGE = Path(__file__).resolve().parents[1]

#: Packages that start processes and read scenarios. What of them decides a result (runtime, threads, settings) is in the key
#: of its step by value.
INFRASTRUCTURE = ("harness.runtimes", "harness.scenario")


def read_anew() -> None:
    """Forget what was hashed before: files may have changed since. Whoever makes the keys of a plan begins with it."""
    code_hash.cache_clear()
    native_hash.cache_clear()


@cache
def code_hash(*modules: str) -> str:
    """SHA-256 over the files of ``modules`` and of every module of the harness that they may load, with their names.

    Raises FileNotFoundError for a module that does not exist: a key over nothing would never change.
    """
    digest = hashlib.sha256()
    for name in sorted(loaded(*modules)):
        digest.update(f"{name}\0{file_hash(_file(name))}\0".encode())
    return digest.hexdigest()


@cache
def native_hash(*folders: str) -> str:
    """SHA-256 over all files of folders of ``native/``, their tests left out. Raises FileNotFoundError."""
    digest = hashlib.sha256()
    for name in folders:
        folder = native_folder() / name
        if not folder.is_dir():
            raise FileNotFoundError(f"no folder {folder}")
        digest.update(f"{name}\0{source_hash(folder)}\0".encode())
    return digest.hexdigest()


def loaded(*modules: str) -> set[str]:
    """The modules named and those of the harness that they may load, packages on the way to them included."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [other for other in _imports(_file(name)) if not _is_infrastructure(other)]
    return found


def _is_infrastructure(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in INFRASTRUCTURE)


def _file(module: str) -> Path:
    path = _existing(module)
    if path is None:
        raise FileNotFoundError(f"no module {module} below {PACKAGE}")
    return path


def _existing(module: str) -> Path | None:
    path = PACKAGE.parent.joinpath(*module.split("."))
    for candidate in (path / "__init__.py", path.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    return None


def _imports(path: Path) -> tuple[str, ...]:
    """Modules of the harness that a file names in import statements, or by :func:`importlib.import_module`."""
    status = path.stat()
    return _imports_at(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1024)
def _imports_at(path: Path, modified: int, size: int) -> tuple[str, ...]:
    known = _parsed_before()
    key = f"{path} {modified} {size}"
    if key not in known.names:
        known.names[key] = sorted(_named(path))
        known.changed = True
    found = {
        module for name in known.names[key] for module in (_beginning_as(name[:-1]) if name[-1] == "*" else {name})
    }
    own = {name for name in found if name.partition(".")[0] == PACKAGE.name and _existing(name) is not None}
    # Importing a module loads the packages that it lies in.
    return tuple(sorted({".".join(name.split(".")[:depth]) for name in own for depth in range(1, name.count(".") + 2)}))


@dataclass
class _Parsed:
    """What import statements name, by path, time and size of the file; ``changed`` since it was read from ``stored``."""

    stored: Path
    names: dict[str, list[str]]
    changed: bool = False


@cache
def _parsed_before() -> _Parsed:
    """What earlier runs found, so that no file is parsed again."""
    own = Path(__file__).stat()
    # Named by this file too, whose code finds the names.
    identity = hashlib.sha256(f"{PACKAGE} {own.st_mtime_ns} {own.st_size}".encode()).hexdigest()[:16]
    stored = cache_folder() / f"imports-{identity}.json"
    try:
        names = json.loads(stored.read_text())
    except (OSError, ValueError):
        names = {}
    return _Parsed(stored, names if isinstance(names, dict) else {})


def keep_parsed() -> None:
    """Write down for later runs what import statements of the files name; nothing where that cannot be written."""
    known = _parsed_before()
    if known.changed:
        there = {key: names for key, names in known.names.items() if _is_as_parsed(key)}
        with contextlib.suppress(OSError, HarnessError):
            known.stored.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(known.stored, json.dumps(there))
        known.changed = False


def _is_as_parsed(key: str) -> bool:
    path, modified, size = key.rsplit(" ", 2)
    try:
        status = Path(path).stat()
    except OSError:
        return False
    return (str(status.st_mtime_ns), str(status.st_size)) == (modified, size)


def _named(path: Path) -> set[str]:
    """Modules that a file names; one that ends in ``*`` stands for all that begin so."""
    found: set[str] = set()
    for node in _executed(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and _calls_import_module(node):
            found |= _by_name(node)
    return {name for name in found if name.partition(".")[0] == PACKAGE.name}


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below one, without those that only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            for other in child.orelse:
                yield other
                yield from _executed(other)
            continue
        yield child
        yield from _executed(child)


def _calls_import_module(node: ast.Call) -> bool:
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return called == "import_module" and bool(node.args)


def _by_name(node: ast.Call) -> set[str]:
    """What ``import_module`` may load: the module named, or with ``*`` all whose names begin as an f-string does."""
    argument = node.args[0]
    if isinstance(argument, ast.Constant):
        return {str(argument.value)}
    begins = argument.values[0] if isinstance(argument, ast.JoinedStr) else None
    # A name that is not written down: who calls has to name the module beside its own.
    return {f"{begins.value!s}*"} if isinstance(begins, ast.Constant) else set()


def _beginning_as(start: str) -> set[str]:
    package, _, prefix = start.rpartition(".")
    folder = PACKAGE.parent.joinpath(*package.split("."))
    return {f"{package}.{path.stem}" for path in folder.glob(f"{prefix}*.py") if path.stem != "__init__"}
