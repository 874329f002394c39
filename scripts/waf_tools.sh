#!/usr/bin/env bash
# The engines beside which the WAF is tested and measured: Coraza (tests/waf/oracle, built from Go's module proxy) and
# libmodsecurity (Debian's), into the cache of scripts/tools.sh unless they are there. Prints their folder for a PATH; all
# else goes to stderr. Arguments: some of oracle, modsecurity; without any, both.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/tools.sh

# A change of the sources makes another folder.
sum=$(cat tests/waf/oracle/*.c tests/waf/oracle/*.go tests/waf/oracle/go.* | sha256sum | cut -c 1-8)
dir=$TOOLS/waf-$sum

build_oracle() {
  need_go
  say "building Coraza's oracle"
  (cd tests/waf/oracle && CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$dir/oracle.part" .) ||
    die "could not build tests/waf/oracle with go"
}

build_modsecurity() {
  need_c_headers
  printf '#include <modsecurity/modsecurity.h>\nint main(void) { return 0; }\n' | cc -x c -o /dev/null - 2>/dev/null ||
    install_packages libmodsecurity-dev
  say "building libmodsecurity's program"
  cc -std=gnu11 -O2 -Wall -Wextra -Werror -o "$dir/modsecurity.part" tests/waf/oracle/modsecurity.c -lmodsecurity ||
    die "could not build tests/waf/oracle/modsecurity.c"
}

[ $# -gt 0 ] || set -- oracle modsecurity
mkdir -p "$dir"
# Only the folder goes to stdout.
exec 3>&1 >&2
python3 -c 'import yaml' 2>/dev/null || install_packages python3-yaml
for name in "$@"; do
  case "$name" in
  oracle | modsecurity)
    if [ ! -x "$dir/$name" ]; then
      "build_$name"
      mv "$dir/$name.part" "$dir/$name"
    fi
    ;;
  *) die "there is no \`$name\`: choose from oracle, modsecurity" ;;
  esac
done
echo "$dir" >&3
