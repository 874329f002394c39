#!/usr/bin/env bash
# Every test of the workspace, and those of the real binary once more with Pingora's engine. Arguments go to
# `cargo test`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

set_up_build
# Limits across replicas are tested with a real one.
need_packages redis-server:redis-server
cargo test --workspace "$@"
say "the same by Pingora's engine"
VANNE_LANE=pingora cargo test --test it "$@"
