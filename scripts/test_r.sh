#!/usr/bin/env bash
# The R package's own tests, in R.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v Rscript >/dev/null; then
  echo "R package: tests skipped, Rscript is not on the path"
  exit 0
fi
if ! Rscript --vanilla -e 'quit(status = !requireNamespace("testthat", quietly = TRUE))' >/dev/null 2>&1; then
  echo "R package: tests skipped, the R package testthat is not installed"
  exit 0
fi
library=$(.venv/bin/python -c 'from harness.runtimes.r_package import library; print(library())')
# A Python for reticulate, made where it is not there yet; without one the tests of onnxruntime are skipped.
python=$(.venv/bin/python -c 'from harness.runtimes.r import interpreter
from harness.runtimes.registry import RUNTIMES, ready
row = RUNTIMES["r/onnxruntime"]
print(interpreter(row).python if ready(row).installed else "")')
R_LIBS="$library" RETICULATE_PYTHON="$python" OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
  Rscript --vanilla -e 'testthat::test_dir("native/r/tests/testthat", package = "plainonnx", load_package = "installed", reporter = "summary", stop_on_failure = TRUE)'
