"""Every runtime the harness knows, as rows of one table, and whether each is installed here."""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path

from harness.errors import ScenarioError
from harness.runtimes import julia, python, r
from harness.runtimes.locked_environment import LockedEnvironment, Tell
from harness.runtimes.row import Availability, Host, Pinned, Runtime
from harness.runtimes.versioned import in_version
from harness.version_names import split

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
            pinned=Pinned((("", "torch"),), ("2.8",), ("numpy", "pydantic", "onnx", "onnxscript")),
        ),
        Runtime(
            "python/keras-tensorflow",
            host="python",
            packages=("keras", "tensorflow"),
            reads=("safetensors", "keras"),
            oracle_of=("keras",),
            install="pip install keras tensorflow tf2onnx onnx",
            framework="keras-tensorflow",
            pinned=Pinned(
                (("keras", "keras"), ("tf", "tensorflow-cpu")),
                ("3.10", "2.19"),
                ("numpy", "pydantic", "onnx", "tf2onnx"),
            ),
        ),
        Runtime(
            "python/keras-torch",
            host="python",
            packages=("keras", "torch"),
            reads=("safetensors", "keras"),
            oracle_of=("keras",),
            install="pip install keras torch onnx onnxscript",
            framework="keras-torch",
            pinned=Pinned(
                (("keras", "keras"), ("torch", "torch")), ("3.10", "2.8"), ("numpy", "pydantic", "onnx", "onnxscript")
            ),
        ),
        Runtime(
            "python/keras-jax",
            host="python",
            packages=("keras", "jax"),
            reads=("safetensors", "keras"),
            oracle_of=("keras",),
            install="python -m harness prepare python/keras-jax",
            framework="keras-jax",
            # Most of it is what jax2onnx asks for, by which Keras exports on JAX; nobody else should have to install it.
            environment=LockedEnvironment(
                "python-keras-jax", ("keras==3.15.*", "jax==0.10.*", "jax2onnx==0.17.*", "numpy", "pydantic", "onnx")
            ),
        ),
        Runtime(
            "python/tensorflow",
            host="python",
            packages=("tensorflow",),
            reads=("savedmodel",),
            install="pip install tensorflow",
            oracle_of=("savedmodel",),
        ),
        Runtime(
            "python/onnxruntime",
            host="python",
            packages=("onnxruntime", "onnx"),
            reads=("onnx",),
            install="pip install onnxruntime onnx",
            pinned=Pinned((("", "onnxruntime"),), ("1.20",), ("numpy", "onnx")),
        ),
        Runtime(
            "python/onnx-reference",
            host="python",
            packages=("onnx",),
            reads=("onnx",),
            install="pip install onnx",
            oracle=True,
            pinned=Pinned((("", "onnx"),), ("1.17",), ("numpy",)),
        ),
        Runtime(
            "python/onnx2tf",
            host="python",
            packages=("onnx2tf", "tensorflow", "onnx"),
            reads=("onnx",),
            install="python -m harness prepare python/onnx2tf",
            # It pins NumPy 1, protobuf 4 and a TensorFlow of its own.
            environment=LockedEnvironment("python-onnx2tf", ("onnx2tf==1.29.*",)),
        ),
        Runtime(
            "python/onnx2torch",
            host="python",
            packages=("onnx2torch", "torch", "onnx"),
            reads=("onnx",),
            install="pip install torch onnx, and: pip install --no-deps onnx2torch",
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
            reads=("onnx", "safetensors"),
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
            reads=("onnx", "safetensors"),
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
    """The runtime of that name, which may end in a version: ``python/onnxruntime@1.20``.

    Raises ScenarioError with the nearest name where there is none, and on a version that the runtime does not take.
    """
    base, version = split(name)
    if base in RUNTIMES:
        return _in_version(base, version) if "@" in name else RUNTIMES[base]
    near = difflib.get_close_matches(base, RUNTIMES, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(RUNTIMES)}"
    raise ScenarioError(f"there is no runtime '{base}'", hint=hint)


@cache
def _in_version(base: str, version: str) -> Runtime:
    return in_version(RUNTIMES[base], version)


def framework_runtime(framework: str) -> Runtime:
    """The runtime that trains with a framework, in the version that its name may end in. Raises ScenarioError."""
    base, version = split(framework)
    for row in RUNTIMES.values():
        if row.framework == base:
            return runtime(f"{row.name}@{version}" if "@" in framework else row.name)
    known = ", ".join(row.framework for row in RUNTIMES.values() if row.framework)
    raise ScenarioError(f"there is no framework '{base}'", hint=f"choose one of {known}")


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
    if row.language == "python":
        return row.environment is not None and not row.environment.made
    return r.lacks_environment(row)


def ready(row: Runtime, tell: Tell = lambda text: None) -> Availability:
    """As :func:`availability`, after making the environment that a runtime runs in where it is not there yet.

    ``tell`` hears what is being done while it is made.
    """
    if row.environment is not None and lacks_environment(row):
        row.environment.try_to_make(tell)
    return availability(row)


def python_of(row: Runtime) -> Path | None:
    """The Python that R calls in a runtime, or None where it calls none."""
    found = r.interpreter(row)
    return None if found is None else found.python
