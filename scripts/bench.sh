#!/usr/bin/env bash
# CPU per request beside HAProxy. Arguments go to benches/peers/run.py; with --instructions it counts instead of timing.
# After --handshakes they go to handshakes.py: CPU per TLS handshake, beside HAProxy and nginx.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/tools.sh

set_up_build
need_packages python3:python3 haproxy:haproxy openssl:openssl wrk:wrk taskset:util-linux
if [ "${1:-}" = --handshakes ]; then
  shift
  need_packages nginx:nginx-light
  need_go
  cargo build --release
  exec python3 benches/peers/handshakes.py --vanne "$TARGET/release/vanne" "$@"
fi
case " $* " in *nginx*) need_packages nginx:nginx-light ;; esac
case " $* " in *h1-tls* | *h2*) need_packages h2load:nghttp2-client ;; esac
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
