#!/usr/bin/env bash
# The Julia package's own tests, in Julia; with the argument "flux" those of its extension for Flux, which take minutes, with
# "onnxruntime" those of the one for ONNXRunTime.jl.
set -euo pipefail
cd "$(dirname "$0")/.."
tests=runtests.jl environment="" wanted="()"
case "${1:-}" in
  flux) tests=flux/runtests.jl environment="@v#.#:" wanted="('Flux',)" ;;
  onnxruntime) tests=onnxruntime/runtests.jl environment="@v#.#:" wanted="('ONNXRunTime',)" ;;
esac
reason=$(.venv/bin/python -c "from harness.runtimes.julia_installation import find_packages; print(find_packages($wanted)[1])")
if [ -n "$reason" ]; then
  echo "Julia package: tests of ${1:-the package} skipped, $reason"
  exit 0
fi
compiled=$(.venv/bin/python -c 'from harness.files.cache import cache_folder; print(cache_folder() / "julia-tests")')
JULIA_LOAD_PATH="$PWD/native/julia:${environment}@stdlib" JULIA_DEPOT_PATH="$compiled:" JULIA_PKG_OFFLINE=true \
  JULIA_NUM_THREADS=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
  julia --startup-file=no "native/julia/test/$tests"
