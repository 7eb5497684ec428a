"""Which files of tests run in one process, and in which order: what takes long begins first, so that no core ends up alone."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import pytest

#: Files that share workers or a run for the length of a session: in two processes both would start them.
TOGETHER = {
    "workers": (
        "tests/conformance/test_worker_contract.py",
        "tests/conformance/test_worker_models.py",
        "tests/conformance/test_worker_samples.py",
        "tests/conformance/test_worker_predictions.py",
        "tests/conformance/test_worker_timing.py",
        "tests/conformance/test_worker_integers.py",
        "tests/conformance/test_worker_training_mode.py",
        "tests/conformance/test_classical_models.py",
    ),
    "finished": ("tests/integration/test_run.py", "tests/integration/test_stac_item.py"),
    "whole": ("tests/integration/test_store_in_runs.py", "tests/integration/test_shared_store.py"),
}

#: Files that take more than a quarter of a minute, the longest first; the others follow in the order in which they are found.
LONG = (
    *TOGETHER["workers"],
    "tests/integration/test_small_models.py",
    "tests/unit/workers/test_worker_keras.py",
    "tests/integration/test_compare_from.py",
    *TOGETHER["whole"],
    "tests/integration/test_planted_graph_faults.py",
    "tests/integration/test_clean_networks.py",
    "tests/integration/test_planted_faults.py",
    "tests/unit/workers/test_written_models.py",
    "tests/integration/test_bad_input.py",
    "tests/unit/report/test_report_build.py",
    "tests/integration/test_compare_samples.py",
    "tests/unit/workers/test_worker_keras_convlstm.py",
    *TOGETHER["finished"],
    "tests/unit/workers/test_worker_serve.py",
    "tests/unit/workers/test_small_models.py",
    "tests/unit/workers/test_native_convlstm.py",
    "tests/integration/test_timing.py",
    "tests/integration/test_several_sources.py",
    "tests/integration/test_port.py",
    "tests/integration/test_compare_decisions.py",
    "tests/unit/pipeline/test_keys.py",
    "tests/integration/test_planted_keras_faults.py",
    "tests/integration/test_forecast.py",
    "tests/integration/test_additions.py",
)

_PLACES = {path: place for place, path in enumerate(LONG)}
_GROUPS = {path: name for name, paths in TOGETHER.items() for path in paths}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long files first where two processes share the tests; alone, the order makes no difference."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _PLACES.get(item.nodeid.partition("::")[0], len(_PLACES)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``--dist loadfile``: file by file in the order of the tests, and files of a group as if they were one."""
    if config.option.dist != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Grouped(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = super()._split_scope(nodeid)
            return _GROUPS.get(path, path)

    # It would put files with many tests first, which are the quickest here.
    config.option.loadscopereorder = False
    return Grouped(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse names of files that are not there: they would be ordered by nobody."""
    missing = [path for path in (*LONG, *_GROUPS) if not (config.rootpath / PurePath(path)).is_file()]
    if missing:
        raise pytest.UsageError(f"tests/conftest.py names files that do not exist: {', '.join(missing)}")
