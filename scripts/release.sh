#!/usr/bin/env bash
# The binary that is given out, target/dist/vanne: built, watched under load, and built again for what was seen
# (profile-guided optimisation). Half an hour on two cores. Why: src/manual/decisions.md.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/tools.sh

# llvm_profdata: the path of the tool, of the LLVM that rustc has; it reads no other's profiles.
llvm_profdata() {
  local major tool
  major=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
  for tool in "$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata" "llvm-profdata-$major"; do
    if command -v "$tool"; then return 0; fi
  done
  install_packages "llvm-$major" >&2
  command -v "llvm-profdata-$major"
}

# build FLAG FOLDER: for a target, so that build scripts are built without the flag.
build() {
  RUSTFLAGS="${RUSTFLAGS:-} $1" cargo build --release --locked --bin vanne --target "$host" --target-dir "$2"
}

set_up_build
set_up_load_tools
host=$(rustc -vV | sed -n 's/^host: //p')
profdata=$(llvm_profdata)
mkdir -p "$TARGET/dist"
dist=$(realpath "$TARGET/dist")

say "a build that counts what is run"
rm -rf "$dist/counts"
build "-Cprofile-generate=$dist/counts" "$dist/counting"
counting=$dist/counting/$host/release/vanne
say "load: the cases that are measured beside other proxies, connections of all kinds, the firewall"
python3 benches/peers/run.py --vanne "$counting" --proxies vanne --rounds 1 --seconds 1 --idle-connections 0 >"$dist/load.txt"
python3 tests/load/soak.py --vanne "$counting" --seconds 40 --warm-up 5 >>"$dist/load.txt"
python3 tests/waf/training.py --vanne "$counting"
"$profdata" merge -o "$dist/profile" "$dist/counts"
say "the build for what was seen"
build "-Cprofile-use=$dist/profile" "$dist/tuned"
cp "$dist/tuned/$host/release/vanne" "$dist/vanne"
say "$TARGET/dist/vanne"
