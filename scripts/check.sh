#!/usr/bin/env bash
# The gate: form, spelling, dependencies, lints, docs, generated files in step. Quick checks first.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/tools.sh

set_up_build
set_up_check_tools

say "fmt"
cargo fmt --all --check
say "typos"
typos
say "shellcheck"
shellcheck -x scripts/*.sh tests/kube/*.sh .ci/run
if command -v gofmt >/dev/null; then
  say "gofmt"
  unformed=$(gofmt -l tests)
  [ -z "$unformed" ] || die "not as gofmt has it: $unformed"
fi
say "deny: bans, licenses, sources"
cargo deny --locked check bans licenses sources
say "clippy"
cargo clippy --workspace --all-targets -- -D warnings
say "doc"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
say "generated files in step"
cargo test --test generated
