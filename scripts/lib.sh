# shellcheck shell=bash
# What the scripts share: messages, and set-up of a fresh Debian or Ubuntu. Sourced, never run.
# Set-up installs system packages (as root) and pinned tools in a cache; it never installs Rust.
# shellcheck disable=SC2034 # the variables are for those that source this

# The oldest Rust that builds the workspace: `rust-version` in Cargo.toml.
RUST_MIN=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
TOOLS=${VANNE_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/vanne-tools}
TARGET=${CARGO_TARGET_DIR:-target}

say() { printf '==> %s\n' "$*"; }
die() {
  printf 'vanne: %s\n' "$*" >&2
  exit 1
}

# True when version $1 is at least version $2.
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

# Version of the Rust that a plain `cargo` would use here; empty when there is none.
rust_version() { { cargo --version 2>/dev/null || :; } | sed -n 's/^cargo \([0-9.]*\).*/\1/p'; }

# rustup may hold the pinned toolchain under the name `stable` only, and may not be allowed to fetch it again.
settle_rust() {
  local stable
  # Not silent this once: rustup may fetch the toolchain now, which takes a while, or say why it cannot.
  if command -v cargo >/dev/null && cargo --version >/dev/null; then return 0; fi
  stable=$(RUSTUP_TOOLCHAIN=stable rust_version)
  if [ -n "$stable" ] && at_least "$stable" "$RUST_MIN"; then export RUSTUP_TOOLCHAIN=stable; fi
}

# Rust, a C compiler and make are the user's: ask for all that is missing, in one line.
ask_for_compilers() {
  local missing=() version line
  settle_rust
  version=$(rust_version)
  if [ -z "$version" ]; then
    missing+=("Rust $RUST_MIN or newer (rustup, see rust-lang.org/tools/install)")
  elif ! at_least "$version" "$RUST_MIN"; then
    missing+=("Rust $RUST_MIN or newer (here is $version)")
  fi
  command -v cc >/dev/null || missing+=("a C compiler (package gcc)")
  command -v make >/dev/null || missing+=("make (package make)")
  [ ${#missing[@]} -eq 0 ] && return 0
  printf -v line '; %s' "${missing[@]}"
  die "please install first:${line#;}"
}

# need_packages COMMAND:PACKAGE…: installs the package of each command that is not there.
need_packages() {
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
  done
  [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}

install_packages() {
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    die "please install: $* (Debian, Ubuntu: sudo apt-get install -y $*)"
  fi
  say "installing $*"
  apt_install "$@" || { apt-get update -q && apt_install "$@"; } || die "apt-get could not install: $*"
}

apt_install() { DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" </dev/null; }

# gcc without the C library's headers compiles nothing; Debian only recommends them.
need_c_headers() {
  printf '#include <stdio.h>\nint main(void) { return 0; }\n' | cc -x c -o /dev/null - 2>/dev/null ||
    install_packages libc6-dev
}

# The client of the measurements speaks TLS by OpenSSL.
need_openssl_headers() {
  printf '#include <openssl/ssl.h>\nint main(void) { return 0; }\n' | cc -x c -o /dev/null - 2>/dev/null ||
    install_packages libssl-dev
}

# All that `cargo build` needs.
set_up_build() {
  ask_for_compilers
  need_packages cmake:cmake
  need_c_headers
}
