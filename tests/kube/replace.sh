#!/usr/bin/env bash
# Writes go.mod for a version of Kubernetes: `tests/kube/replace.sh 1.36.3`, then `go mod tidy` there. Kubernetes names
# its own modules as v0.0.0, so each of them needs a `replace` line with the version that belongs to it.
set -euo pipefail
cd "$(dirname "$0")"
version=${1:?a version of Kubernetes, such as 1.36.3}

go mod edit -require "k8s.io/kubernetes@v$version"
go mod download "k8s.io/kubernetes@v$version"
kubernetes=$(go env GOMODCACHE)/cache/download/k8s.io/kubernetes/@v/v$version.mod
sed -n 's/^\s*\(k8s\.io\/[a-z-]*\) v0\.0\.0$/\1/p' "$kubernetes" | while read -r module; do
  go mod edit -replace "$module=$module@v${version/#1./0.}"
done
