#!/usr/bin/env bash
# Every test of the workspace. Arguments go to `cargo test`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

set_up_build
cargo test --workspace "$@"
