"""Runtimes in a version named by the user: the requirements for pip, and the environment that they run in."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.errors import ScenarioError
from harness.runtimes.locked_environment import LockedEnvironment
from harness.runtimes.row import Runtime, VersionedPackages
from harness.version_names import joined, parts

#: The first releases that run with NumPy 2, by distribution. Older ones were compiled for NumPy 1 without declaring it.
_WITH_NUMPY_2 = {"onnxruntime": (1, 19), "torch": (2, 3)}


@dataclass(frozen=True)
class _Asked:
    distribution: str
    numbers: str

    @property
    def requirement(self) -> str:
        """The requirement for pip: ``1.20`` allows any of its patch releases; without a number, any version."""
        return f"{self.distribution}=={self.numbers}.*" if self.numbers else self.distribution

    @property
    def for_numpy_1(self) -> bool:
        first = _WITH_NUMPY_2.get(self.distribution)
        return (
            bool(self.numbers)
            and first is not None
            and tuple(int(number) for number in self.numbers.split(".")) < first
        )


def in_version(row: Runtime, version: str) -> Runtime:
    """The row of a runtime in a version; its worker runs in an environment of its own.

    Raises ScenarioError where the runtime cannot be asked for in a version, or not in that one.
    """
    if row.versioned is None:
        raise ScenarioError(
            f"{row.name} cannot be asked for in a version", hint=f"it runs in the one installed here: write {row.name}"
        )
    asked = [_Asked(name, numbers) for name, numbers in _distributions(row, row.versioned, version)]
    beside = [*row.versioned.beside, *(["numpy<2"] if any(one.for_numpy_1 for one in asked) else [])]
    name = joined(row.name, version)
    environment = LockedEnvironment(name.replace("/", "-"), (*(one.requirement for one in asked), *beside))
    return replace(row, name=name, environment=environment, install=f"python -m harness prepare {name}")


def _distributions(row: Runtime, versioned: VersionedPackages, version: str) -> list[tuple[str, str]]:
    """The distributions of a runtime and the numbers asked for, in one order, so that one environment has one name."""
    known = dict(versioned.parts)
    example = "+".join(
        f"{short}{numbers}" for (short, _), numbers in zip(versioned.parts, versioned.example, strict=True)
    )
    found = parts(version)
    order = [short for short in known if short in dict(found)]
    if [short for short, _ in found] != order:
        raise ScenarioError(f"'{version}' is no version of {row.name}", hint=f"write it as in {row.name}@{example}")
    return [(distribution, dict(found).get(short, "")) for short, distribution in versioned.parts]
