#!/usr/bin/env bash
# The Julia package's own tests, in Julia.
set -euo pipefail
cd "$(dirname "$0")/.."
reason=$(.venv/bin/python -c 'from harness.runtimes import julia; print(julia.find()[1])')
if [ -n "$reason" ]; then
  echo "Julia package: tests skipped, $reason"
  exit 0
fi
compiled=$(.venv/bin/python -c 'from harness.runtimes.cache import cache_folder; print(cache_folder() / "julia-tests")')
JULIA_LOAD_PATH="$PWD/native/julia:@stdlib" JULIA_DEPOT_PATH="$compiled:" JULIA_PKG_OFFLINE=true JULIA_NUM_THREADS=1 \
  OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 julia --startup-file=no native/julia/test/runtests.jl
