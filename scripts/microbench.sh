#!/usr/bin/env bash
# Small benches, by criterion: how long a pick, a circuit, a rate limit, the blocklist, an identity, a route, the edits of a head and a config take.
# Arguments: some of pick, breaker, rate_limit, blocklist, identity, route, edits, compile; without any, all.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

set_up_build
[ $# -gt 0 ] || set -- pick breaker rate_limit blocklist identity route edits compile
for name in "$@"; do
  say "$name"
  cargo bench --bench "$name"
done
