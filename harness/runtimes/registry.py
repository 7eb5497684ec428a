"""Every runtime the harness knows, as rows of one table, and whether each is installed here."""

from __future__ import annotations

import difflib
from pathlib import Path

from harness.errors import ScenarioError
from harness.runtimes import julia, python, r
from harness.runtimes.locked_environment import LockedEnvironment
from harness.runtimes.row import Availability, Host, Runtime

_DEBIAN_R = "apt-get install r-base-core r-cran-jsonlite libopenblas0"

RUNTIMES: dict[str, Runtime] = {
    row.name: row
    for row in (
        Runtime(
            "python/pytorch",
            host="python",
            packages=("torch",),
            reads=("safetensors",),
            install="pip install torch onnx onnxscript",
            framework="pytorch",
            oracle=True,
        ),
        Runtime(
            "python/keras-tensorflow",
            host="python",
            packages=("keras", "tensorflow"),
            reads=("safetensors",),
            install="pip install keras tensorflow tf2onnx onnx",
            framework="keras-tensorflow",
        ),
        Runtime(
            "python/keras-torch",
            host="python",
            packages=("keras", "torch"),
            reads=("safetensors",),
            install="pip install keras torch onnx onnxscript",
            framework="keras-torch",
        ),
        Runtime(
            "python/onnxruntime",
            host="python",
            packages=("onnxruntime", "onnx"),
            reads=("onnx",),
            install="pip install onnxruntime onnx",
        ),
        Runtime(
            "python/onnx-reference",
            host="python",
            packages=("onnx",),
            reads=("onnx",),
            install="pip install onnx",
            oracle=True,
        ),
        Runtime(
            "r/base",
            host="rscript",
            packages=("jsonlite",),
            reads=("onnx",),
            install=_DEBIAN_R,
            oracle=True,
        ),
        Runtime(
            "r/torch",
            host="rpy2",
            packages=("jsonlite", "torch"),
            reads=("onnx",),
            install="Rscript -e \"install.packages('torch'); torch::install_torch()\"",
        ),
        Runtime(
            "r/onnxruntime",
            host="rscript",
            packages=("jsonlite", "reticulate"),
            reads=("onnx",),
            install=f"{_DEBIAN_R} r-cran-reticulate",
            environment=LockedEnvironment("r_onnxruntime"),
        ),
        Runtime(
            "julia/base",
            host="julia",
            packages=(),
            reads=("onnx",),
            install=julia.INSTALL,
            oracle=True,
        ),
        Runtime(
            "julia/flux",
            host="juliacall",
            packages=("Flux",),
            reads=("onnx",),
            install="julia -e 'using Pkg; Pkg.add(\"Flux\")'",
        ),
        Runtime(
            "julia/onnxruntime",
            host="julia",
            packages=("ONNXRunTime",),
            reads=("onnx",),
            install="julia -e 'using Pkg; Pkg.add(\"ONNXRunTime\")'",
        ),
    )
}


def runtime(name: str) -> Runtime:
    """The runtime of that name. Raises ScenarioError with the nearest name where there is none."""
    if name in RUNTIMES:
        return RUNTIMES[name]
    near = difflib.get_close_matches(name, RUNTIMES, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(RUNTIMES)}"
    raise ScenarioError(f"there is no runtime '{name}'", hint=hint)


def framework_runtime(framework: str) -> Runtime:
    """The runtime that trains with a framework. Raises ScenarioError where there is none."""
    for row in RUNTIMES.values():
        if row.framework == framework:
            return row
    known = ", ".join(row.framework for row in RUNTIMES.values() if row.framework)
    raise ScenarioError(f"there is no framework '{framework}'", hint=f"choose one of {known}")


def availability(row: Runtime) -> Availability:
    """Whether a runtime's packages are there, found out without importing any of them into this process."""
    if row.language == "r":
        return r.availability(row)
    return julia.availability(row) if row.language == "julia" else python.availability(row)


def host_of(row: Runtime) -> Host:
    """The host that a runtime is started in here.

    A row that says ``rpy2`` is hosted by rpy2 where that works, and by ``Rscript`` otherwise: both run the same R code.
    ``HARNESS_R_HOST`` (``rpy2`` or ``rscript``) asks for one of them; its being broken then costs the runtime.
    In the same way ``HARNESS_JULIA_HOST`` (``juliacall`` or ``julia``) chooses for a row that says ``juliacall``. Raises
    ScenarioError on another value.
    """
    if row.language == "r":
        return r.host_of(row)
    return julia.host_of(row) if row.language == "julia" else row.host


def lacks_environment(row: Runtime) -> bool:
    """Whether a runtime waits for nothing but its environment, which :func:`ready` would make."""
    return r.lacks_environment(row)


def ready(row: Runtime) -> Availability:
    """As :func:`availability`, after making the environment that a runtime runs in where it is not there yet."""
    if row.environment is not None and lacks_environment(row):
        row.environment.try_to_make()
    return availability(row)


def python_of(row: Runtime) -> Path | None:
    """The Python that R calls in a runtime, or None where it calls none."""
    found = r.interpreter(row)
    return None if found is None else found.python
