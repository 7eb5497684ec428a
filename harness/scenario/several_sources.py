"""A scenario with several frameworks: each trains its own source, with its own results."""

from __future__ import annotations

from typing import Any

from harness.runtimes import registry
from harness.scenario.sections import Scenario


def one_per_framework(scenario: Scenario) -> list[Scenario]:
    """One scenario for every framework, with the routes that convert its models and the targets that can read them."""
    parts = []
    for framework in scenario.source.all_frameworks:
        routes = [route for route in scenario.routes if route.converts(framework)]
        formats = {route.writes for route in routes}
        changed: dict[str, Any] = {
            "title": f"{scenario.title} (source: {framework})",
            "source": scenario.source.model_copy(update={"framework": framework, "frameworks": []}),
            "routes": routes,
            "targets": [name for name in scenario.targets if formats & set(registry.runtime(name).reads)],
        }
        parts.append(scenario.model_copy(update=changed))
    return parts
