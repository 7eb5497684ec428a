"""Environments that workers run in: made once, named by the hash of what they are made from, never half made."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.errors import WorkerError
from harness.files.native import native_folder
from harness.runtimes import julia, reticulate
from harness.runtimes.cache import cache_folder
from harness.runtimes.registry import host_of, python_of
from harness.runtimes.row import Runtime


def source_hash(folder: Path, suffixes: tuple[str, ...] = ()) -> str:
    """SHA-256 over the relative paths and contents of the files below a folder, tests and caches left out."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if not path.is_file() or relative.parts[0] in ("tests", "test") or "__pycache__" in relative.parts:
            continue
        if suffixes and path.suffix not in suffixes:
            continue
        digest.update(f"{relative.as_posix()}\0".encode())
        digest.update(path.read_bytes())
        digest.update(b"\0")
    return digest.hexdigest()


def r_library() -> Path:
    """The library folder that holds the R package of ``native/r``, installed first where it is not there yet.

    Raises WorkerError with the last lines of ``R CMD INSTALL`` where that fails.
    """
    package = native_folder() / "r"
    rscript = shutil.which("Rscript")
    if rscript is None:
        raise WorkerError("Rscript is not on the path", hint="install R, or leave r/... out of the targets")
    identity = f"{source_hash(package)} {Path(rscript).resolve()} {_r_version(rscript)}"
    library = cache_folder() / f"r-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    if library.is_dir():
        return library
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent, prefix="making-r-") as scratch:
        # Built from a copy: R CMD INSTALL must not write into the user's checkout.
        source = Path(scratch) / "source"
        shutil.copytree(package, source, ignore=shutil.ignore_patterns("tests", "*.Rcheck", "*.tar.gz"))
        made = Path(scratch) / "library"
        made.mkdir()
        done = subprocess.run(
            [
                str(Path(rscript).with_name("R")),
                "CMD",
                "INSTALL",
                "--no-docs",
                "--no-test-load",
                f"--library={made}",
                str(source),
            ],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            tail = (done.stdout + done.stderr).splitlines()[-12:]
            raise WorkerError(
                f"the R package could not be installed (R CMD INSTALL ended with {done.returncode})",
                where=str(package),
                hint="the worker's log has its last lines",
                log_tail=tail,
            )
        try:
            made.rename(library)
        except OSError:
            # Another process made the same library meanwhile: theirs is as good.
            if not library.is_dir():
                raise
    return library


def _r_version(rscript: str) -> str:
    done = subprocess.run([rscript, "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return (done.stdout + done.stderr).strip()


def julia_package(extended: tuple[str, ...] = ()) -> tuple[Path, Path]:
    """The Julia package of ``native/julia`` and the depot of what Julia compiled of it, see :func:`julia.package`."""
    return julia.package(source_hash(native_folder() / "julia"), extended)


def interpreter(row: Runtime) -> str:
    """The Python that hosts a runtime's worker: that of its environment, where Python hosts it and there is one."""
    return sys.executable if row.language != "python" or row.environment is None else str(row.environment.python)


def command(row: Runtime) -> list[str]:
    """The command that starts a runtime's worker."""
    host = host_of(row)
    if host == "python" and row.environment is not None:
        # -P: what lies in the current folder is not the environment's.
        return [interpreter(row), "-P", "-m", "harness.workers.serve", row.base]
    if host == "python":
        return [interpreter(row), "-m", "harness.workers.serve", row.name]
    if host == "rpy2":
        return [sys.executable, "-m", "harness.workers.rpy2_host", row.name]
    if host == "julia":
        return julia.command(f'{julia.loading(row.packages)}; PlainONNX.serve("{row.engine}")')
    if host == "juliacall":
        return [sys.executable, "-m", "harness.workers.juliacall_host", row.name, *row.packages]
    return [shutil.which("Rscript") or "Rscript", "--vanilla", "-e", f"plainonnx::serve('{row.engine}')"]


def package_alone() -> Path:
    """A folder that holds the harness and nothing else: another Python must not see the packages installed beside it."""
    package = Path(__file__).resolve().parents[1]
    folder = cache_folder() / f"package-{hashlib.sha256(str(package).encode()).hexdigest()[:16]}"
    link = folder / package.name
    if not link.is_symlink():
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            link.symlink_to(package, target_is_directory=True)
    return folder


#: Variables by which thread pools take their size; every one is set, since a library may read any of them.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "JULIA_NUM_THREADS",
    "HARNESS_THREADS",
)


def environment(row: Runtime, threads: int) -> dict[str, str]:
    """The environment variables of a runtime's worker: pinned threads, quiet libraries, and its library path."""
    variables = dict(os.environ)
    variables |= {name: str(threads) for name in THREAD_VARIABLES}
    # Spinning barriers make small models a hundred times slower on a busy machine.
    variables |= {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}
    # Hash randomisation and user start-up files must not decide what a worker computes.
    variables |= {"PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1", "PYTHONNOUSERSITE": "1"}
    # Where the models lie that are written by hand, for weights alone.
    variables["HARNESS_NATIVE"] = str(native_folder())
    host = host_of(row)
    if host == "python" and row.environment is not None:
        variables = reticulate.without_search_paths(variables) | {"PYTHONPATH": str(package_alone())}
    elif host in ("python", "rpy2", "juliacall"):
        package = str(Path(__file__).resolve().parents[2])
        inherited = variables.get("PYTHONPATH")
        variables["PYTHONPATH"] = os.pathsep.join([package, inherited] if inherited else [package])
    if row.language == "r":
        variables |= {"R_LIBS": str(r_library()), "HARNESS_HOST": host}
        # R torch would otherwise load libtorch twice, the first time in a child; and it must never download anything.
        variables |= {"TORCH_VERIFY_LOAD": "FALSE", "TORCH_INSTALL": "0", "RPY2_CFFI_MODE": "API"}
    if (python := python_of(row)) is not None:
        variables = reticulate.without_search_paths(variables) | reticulate.variables(python)
    if row.language == "julia":
        # Where juliacall finds its packages itself, there are none yet to compile beside.
        beside = () if host == "juliacall" and julia.resolves_by_itself() else row.packages
        variables |= julia.variables(*julia_package(beside), row.packages) | {"HARNESS_HOST": host}
    if host == "juliacall":
        variables |= julia.juliacall_variables(threads)
    return variables
