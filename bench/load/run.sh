#!/usr/bin/env bash
# How much CPU does a request cost through Gateway, and through HAProxy, on this machine, now?
#
#   bench/load/run.sh                          HTTP and TCP request/response and a TCP bulk stream, 6 rounds of 3 s each
#   ROUNDS=5 SECONDS_EACH=2 WARM=8 CONNECTIONS=64 ONLY="http tcp" bench/load/run.sh
#
# Method (reference: performance study, section 0): nginx backends, Gateway and HAProxy on loopback with equal features (round
# robin over two servers, health checks every 10 s, X-Forwarded-For appended, timeouts, no access log). wrk drives them in
# turn, the order reversed every other round; CPU is the growth of utime + stime of the balancer's own process over a run,
# divided by the requests that wrk completed. Only the ratio within one round means anything; the figure is the median ratio.
#
# Needs curl, nginx, haproxy, wrk, node and the .NET SDK. Ends by itself within LIMIT seconds and leaves nothing running.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly ROUNDS=${ROUNDS:-6} EACH=${SECONDS_EACH:-3} WARM=${WARM:-10} CONNECTIONS=${CONNECTIONS:-64}
readonly ONLY=${ONLY:-http tcp bulk} LIMIT=${LIMIT:-600} OUT=${OUT:-bench/results}
readonly INVOCATION="ROUNDS=$ROUNDS SECONDS_EACH=$EACH WARM=$WARM CONNECTIONS=$CONNECTIONS ONLY=\"$ONLY\" bench/load/run.sh"

for program in curl nginx haproxy wrk node dotnet; do
  PATH=$PATH:/usr/sbin command -v "$program" >/dev/null || { echo "$program is missing" >&2; exit 2; }
done
PATH=$PATH:/usr/sbin

work=$(mktemp -d /tmp/gwb-XXXXXX)
pids=()
stop_all() {
  local pid
  for pid in ${pids[@]+"${pids[@]}"}; do kill "$pid" 2>/dev/null || true; done
  for pid in ${pids[@]+"${pids[@]}"}; do
    for _ in {1..40}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap stop_all EXIT
trap 'exit 130' INT TERM
( trap 'exit 0' TERM; for ((i = 0; i < LIMIT; i++)); do sleep 1; done; kill -TERM $$ ) & pids+=($!)

# 1. Ports that nobody has: five-digit ones below the ephemeral range; Gateway's listeners need P and 1P.
free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
pick() {
  local port
  while :; do
    port=$((RANDOM % ($2 - $1) + $1))
    if free "$port" && { [[ $port -gt 9999 ]] || free "1$port"; }; then echo "$port"; return; fi
  done
}
back1=$(pick 20000 24000) back2=$(pick 24001 28000)
gw_http=$(pick 2000 5000) gw_tcp=$(pick 5001 9000) gw_admin=$(pick 28001 29000)
ha_http=$(pick 29001 30000) ha_tcp=$(pick 30001 31000)

# 2. The backends: one nginx, two addresses.
mkdir "$work/www"
head -c 24 /dev/zero | tr '\0' 'x' >"$work/www/small"
truncate -s 1G "$work/www/gib"
chmod -R a+rX "$work"
cat >"$work/nginx.conf" <<C
$([[ $(id -u) -eq 0 ]] && echo 'user root;')
daemon off; worker_processes 2; pid $work/nginx.pid; error_log stderr error;
events { worker_connections 4096; }
http {
  access_log off; keepalive_timeout 600; keepalive_requests 1000000000; sendfile on;
  client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3; uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
  server {
    listen 127.0.0.1:$back1 backlog=4096; listen 127.0.0.1:$back2 backlog=4096; root $work/www;
    location = /healthcheck { return 200 "OK"; }
    location = /small { return 200 "xxxxxxxxxxxxxxxxxxxxxxxx"; }
  }
}
C
nginx -e stderr -c "$work/nginx.conf" 2>"$work/nginx.log" & pids+=($!)

# 3. HAProxy.
cat >"$work/haproxy.cfg" <<C
global
  maxconn 4000
defaults
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-request 10s
  timeout tunnel 1h
  balance roundrobin
  retries 3
  option redispatch
listen http
  mode http
  bind 127.0.0.1:$ha_http backlog 4096
  option forwardfor
  option httpchk GET /healthcheck
  server a 127.0.0.1:$back1 check inter 10s fall 1 rise 1
  server b 127.0.0.1:$back2 check inter 10s fall 1 rise 1
listen tcp
  mode tcp
  bind 127.0.0.1:$ha_tcp backlog 4096
  server a 127.0.0.1:$back1 check inter 10s fall 1 rise 1
  server b 127.0.0.1:$back2 check inter 10s fall 1 rise 1
C
haproxy -db -f "$work/haproxy.cfg" >"$work/haproxy.log" 2>&1 & haproxy_pid=$!; pids+=("$haproxy_pid")

# 4. Gateway, Release.
dotnet build src/Gateway.Cli -c Release --nologo -v q -p:RunAnalyzers=false -p:UseSharedCompilation=false -nodeReuse:false >"$work/build.log" 2>&1 \
  || { tail -20 "$work/build.log" >&2; exit 1; }
cat >"$work/gateway.yaml" <<C
catalog: { files: [catalog.yaml] }
stateDirectory: $work/state
admin: { listen: "127.0.0.1:$gw_admin" }
internal: { addresses: [127.0.0.1] }
log: { access: off }
drain: { grace: 0s, idle: 0s, timeout: 1s }
C
cat >"$work/catalog.yaml" <<C
services:
  - { Name: web, ID: web-1, Address: 127.0.0.1, Port: $back1, Tags: [production, internal-listen-http-$gw_http] }
  - { Name: web, ID: web-2, Address: 127.0.0.1, Port: $back2, Tags: [production, internal-listen-http-$gw_http] }
  - { Name: raw, ID: raw-1, Address: 127.0.0.1, Port: $back1, Tags: [production, internal-listen-tcp-$gw_tcp] }
  - { Name: raw, ID: raw-2, Address: 127.0.0.1, Port: $back2, Tags: [production, internal-listen-tcp-$gw_tcp] }
C
src/Gateway.Cli/bin/Release/net10.0/gateway run --config "$work/gateway.yaml" >"$work/gateway.log" 2>&1 & gateway_pid=$!; pids+=("$gateway_pid")

declare -A port=([gateway-http]=$gw_http [gateway-tcp]=$gw_tcp [haproxy-http]=$ha_http [haproxy-tcp]=$ha_tcp)
declare -A pid=([gateway]=$gateway_pid [haproxy]=$haproxy_pid)
for target in "${!port[@]}"; do
  for _ in {1..150}; do
    [[ $(curl -s -o /dev/null -m 2 -w '%{http_code}' "http://127.0.0.1:${port[$target]}/small") == 200 ]] && continue 2
    sleep 0.2
  done
  echo "$target does not answer" >&2; tail -n 5 "$work"/*.log >&2; exit 1
done

# 5. The measurement.
ticks=$(getconf CLK_TCK)
cpu() { local stat; stat=$(<"/proc/$1/stat"); stat=${stat##*) }; set -- $stat; echo $((${12} + ${13})); }
memory() { awk '/^RssAnon:/ { print $2 }' "/proc/$1/status"; }
: >"$work/rounds.tsv"

requests() {   # KIND PROXY ROUND SECONDS
  local before after done errors
  before=$(cpu "${pid[$2]}")
  wrk -t 1 -c "$CONNECTIONS" -d "${4}s" "http://127.0.0.1:${port[$2-$1]}/small" >"$work/wrk.out"
  after=$(cpu "${pid[$2]}")
  done=$(awk '/requests in/ { print $1 }' "$work/wrk.out")
  errors=$(awk '/Socket errors/ { gsub(",", ""); n += $4 + $6 + $8 + $10 } /Non-2xx/ { n += $NF } END { print n + 0 }' "$work/wrk.out")
  printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$(((after - before) * 1000000 / ticks))" "$done" "$errors" "$4" >>"$work/rounds.tsv"
}

bulk() {   # PROXY ROUND: one GiB, read as fast as curl can
  local before after got from to
  from=$(memory "${pid[$1]}") before=$(cpu "${pid[$1]}")
  got=$(curl -s -m 60 -o /dev/null -w '%{size_download}' "http://127.0.0.1:${port[$1-tcp]}/gib" || true)
  after=$(cpu "${pid[$1]}") to=$(memory "${pid[$1]}")
  printf 'bulk\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$(((after - before) * 1000000 / ticks))" "$got" "$([[ $got == 1073741824 ]] && echo 0 || echo 1)" "$((to - from))" >>"$work/rounds.tsv"
}

for kind in $ONLY; do
  echo "warming up: $kind"
  if [[ $kind == bulk ]]; then bulk gateway 0; bulk haproxy 0; continue; fi
  requests "$kind" gateway 0 "$WARM"
  requests "$kind" haproxy 0 2
done
for ((round = 1; round <= ROUNDS; round++)); do
  order=(gateway haproxy)
  if ((round % 2 == 0)); then order=(haproxy gateway); fi
  for kind in $ONLY; do
    for proxy in "${order[@]}"; do
      if [[ $kind == bulk ]]; then bulk "$proxy" "$round"; else requests "$kind" "$proxy" "$round" "$EACH"; fi
    done
  done
  echo "round $round of $ROUNDS"
done

# 6. The report.
commit=$(git rev-parse --short HEAD)
git diff --quiet HEAD -- src || commit+=" with changes in src"
MACHINE="$(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo), $(nproc) CPUs, Linux $(uname -r)" \
VERSIONS=".NET SDK $(dotnet --version), $(haproxy -v | head -1 | awk '{ print "HAProxy " $3 }'), $(nginx -v 2>&1 | sed 's/.*: //'), wrk $(wrk -v 2>&1 | awk 'NR == 1 { print $2 }')" \
LOADAVG="$(cut -d' ' -f1-3 /proc/loadavg)" ENGINE="$(curl -s "http://127.0.0.1:$gw_admin/api/v1/status" | sed -n 's/.*"engine": *"\([^"]*\)".*/\1/p')" \
COMMIT="$commit" COMMAND="$INVOCATION" node bench/load/report.js "$work/rounds.tsv" "$OUT"
