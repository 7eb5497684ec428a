"""Names that end in a version: ``python/onnxruntime@1.20``, ``torch-script@2.8``, ``keras-tensorflow@keras3.10+tf2.19``."""

from __future__ import annotations

import re

from harness.errors import ScenarioError

#: One package of a version: a short name, left out where there is one package only, and the numbers that are fixed.
_PART = re.compile(r"([a-z]*)((?:0|[1-9][0-9]{0,5})(?:\.(?:0|[1-9][0-9]{0,5})){0,3})")


def split(name: str) -> tuple[str, str]:
    """A name without its version, and the version, which is empty where there is none."""
    base, _, version = name.partition("@")
    return base, version


def joined(base: str, version: str) -> str:
    """The name that :func:`split` takes apart."""
    return f"{base}@{version}" if version else base


def parts(version: str) -> list[tuple[str, str]]:
    """Short names of packages and the numbers asked for: ``keras3.10+tf2.19`` is (keras, 3.10) and (tf, 2.19).

    Raises ScenarioError on anything else.
    """
    found = []
    for text in version.split("+"):
        match = _PART.fullmatch(text)
        if match is None:
            raise ScenarioError(
                f"{_shown(version)} is no version",
                hint="write numbers such as 1.20, or one for each package such as keras3.10+tf2.19",
            )
        found.append((match[1], match[2]))
    return found


def _shown(text: str) -> str:
    short = text if len(text) <= 60 else text[:60] + "..."
    return repr(short)


def sort_key(version: str) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Orders versions by their numbers: 1.9 before 1.10. Raises ScenarioError as :func:`parts` does."""
    return tuple((name, tuple(int(number) for number in numbers.split("."))) for name, numbers in parts(version))
