#!/usr/bin/env bash
# Certificates for trying TLS out: certs/make_dev_certs.rs says which.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

set_up_build
cargo run --quiet --example make_dev_certs
