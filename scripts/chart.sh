#!/usr/bin/env bash
# The chart and the compose file, without a cluster: tests/kube/chart.py says what is looked at.
#   VANNE=PATH   a binary that is there already; else one is built, without optimisation
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

need_packages python3:python3 promtool:prometheus
if [ -z "${VANNE:-}" ]; then
  set_up_build
  cargo build
  VANNE=$TARGET/debug/vanne
fi
python3 tests/kube/chart.py --vanne "$VANNE"
