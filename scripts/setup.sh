#!/usr/bin/env bash
# Set up what the harness needs: a virtual environment from the lock, R and Julia from Debian.
# Says what it does, skips what is there. Without R or Julia everything else still works.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
say() { printf 'setup: %s\n' "$*"; }

# Runs a command as root: directly, or through sudo where that needs no password or a terminal can ask for one.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"
  elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then sudo "$@"
  else return 1
  fi
}

debian_install() {
  command -v apt-get >/dev/null || return 1
  say "installing $* with apt-get"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq || return 1
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

python_is_recent() { "$1" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null; }

if ! python_is_recent "$PYTHON"; then
  say "'$PYTHON' is not Python 3.11 or newer; name one with: make PYTHON=python3.11 ..." >&2
  exit 2
fi

# --- Python ---------------------------------------------------------------------------------------------------------
if [ ! -x .venv/bin/python ]; then
  # On Debian venv needs ensurepip, which is a package of its own.
  if ! "$PYTHON" -c 'import ensurepip' 2>/dev/null; then
    debian_install python3-venv || {
      say "Python's venv is missing; install it with: apt-get install python3-venv" >&2
      exit 2
    }
  fi
  say "making the virtual environment .venv"
  "$PYTHON" -m venv --clear .venv
fi

stamp=.venv/lock.sha256
wanted=$(cat requirements.lock pyproject.toml | sha256sum | cut -d' ' -f1)
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
  say "installing the Python packages of requirements.lock"
  # torch is named in the call itself: a bare dependency on it would take the newest build there is.
  .venv/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 -r requirements.lock
  # It asks for torchvision, which does not load beside every build of torch and which its runtime does without.
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps onnx2torch==1.5.15 ||
    say "onnx2torch could not be installed; python/onnx2torch will be 'unavailable'"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
  printf '%s\n' "$wanted" > "$stamp"
  if .venv/bin/python -m pip list 2>/dev/null | grep -qi '^nvidia-'; then
    say "warning: CUDA packages came with torch (several GB). For the CPU build set PIP_EXTRA_INDEX_URL to an index that has it."
  fi
else
  say "Python packages are there"
fi

# --- R --------------------------------------------------------------------------------------------------------------
r_packages="r-base-core r-base-dev r-cran-jsonlite r-cran-testthat libopenblas0"
if command -v Rscript >/dev/null && Rscript --vanilla -e 'quit(status = !all(nzchar(sapply(c("jsonlite", "testthat"), function(p) system.file(package = p)))))'; then
  say "R is there"
elif debian_install $r_packages; then
  say "R is installed"
else
  say "R is not here and could not be installed; its cells will be 'unavailable'. To have them: apt-get install $r_packages"
fi

# --- reticulate: Python called from R, for r/onnxruntime -----------------------------------------------------------
if ! command -v Rscript >/dev/null; then
  say "reticulate is left out, as there is no R"
elif Rscript --vanilla -e 'quit(status = !nzchar(system.file(package = "reticulate")))'; then
  say "reticulate is there"
elif debian_install r-cran-reticulate; then
  say "reticulate is installed"
else
  say "reticulate could not be installed; r/onnxruntime will be 'unavailable'. To have it: apt-get install r-cran-reticulate"
fi

# --- rpy2: R inside a Python process, a host of r/torch; Rscript is the other -------------------------------
if .venv/bin/python -c 'import importlib.util; raise SystemExit(importlib.util.find_spec("rpy2") is None)'; then
  say "rpy2 is there"
elif ! command -v R >/dev/null; then
  say "rpy2 is left out, as there is no R"
elif { .venv/bin/python -c 'import pathlib, sysconfig
raise SystemExit(not pathlib.Path(sysconfig.get_paths()["include"], "Python.h").exists())' || debian_install python3-dev; } &&
  RPY2_CFFI_MODE=API .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    torch==2.13.0 rpy2-rinterface==3.6.5 rpy2-robjects==3.6.6 >/dev/null 2>&1; then
  say "rpy2 is installed"
else
  say "rpy2 could not be installed (it is compiled, and wants r-base-dev and python3-dev); r/torch will be hosted by Rscript"
fi

# --- Julia ----------------------------------------------------------------------------------------------------------
. scripts/setup_julia.sh

# --- juliacall: Julia inside a Python process, a host of julia/flux; a plain julia is the other ---------------------
# It has to be of the version of the Julia package PythonCall, where that is installed.
pythoncall=$(.venv/bin/python -c 'from harness.runtimes.julia_installation import packages; print(packages().versions.get("PythonCall", ""))')
if [ -z "$pythoncall" ]; then
  say "juliacall is left out, as the Julia package PythonCall is not installed; julia/flux would be hosted by a plain julia"
elif .venv/bin/python -c "import importlib.metadata as m; raise SystemExit(m.version('juliacall') != '$pythoncall')" 2>/dev/null; then
  say "juliacall is there"
elif .venv/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 "juliacall==$pythoncall" >/dev/null 2>&1; then
  say "juliacall is installed"
else
  say "juliacall $pythoncall could not be installed; julia/flux will be hosted by a plain julia"
fi
