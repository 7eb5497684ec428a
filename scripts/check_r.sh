#!/usr/bin/env bash
# R CMD check --as-cran of the R package, without the network. Fails on an error, a warning, and on any note but that of suggested
# packages that are not installed here. Without pandoc, knitr and rmarkdown the vignette is not built (its code runs in a test of
# its own), without pdflatex no manual.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v R >/dev/null; then
  echo "R package: check skipped, R is not on the path"
  exit 0
fi
package=$PWD/native/r
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
# An empty list of packages in place of that of CRAN, which R would fetch.
mkdir -p cran/web/packages cran/src/contrib
touch cran/src/contrib/PACKAGES
Rscript --vanilla -e 'saveRDS(data.frame(Package = character(), Maintainer = character()), "cran/web/packages/packages.rds")'
printf 'options(repos = c(CRAN = "file://%s/cran"))\n' "$scratch" > profile
export R_PROFILE_USER="$scratch/profile" R_CRAN_WEB="file://$scratch/cran"
export _R_CHECK_CRAN_INCOMING_=false _R_CHECK_CRAN_INCOMING_REMOTE_=false _R_CHECK_SYSTEM_CLOCK_=0
export _R_CHECK_XREFS_USE_ALIASES_FROM_CRAN_=false _R_CHECK_FORCE_SUGGESTS_=false
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
build=() check=(--as-cran)
if ! Rscript -e 'quit(status = !(requireNamespace("rmarkdown", quietly = TRUE) && rmarkdown::pandoc_available()))' >/dev/null 2>&1; then
  build+=(--no-build-vignettes)
  check+=(--ignore-vignettes)
fi
command -v pdflatex >/dev/null || check+=(--no-manual)
echo "R CMD build ${build[*]}, R CMD check ${check[*]}"
R CMD build "${build[@]}" "$package" > build.log 2>&1 || { cat build.log; exit 1; }
R CMD check "${check[@]}" plainonnx_*.tar.gz > check.log 2>&1 || true
grep -E '\.\.\. .*(ERROR|WARNING|NOTE)$' -A 6 check.log || true
grep -q '^Status:' check.log || { tail -20 check.log; exit 1; }
grep '^Status:' check.log
# What is suggested and not installed here is the one note that stays.
unexpected=$(awk '/^Status:/ { next } /^\* checking / { title = $0 } /(ERROR|WARNING|NOTE)$/ { print title }' check.log | grep -v 'checking package dependencies' || true)
if [ -n "$unexpected" ] || grep -qE '^Status: .*(ERROR|WARNING)' check.log; then
  [ -f plainonnx.Rcheck/tests/testthat.Rout.fail ] && tail -40 plainonnx.Rcheck/tests/testthat.Rout.fail
  exit 1
fi
