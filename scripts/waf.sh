#!/usr/bin/env bash
# The web application firewall beside other engines and other proxies, with the Core Rule Set of VANNE_CRS_DIR.
# Arguments: some of rules, http, proxies, speed, differential; without any, all. tests/waf/README.md says what each is.
#   VANNE=PATH             a binary that is there already; else one is built
#   REQUESTS=200000        that `differential` makes
#   LANES="lean pingora"   engines of `http`
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/tools.sh

ALL="rules http proxies speed differential"
# shellcheck disable=SC2086 # a list of words
[ $# -gt 0 ] || set -- $ALL
for name in "$@"; do
  case " $ALL " in
  *" $name "*) ;;
  *) die "there is no \`$name\`: choose from $ALL" ;;
  esac
done
[ -d "${VANNE_CRS_DIR:-}/rules" ] || die "VANNE_CRS_DIR is not set: the folder of the Core Rule Set 4.25.0, with its tests"
VANNE_CRS_DIR=$(realpath "$VANNE_CRS_DIR")
export VANNE_CRS_DIR

set_up_build
PATH=$(bash scripts/waf_tools.sh):$PATH
export PATH
if [ -z "${VANNE:-}" ]; then
  cargo build --release
  VANNE=$TARGET/release/vanne
fi
cargo build --release -p vanne-filters --example waf_lines
engine=$TARGET/release/examples/waf_lines

failed=()
# met NAME COMMAND…: notes what is not met, and goes on.
met() {
  local name=$1
  shift
  say "$name"
  "$@" || failed+=("$name")
}

for name in "$@"; do
  case "$name" in
  rules)
    met "tests of our own rules" python3 tests/waf/rule_tests.py --ours "$engine"
    met "what our own rules refuse" python3 tests/waf/own_rules.py --ours "$engine"
    met "decisions beside Coraza and libmodsecurity" python3 tests/waf/consensus.py --ours "$engine"
    ;;
  http)
    for lane in ${LANES:-lean pingora}; do
      met "tests of the Core Rule Set over HTTP ($lane)" python3 tests/waf/through_proxy.py --vanne "$VANNE" --lane "$lane"
    done
    ;;
  proxies)
    need_packages wrk:wrk taskset:util-linux
    need_modsecurity_module
    met "beside nginx with ModSecurity" python3 tests/waf/proxy_peers.py --vanne "$VANNE"
    ;;
  speed)
    met "CPU of a transaction" python3 tests/waf/speed.py --ours "$engine"
    met "the rules themselves" python3 tests/waf/speed.py --ours "$engine" --load
    met "hostile bodies" python3 tests/waf/speed.py --ours "$engine" --worst
    met "text that never comes twice" python3 tests/waf/varied.py --ours "$engine"
    ;;
  differential)
    met "random requests beside Coraza" python3 tests/waf/differential.py --ours "$engine" --count "${REQUESTS:-200000}"
    ;;
  esac
done
[ ${#failed[@]} -eq 0 ] || {
  printf -v list '; %s' "${failed[@]}"
  die "not met: ${list#; }"
}
