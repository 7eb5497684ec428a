#!/usr/bin/env bash
# The Julia package's own tests, in Julia; with the argument "flux" those of its extension for Flux, which take minutes, with
# "onnxruntime" those of the one for ONNXRunTime.jl, with "quality" what Aqua, JET and Documenter say of the package.
set -euo pipefail
cd "$(dirname "$0")/.."
tests=runtests.jl environment="" wanted="()"
case "${1:-}" in
  flux) tests=flux/runtests.jl environment="@v#.#:" wanted="('Flux',)" ;;
  quality) tests=quality/runtests.jl environment="@v#.#:" ;;
  onnxruntime) tests=onnxruntime/runtests.jl environment="@v#.#:" wanted="('ONNXRunTime',)" ;;
esac
reason=$(.venv/bin/python -c "from harness.runtimes.julia_installation import find_packages; print(find_packages($wanted)[1])")
if [ -n "$reason" ]; then
  echo "Julia package: tests of ${1:-the package} skipped, $reason"
  exit 0
fi
# The copy that workers run, with what is compiled of it: compiling another takes a minute.
found=$(.venv/bin/python -c "from harness.runtimes.julia_package import package; print(*package($wanted), sep='\n')")
mapfile -t folders <<< "$found"
# Nearly all of the time is compilation, of which -O0 does least.
JULIA_LOAD_PATH="${folders[0]}:${environment}@stdlib" JULIA_DEPOT_PATH="${folders[1]}:" JULIA_PKG_OFFLINE=true \
  JULIA_NUM_THREADS=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
  julia --startup-file=no -O0 "native/julia/test/$tests"
