#!/usr/bin/env bash
# Do memory, descriptors, threads and timers stay flat while the catalog changes all the time?
#
#   bench/churn/run.sh                         one hour, one change a second, light load, a real Consul
#   bench/churn/run.sh 60                      as many seconds
#   RATE=20 SOURCE=embedded SAMPLE=1 bench/churn/run.sh 60
#
# Method: twenty services come, move their ports, change protocol, settings and instances, and go, in turn, while two others serve
# HTTP on kept and new connections and a TCP relay; churn.js counts every failed request and samples the process. Compared are the
# median of the first quarter and that of the last, and what is left when the churn is over and its services are gone.
# RATE: changes a second. SOURCE: consul (an agent of our own) or embedded. SAMPLE: seconds between samples. OUT: where results go.
#
# Needs node, the .NET SDK, and consul for SOURCE=consul. Ends by itself and leaves nothing running. Exit 1: not flat, or failures.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly LENGTH=${1:-3600} RATE=${RATE:-1} SOURCE=${SOURCE:-consul} OUT=${OUT:-bench/results}
readonly SAMPLE=${SAMPLE:-$((LENGTH >= 600 ? 10 : 1))}
readonly INVOCATION="RATE=$RATE SOURCE=$SOURCE SAMPLE=$SAMPLE bench/churn/run.sh $LENGTH"
readonly LIMIT=$((LENGTH + 400))
[[ $SOURCE == consul || $SOURCE == embedded ]] || { echo "SOURCE is consul or embedded" >&2; exit 2; }
for program in curl node dotnet $([[ $SOURCE == consul ]] && echo consul); do
  command -v "$program" >/dev/null || { echo "$program is missing" >&2; exit 2; }
done

work=$(mktemp -d /tmp/gwb-XXXXXX)
pids=()
stop_all() {
  local pid
  for pid in ${pids[@]+"${pids[@]}"}; do kill "$pid" 2>/dev/null || true; done
  [[ -z ${instance:-} ]] || kill -INT "$instance" 2>/dev/null || true   # on SIGTERM it only fails its health check
  for pid in ${pids[@]+"${pids[@]}"}; do
    for _ in {1..40}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap stop_all EXIT
trap 'exit 130' INT TERM
( trap 'exit 0' TERM; for ((i = 0; i < LIMIT; i++)); do sleep 1; done; kill -TERM $$ ) & pids+=($!)

# 1. Ports that nobody has; Gateway's listeners need P and 1P, and no two the same.
declare -A given
free() { [[ -z ${given[$1]:-} ]] && ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
pick() {   # NAME FROM TO
  local number
  while :; do
    number=$((RANDOM % ($3 - $2) + $2))
    if free "$number" && { [[ $number -gt 9999 ]] || free "1$number"; }; then given[$number]=1; printf -v "$1" %s "$number"; return; fi
  done
}
pick admin 20000 22000; pick catalog 22000 24000; pick raft 24000 25000; pick serf 25000 26000
pick http 2000 9000; pick tcp 2000 9000; pick server 26000 28000; pick echo 28000 30000
churned=()
for _ in {1..40}; do pick port 2000 9000; churned+=("$port"); done

# 2. The instances, the catalog.
LIFETIME=$LIMIT ID=steady PORT=$server TCP_PORT=$echo node tests/fixtures/test-server/server.js >"$work/server.log" 2>&1 & instance=$!; pids+=("$instance")
if [[ $SOURCE == consul ]]; then
  cat >"$work/agent.json" <<C
{ "server": true, "bootstrap_expect": 1, "node_name": "churn", "data_dir": "$work/consul", "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1",
  "disable_update_check": true, "performance": { "raft_multiplier": 1 },
  "ports": { "http": $catalog, "server": $raft, "serf_lan": $serf, "serf_wan": -1, "dns": -1, "grpc": -1 } }
C
  consul agent -config-file "$work/agent.json" -log-level warn >"$work/consul.log" 2>&1 & pids+=($!)
  for _ in {1..150}; do curl -s -m 2 "http://127.0.0.1:$catalog/v1/status/leader" | grep -q : && break; sleep 0.2; done
  source="consul: { address: \"http://127.0.0.1:$catalog\" }"
else
  source="embedded: { listen: \"127.0.0.1:$catalog\" }"
fi

# 3. Gateway, Release.
dotnet build src/Gateway.Cli -c Release --nologo -v q -p:RunAnalyzers=false -p:UseSharedCompilation=false -nodeReuse:false >"$work/build.log" 2>&1 \
  || { tail -20 "$work/build.log" >&2; exit 1; }
cat >"$work/gateway.yaml" <<C
catalog: { $source, portGrace: 1s }
stateDirectory: $work/state
admin: { listen: "127.0.0.1:$admin" }
internal: { addresses: [127.0.0.1] }
log: { access: off }
drain: { grace: 0s, idle: 0s, timeout: 1s }
C
src/Gateway.Cli/bin/Release/net10.0/gateway run --config "$work/gateway.yaml" >"$work/gateway.log" 2>&1 & gateway=$!; pids+=("$gateway")
for _ in {1..150}; do
  [[ $(curl -s -o /dev/null -m 2 -w '%{http_code}' "http://127.0.0.1:$admin/readyz") == 200 ]] && ready=yes && break
  sleep 0.2
done
[[ ${ready:-} ]] || { echo "gateway is not ready" >&2; tail -n 5 "$work"/*.log >&2; exit 1; }

# 4. Churn, load, samples, report.
commit=$(git rev-parse --short HEAD)
git diff --quiet HEAD -- src || commit+=" with changes in src"
env MACHINE="$(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo), $(nproc) CPUs, Linux $(uname -r)" \
VERSIONS=".NET SDK $(dotnet --version), node $(node --version)$([[ $SOURCE == consul ]] && consul version | head -1 | sed 's/^/, /')" \
COMMIT="$commit" COMMAND="$INVOCATION" PID=$gateway LENGTH=$LENGTH RATE=$RATE SAMPLE=$SAMPLE SOURCE=$SOURCE OUT=$OUT \
ADMIN=$admin CATALOG=$catalog HTTP=$http TCP=$tcp SERVER=$server ECHO=$echo CHURNED="${churned[*]}" node bench/churn/churn.js
