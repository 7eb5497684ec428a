"""The text of a scenario file: a safe subset of YAML, and the line of every entry."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml

from harness.errors import ScenarioError


class _Loader(yaml.SafeLoader):
    """The safe loader without aliases, which could be nested to any size."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "YAML aliases are not allowed", mark)
        return super().compose_node(parent, index)


_MAX_BYTES = 1 << 20


def parse(path: Path) -> tuple[yaml.Node, Any]:
    """The nodes of a YAML file, with their lines, and the document that they describe.

    Raises ScenarioError with file and line where it is missing, too long, not a mapping, not YAML, or has a key twice.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        if len(raw) > _MAX_BYTES:
            raise ScenarioError(f"is over {_MAX_BYTES} bytes long", where=str(path), hint="name a scenario file")
        text = raw.decode("utf-8")
    except FileNotFoundError as error:
        near = difflib.get_close_matches(path.name, [p.name for p in _siblings(path)], n=1, cutoff=0.5)
        hint = f"did you mean '{path.with_name(near[0])}'?" if near else "name a scenario file, e.g. one of scenarios/"
        raise ScenarioError("no such file", where=str(path), hint=hint) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise ScenarioError(f"cannot be read: {reason}", where=str(path), hint="name a scenario file") from error
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise ScenarioError(
                "does not hold a mapping of keys to values", where=str(path), hint="see `python -m harness schema`"
            )
        _refuse_duplicates(path, root)
        return root, loader.construct_document(root)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise ScenarioError(f"is not valid YAML: {problem}", where=where, hint="mend the line") from error
    except (RecursionError, ValueError) as error:
        raise ScenarioError("is not a scenario", where=str(path), hint="see `python -m harness schema`") from error
    finally:
        if loader is not None:
            loader.dispose()


def _siblings(path: Path) -> list[Path]:
    return list(path.parent.glob("*.y*ml")) if path.parent.is_dir() else []


def _refuse_duplicates(path: Path, node: yaml.Node) -> None:
    """Raises ScenarioError for a key that is given twice, of which YAML would silently take the last."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ScenarioError(
                    "a key must be a plain word", where=f"{path}:{key.start_mark.line + 1}", hint="mend the line"
                )
            if key.value in seen:
                raise ScenarioError(
                    f"key '{key.value}' is given twice",
                    where=f"{path}:{key.start_mark.line + 1}",
                    hint="keep one of them",
                )
            seen.add(key.value)
            _refuse_duplicates(path, value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_duplicates(path, value)


def line_of(root: yaml.Node, location: tuple[int | str, ...]) -> int:
    """The line (from 1) of the deepest node of a location that the file has."""
    node, line = root, root.start_mark.line
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == part), None)
            if found is None:
                continue
            line, node = found[0].start_mark.line, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
    return int(line) + 1
