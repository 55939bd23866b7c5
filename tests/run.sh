#!/usr/bin/env bash
# Runs every test: installs what is missing (apt; root or sudo), builds once, runs the three test projects one after another.
#
#   tests/run.sh                                  everything
#   tests/run.sh --filter FullyQualifiedName~B07  what follows goes to `dotnet test`
#
# GATEWAY_TEST_STRETCH=2 doubles every deadline on a slow machine; INSTALL=no installs nothing.
# The last line is always `N passed, N failed[, N skipped]`; the exit code is 0 only when something ran and nothing failed.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly LIMIT_SECONDS=1140   # of all test runs together
readonly CONFIGURATION=Release
readonly PROJECTS=(Gateway.Tests Gateway.IntegrationTests Gateway.BlackBoxTests)
readonly STARTED=$SECONDS
passed=0 failed=0 skipped=0
notes=()

say() { printf '\n== %s (%d s)\n' "$*" "$((SECONDS - STARTED))"; }

finish() {
  local note line="$passed passed, $failed failed"
  [[ $skipped -gt 0 ]] && line+=", $skipped skipped"
  printf '\n'
  for note in ${notes[@]+"${notes[@]}"}; do printf 'NOTE: %s\n' "$note"; done
  printf 'wall time: %d s\n' "$((SECONDS - STARTED))"
  printf '%s\n' "$line"
  [[ $failed -eq 0 && $passed -gt 0 ]] || exit 1
  exit 0
}

give_up() {
  notes+=("$1")
  failed=$((failed + 1))
  finish
}

as_root() {
  if [[ $(id -u) -eq 0 ]]; then "$@"; else sudo -n "$@"; fi
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >"$work/apt.log" 2>&1
}

# 1. The machine's own programs.
install_programs() {
  local missing=()
  command -v curl >/dev/null || missing+=(curl ca-certificates)
  command -v nc >/dev/null || missing+=(netcat-openbsd)
  command -v ip >/dev/null || missing+=(iproute2)
  command -v ps >/dev/null || missing+=(procps)
  command -v node >/dev/null || missing+=(nodejs)
  command -v npm >/dev/null || missing+=(npm)
  if [[ ${#missing[@]} -gt 0 ]]; then
    say "installing ${missing[*]}"
    as_root apt-get update -q >"$work/apt.log" 2>&1 || true
    apt_install "${missing[@]}" || { tail -5 "$work/apt.log"; give_up "apt cannot install: ${missing[*]}"; }
  fi
}

# 2. Consul: the last Debian that carries it is bullseye. It is added at a priority at which apt takes nothing else from it;
#    the archive's address is the one this machine already uses.
install_consul() {
  command -v consul >/dev/null && return
  say "installing consul"
  local uri
  uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -v security | sort -u | head -1 || true)
  if [[ -n $uri && -r /usr/share/keyrings/debian-archive-keyring.gpg ]]; then
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s bullseye main\n' "$uri" \
      | as_root tee /etc/apt/sources.list.d/gateway-bullseye.list >/dev/null
    printf 'Package: *\nPin: release n=bullseye\nPin-Priority: 50\n' \
      | as_root tee /etc/apt/preferences.d/gateway-bullseye >/dev/null
    as_root apt-get update -q >"$work/apt.log" 2>&1 || true
    apt_install consul || tail -5 "$work/apt.log"
  fi
}

# 3. What the bench suite's short form compares and drives with; without them that one test is skipped.
install_load_tools() {
  local missing=() pair
  for pair in wrk:wrk h2load:nghttp2-client haproxy:haproxy nginx:nginx-light openssl:openssl; do
    PATH=$PATH:/usr/sbin command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  say "installing ${missing[*]}"
  # Only the programs: no server of theirs starts here.
  as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 timeout 60 apt-get install -y --no-install-recommends "${missing[@]}" >"$work/apt.log" 2>&1 \
    || notes+=("apt cannot install ${missing[*]}: THE BENCH SUITE'S SHORT FORM WAS SKIPPED")
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
results=$PWD/artifacts/test-results   # kept for whoever wants to look; git ignores it
rm -rf "$results"

if [[ ${INSTALL:-yes} == yes ]]; then
  install_programs
  install_consul || true
  install_load_tools || true
fi
command -v consul >/dev/null || notes+=("consul is not to be had here: EVERY TEST THAT NEEDS A REAL CONSUL WAS SKIPPED")
command -v dotnet >/dev/null || give_up "the .NET 10 SDK is missing: install dotnet-sdk-10.0 and run this again"
command -v node >/dev/null || give_up "node is missing: install nodejs and run this again"

# 4. The fixtures' packages, exactly as locked; no package's own scripts run.
if [[ ! -e tests/fixtures/node_modules/.package-lock.json || tests/fixtures/package-lock.json -nt tests/fixtures/node_modules/.package-lock.json ]]; then
  say "npm ci in tests/fixtures"
  if ! (cd tests/fixtures && npm ci --ignore-scripts --no-audit --no-fund >"$work/npm.log" 2>&1); then
    tail -5 "$work/npm.log"
    notes+=("npm ci failed: THE TESTS OF WEBSOCKETS AND GRPC WERE SKIPPED")
  fi
fi

# 5. One build. No compiler or build server stays behind.
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 MSBUILDDISABLENODEREUSE=1 DOTNET_CLI_USE_MSBUILD_SERVER=0
say "building ($CONFIGURATION)"
if ! dotnet build Gateway.sln -c "$CONFIGURATION" --nologo -v q -p:UseSharedCompilation=false >"$work/build.log" 2>&1; then
  grep -E 'error|warning' "$work/build.log" | sort -u | head -40 || tail -40 "$work/build.log"
  give_up "the build failed"
fi

# 6. The tests. What counts is in the result files; a project that dies without one counts as a failure.
count() { grep -o '<UnitTestResult [^>]*' "$1" | grep -c "outcome=\"$2\"" || true; }
for project in "${PROJECTS[@]}"; do
  left=$((LIMIT_SECONDS - (SECONDS - STARTED)))
  [[ $left -gt 0 ]] || give_up "out of time before $project"
  say "$project"
  code=0
  timeout --kill-after=20 "$left" dotnet test "tests/$project" -c "$CONFIGURATION" --no-build --nologo \
    --results-directory "$results" --logger "trx;LogFileName=$project.trx" --logger "console;verbosity=minimal" "$@" || code=$?
  if [[ -s $results/$project.trx ]]; then
    p=$(count "$results/$project.trx" Passed) f=$(count "$results/$project.trx" Failed) s=$(count "$results/$project.trx" NotExecuted)
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    if [[ $code -ne 0 && $f -eq 0 ]]; then
      failed=$((failed + 1))
      notes+=("$project ended with exit code $code although no test of it failed")
    fi
  elif [[ $code -ne 0 ]]; then
    failed=$((failed + 1))
    notes+=("$project left no results (exit code $code$([[ $code -eq 124 ]] && printf ', out of time'))")
  fi
done
[[ $((passed + failed)) -gt 0 ]] || notes+=("nothing ran")
finish
