#!/usr/bin/env bash
# Foreign tools judge the release binary: HTTP/2 by h2spec, gRPC by its own cases, fairness of streams, TLS by scanners.
# Arguments: some of h2spec, grpc_interop, h2_fairness, tls_scan; without any, all.
#   VANNE=PATH   a binary that is there already; else one is built
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/tools.sh

LANES=${LANES:-lean pingora}
ALL="h2spec grpc_interop h2_fairness tls_scan"
# shellcheck disable=SC2086 # a list of words
[ $# -gt 0 ] || set -- $ALL
for name in "$@"; do
  case " $ALL " in
  *" $name "*) ;;
  *) die "there is no \`$name\`: choose from $ALL" ;;
  esac
done

set_up_conformance_tools
if [ -z "${VANNE:-}" ]; then
  set_up_build
  cargo build --release
  VANNE=$TARGET/release/vanne
fi
failed=()
for name in "$@"; do
  for lane in $LANES; do
    say "$name, by the engine \`$lane\`"
    python3 "tests/load/$name.py" --vanne "$VANNE" --lane "$lane" || failed+=("$name ($lane)")
  done
done
[ ${#failed[@]} -eq 0 ] || die "not met: ${failed[*]}"
