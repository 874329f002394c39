#!/usr/bin/env bash
# The gate of CI on speed: instructions and allocations per request. Arguments go to benches/peers/gate.py.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

set_up_build
need_packages python3:python3 openssl:openssl taskset:util-linux valgrind:valgrind
need_openssl_headers
cargo build --profile gate --bin vanne
exec python3 benches/peers/gate.py --vanne "$TARGET/gate/vanne" --out "$TARGET/callgrind" "$@"
