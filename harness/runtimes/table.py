"""Every runtime the harness knows, as rows of one table, with the frameworks that train models.

Workers read it at their start: it imports nothing but the standard library.
"""

from __future__ import annotations

from harness.runtimes.locked_environment import LockedEnvironment
from harness.runtimes.row import Framework, Runtime, VersionedPackages

_DEBIAN_R = "apt-get install r-base-core r-cran-jsonlite libopenblas0"

_ONNXRUNTIME_FUSES = (
    "The values of inner tensors come from a session of onnxruntime in which they are outputs too, which keeps the operators "
    "around them from being fused; a fault of a fusion alone shows in the outputs and not here."
)

RUNTIMES: dict[str, Runtime] = {
    row.name: row
    for row in (
        Runtime(
            "python/pytorch",
            host="python",
            worker="harness.workers.pytorch.engine",
            packages=("torch",),
            reads=("safetensors",),
            install="pip install torch onnx onnxscript",
            framework=Framework("pytorch", "PyTorch", native="pytorch", mlm=("PyTorch", "torch")),
            oracle=True,
            versioned=VersionedPackages((("", "torch"),), ("2.8",), ("numpy", "pydantic", "onnx", "onnxscript")),
        ),
        Runtime(
            "python/keras-tensorflow",
            host="python",
            worker="harness.workers.keras.on_tensorflow",
            packages=("keras", "tensorflow"),
            reads=("safetensors", "keras"),
            oracle_of=("keras",),
            install="pip install keras tensorflow tf2onnx onnx",
            framework=Framework("keras-tensorflow", "Keras on TensorFlow", native="keras", mlm=("Keras", "keras")),
            versioned=VersionedPackages(
                (("keras", "keras"), ("tf", "tensorflow-cpu")),
                ("3.10", "2.19"),
                ("numpy", "pydantic", "onnx", "tf2onnx"),
            ),
        ),
        Runtime(
            "python/keras-torch",
            host="python",
            worker="harness.workers.keras.on_torch",
            packages=("keras", "torch"),
            reads=("safetensors", "keras"),
            oracle_of=("keras",),
            install="pip install keras torch onnx onnxscript",
            framework=Framework("keras-torch", "Keras on PyTorch", native="keras", mlm=("Keras", "keras")),
            versioned=VersionedPackages(
                (("keras", "keras"), ("torch", "torch")), ("3.10", "2.8"), ("numpy", "pydantic", "onnx", "onnxscript")
            ),
        ),
        Runtime(
            "python/keras-jax",
            host="python",
            worker="harness.workers.keras.on_jax",
            packages=("keras", "jax"),
            reads=("safetensors", "keras"),
            oracle_of=("keras",),
            install="python -m harness prepare python/keras-jax",
            framework=Framework("keras-jax", "Keras on JAX", native="keras", mlm=("Keras", "keras")),
            # Most of it is what jax2onnx asks for, by which Keras exports on JAX; nobody else should have to install it.
            environment=LockedEnvironment(
                "python-keras-jax", ("keras==3.15.*", "jax==0.10.*", "jax2onnx==0.17.*", "numpy", "pydantic", "onnx")
            ),
        ),
        Runtime(
            "python/tensorflow",
            host="python",
            worker="harness.workers.keras.saved_model",
            packages=("tensorflow",),
            reads=("savedmodel",),
            install="pip install tensorflow",
            oracle_of=("savedmodel",),
        ),
        Runtime(
            "python/onnxruntime",
            host="python",
            worker="harness.workers.onnx.onnxruntime_engine",
            packages=("onnxruntime", "onnx"),
            reads=("onnx",),
            install="pip install onnxruntime onnx",
            versioned=VersionedPackages((("", "onnxruntime"),), ("1.20",), ("numpy", "onnx")),
            inner_values_note=_ONNXRUNTIME_FUSES,
        ),
        Runtime(
            "python/onnx-reference",
            host="python",
            worker="harness.workers.onnx.reference",
            packages=("onnx", "scipy"),
            reads=("onnx",),
            install="pip install onnx scipy",
            oracle=True,
            versioned=VersionedPackages((("", "onnx"),), ("1.17",), ("numpy", "scipy")),
        ),
        Runtime(
            "python/onnx2tf",
            host="python",
            worker="harness.workers.onnx.onnx2tf_engine",
            packages=("onnx2tf", "tensorflow", "onnx"),
            reads=("onnx",),
            install="python -m harness prepare python/onnx2tf",
            # It pins NumPy 1, protobuf 4 and a TensorFlow of its own.
            environment=LockedEnvironment("python-onnx2tf", ("onnx2tf==1.29.*",)),
        ),
        Runtime(
            "python/onnx2torch",
            host="python",
            worker="harness.workers.onnx.onnx2torch_engine",
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
            inner_values_note=_ONNXRUNTIME_FUSES,
        ),
        Runtime(
            "julia/base",
            host="julia",
            packages=(),
            reads=("onnx",),
            install="make setup, or the download of https://julialang.org/downloads/",
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
            inner_values_note=_ONNXRUNTIME_FUSES,
        ),
    )
}


def frameworks() -> dict[str, Framework]:
    """The frameworks that train models, by name, in the order of their runtimes."""
    return {row.framework.name: row.framework for row in RUNTIMES.values() if row.framework is not None}


def importing_frameworks() -> tuple[str, ...]:
    """The names of the frameworks that run weights given as a file."""
    return tuple(name for name, framework in frameworks().items() if framework.imports_weights)
