# Julia for julia/base; sourced by setup.sh, whose functions it uses. Debian 12 has no Julia, Debian 11 (bullseye) has
# Julia 1.5, which runs there as well. Nothing of it is ever an error: without Julia its cells are 'unavailable'.

julia_source=/etc/apt/sources.list.d/eo-interop-harness-bullseye.sources
julia_pin=/etc/apt/preferences.d/eo-interop-harness-bullseye

# Whether the Julia on the path is new enough and works, by the harness' own judgement.
julia_serves() { .venv/bin/python -c 'from harness.runtimes.julia_installation import find; raise SystemExit(find()[1] != "")'; }

# Where this machine has its Debian from, however its sources are written: apt itself is asked.
debian_mirror() {
  apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    awk '$1 == "Debian" && $2 == "Debian" { print $3; exit }'
}

# Bullseye as a source that nothing is taken from of its own accord; only for as long as this script runs: it may leave
# the mirrors any day, and a source that cannot be read breaks every later update.
add_bullseye() {
  local mirror=$1 keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  as_root tee "$julia_source" >/dev/null <<EOF || return 1
Types: deb
URIs: $mirror
Suites: bullseye
Components: main
$([ -e "$keyring" ] && echo "Signed-By: $keyring")
EOF
  as_root tee "$julia_pin" >/dev/null <<'EOF' || return 1
Package: *
Pin: release n=bullseye
Pin-Priority: 50
EOF
  as_root apt-get update -qq -o Dir::Etc::sourcelist="$julia_source" -o Dir::Etc::sourceparts=- \
    -o APT::Get::List-Cleanup=0 -o APT::Update::Error-Mode=any >/dev/null 2>&1
}

remove_bullseye() {
  [ ! -e "$julia_source" ] && [ ! -e "$julia_pin" ] || as_root rm -f "$julia_source" "$julia_pin"
}

# Debian 11's Julia wants Debian 11's unwinder: with a newer one it crashes at its first error. It is put among the
# libraries that are Julia's alone and that it looks for first; the system keeps its own.
mend_unwinder() {
  local private scratch
  private=$(dpkg -L libjulia1 2>/dev/null | grep -m1 '/julia/sys\.so$') && private=${private%/sys.so} || return 1
  scratch=$(mktemp -d) || return 1
  (cd "$scratch" && apt-get download -qq libunwind8/bullseye && dpkg-deb -x libunwind8_*.deb .) >/dev/null 2>&1 &&
    as_root find "$scratch" -name 'libunwind.so.8*' -exec cp -P {} "$private/" \;
  rm -rf "$scratch"
  julia_serves
}

julia_from_bullseye() {
  command -v apt-get >/dev/null || return 1
  # What apt knows of its mirrors it knows from its lists.
  [ -n "$(debian_mirror)" ] || as_root apt-get update -qq >/dev/null 2>&1 || true
  local mirror
  mirror=$(debian_mirror)
  [ -n "$mirror" ] || return 1
  add_bullseye "$mirror" || return 1
  if ! command -v julia >/dev/null; then
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends julia >/dev/null 2>&1 ||
      return 1
  fi
  julia_serves || mend_unwinder
}

if julia_serves; then
  say "Julia is there ($(julia --version))"
else
  say "no Julia that serves is here; trying Julia 1.5 of Debian 11 (bullseye), as a source of low priority"
  trap remove_bullseye EXIT
  if julia_from_bullseye; then
    say "$(julia --version) is installed; a newer one of https://julialang.org/downloads/ is preferred where it comes first on the path"
  else
    say "Julia could not be installed; cells of julia/base will be 'unavailable'. To have them: https://julialang.org/downloads/"
  fi
  remove_bullseye
  trap - EXIT
fi
