#!/usr/bin/env bash
# Vanne beside HAProxy, nginx and Envoy. Arguments go to benches/peers/run.py, which says what there is.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/tools.sh

set_up_build
set_up_bench_tools
case " $* " in *" --instructions "*) need_packages valgrind:valgrind ;; esac
# VANNE=PATH: a binary that is there already; else the one that is given out is built.
if [ -z "${VANNE:-}" ]; then
  bash scripts/release.sh
  VANNE=$TARGET/dist/vanne
fi
exec python3 benches/peers/run.py --vanne "$VANNE" "$@"
