#!/usr/bin/env bash
# What does Gateway cost beside HAProxy, nginx and stock YARP, on this machine, now?
#
#   bench/run.sh                        every load, 7 rounds of 3 s (about an hour)
#   bench/run.sh http1-c64 tcp tls      these; a name stands for all that begin with it (tcp: tcp-small, tcp-bulk)
#   bench/run.sh --short                every load for a second, all at once: fails on functional errors, never on speed
#   bench/run.sh --list                 the loads, each with what it measures
#   bench/run.sh --readme               writes the newest figures into README.md, measures nothing
#   bench/run.sh --help                 all switches
#
# Method: nginx servers, Gateway (each engine that is really built), HAProxy, nginx and stock YARP on loopback with equal features.
# Within a round the targets take turns, in another order each round. CPU is the growth of utime + stime of the target's own
# processes over its turn, divided by what the client completed; only the ratio to HAProxy within one round means anything, and
# what is reported is the median of the ratios with the lowest and the highest. Results are dated files in bench/results.
#
# Needs node, the .NET SDK, nginx, haproxy, wrk, h2load (nghttp2-client), openssl, curl; `live` and `apply` need consul too.
# Exit code: 0, 1 functional errors, 2 something missing or a bad argument. Leaves nothing running.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PATH=$PATH:/usr/sbin:/sbin
command -v node >/dev/null || { echo "node is missing" >&2; exit 2; }
ulimit -n "$(ulimit -H -n)"
exec node bench/suite/main.js "$@"
