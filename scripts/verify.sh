#!/usr/bin/env bash
# The long things, each for a bounded time: simulation with many seeds, fuzz targets, soak, foreign tools.
#   SEEDS=2000         seeds of the simulation
#   FUZZ_SECONDS=60    for each fuzz target
#   PLAYS=100000       conversations through both engines beside each other
#   SOAK_SECONDS=1800  of mixed load with reloads
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/tools.sh

set_up_build
need_go
say "simulation, ${SEEDS:=2000} seeds"
SEEDS=$SEEDS cargo test --release --test sim --test pool_sim

cargo +nightly --version >/dev/null 2>&1 ||
  die "fuzzing needs a nightly toolchain: rustup toolchain install nightly --profile minimal"
need_packages c++:g++
need_crate cargo-fuzz "$CARGO_FUZZ"
export PATH
need_packages python3:python3
python3 tests/fuzz/seeds.py
targets=$(cargo fuzz list --fuzz-dir tests/fuzz)
for target in $targets; do
  say "fuzz $target, ${FUZZ_SECONDS:=60} s"
  cargo +nightly fuzz run --fuzz-dir tests/fuzz "$target" -- -max_total_time="$FUZZ_SECONDS"
done

say "both engines beside each other, ${PLAYS:=100000} conversations"
SEEDS=$PLAYS cargo test --release --test wire -- both_engines

bash scripts/release.sh
need_packages openssl:openssl python3:python3
need_openssl_headers
# The scripts of tests/load/ with both engines, since no feature lives in one alone.
under_load() {
  local script lane
  for script in "$@"; do
    for lane in lean pingora; do
      python3 "tests/load/$script.py" --vanne "$TARGET/dist/vanne" --lane "$lane"
    done
  done
}

say "SIGTERM, reloads and certificates under load; delay of server-sent events"
under_load drain certificates reload sse_delay
say "counters beside the generator's; scrapes"
need_packages h2load:nghttp2-client
under_load counters
say "the access log into a slow pipe"
under_load slow_log
say "pools: balance, queues, retries, stickiness, splits, circuits; faults beside HAProxy, nginx and Envoy"
need_packages haproxy:haproxy nginx:nginx
need_envoy
under_load balance overload retry_storm sticky split trips
for script in faults breaker_peers; do
  python3 "tests/load/$script.py" --vanne "$TARGET/dist/vanne"
done
say "limits and blocks across replicas, limits while Redis is in trouble, others while passwords are hashed"
need_packages redis-server:redis-server
python3 tests/load/redis_faults.py --vanne "$TARGET/dist/vanne"
under_load blocks passwords
say "the wire corpus beside HAProxy and nginx"
python3 tests/load/wire_peers.py --vanne "$TARGET/dist/vanne" --lanes lean,pingora
say "clients that misbehave: floods of frames, slow ones, pipelines; connections over workers"
need_packages slowhttptest:slowhttptest
under_load h2_floods slow_clients pipelining worker_balance
say "soak, ${SOAK_SECONDS:=1800} s"
python3 tests/load/soak.py --vanne "$TARGET/dist/vanne" --seconds "$SOAK_SECONDS"

say "foreign tools: HTTP/2, gRPC, fairness of streams, TLS"
VANNE=$TARGET/dist/vanne bash scripts/conformance.sh

if [ -n "${VANNE_CRS_DIR:-}" ]; then
  say "the firewall beside other engines and proxies"
  VANNE=$TARGET/dist/vanne bash scripts/waf.sh
else
  say "VANNE_CRS_DIR is not set: the firewall is not held against other engines"
fi
