#!/usr/bin/env bash
# Three demo backends and the proxy in one process; prints the lines to try and runs until Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

set_up_build
say "building (the first time takes some minutes)"
cargo build --release
exec "$TARGET/release/vanne" demo "$@"
