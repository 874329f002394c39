#!/usr/bin/env bash
# CPU per request beside HAProxy. Arguments go to benches/peers/run.py; with --instructions it counts instead of timing.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

set_up_build
need_packages python3:python3 haproxy:haproxy wrk:wrk taskset:util-linux
case " $* " in
*" --instructions "*)
  need_packages valgrind:valgrind
  # Valgrind counts allocations only of an allocator that it can replace.
  cargo build --release --features system-allocator
  cp "$TARGET/release/vanne" "$TARGET/release/vanne-system-allocator"
  set -- --vanne-system-allocator "$TARGET/release/vanne-system-allocator" "$@"
  ;;
esac
cargo build --release
exec python3 benches/peers/run.py --vanne "$TARGET/release/vanne" "$@"
