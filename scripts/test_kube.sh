#!/usr/bin/env bash
# Pools that follow a real Kubernetes control plane: tests/kube/README.md. Root, for a network namespace.
# Arguments: some of latency, rolling, scale, outage, faults; without any, all.
#   VANNE=PATH   a binary that is there already; else a release one is built
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/tools.sh

ALL="latency rolling scale outage faults"
# shellcheck disable=SC2086 # a list of words
[ $# -gt 0 ] || set -- $ALL
for name in "$@"; do
  case " $ALL " in
  *" $name "*) ;;
  *) die "there is no \`$name\`: choose from $ALL" ;;
  esac
done
[ "$(id -u)" -eq 0 ] || die "make test-kube needs root: it makes a network namespace"

need_packages python3:python3 openssl:openssl ip:iproute2 haproxy:haproxy
folder=$(bash scripts/kube_tools.sh kube)
export PATH=$folder:$PATH
if [ -z "${VANNE:-}" ]; then
  set_up_build
  cargo build --release
  VANNE=$TARGET/release/vanne
fi
summary=() failed=()
for name in "$@"; do
  say "$name"
  began=$SECONDS result=met
  python3 "tests/kube/$name.py" --vanne "$VANNE" || { result="not met" && failed+=("$name"); }
  summary+=("$(printf '%-8s %4d s  %s' "$name" $((SECONDS - began)) "$result")")
done
say "in all"
printf '%s\n' "${summary[@]}"
[ ${#failed[@]} -eq 0 ] || die "not met: ${failed[*]}"
