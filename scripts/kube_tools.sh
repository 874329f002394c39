#!/usr/bin/env bash
# The tools of `make test-kube` and of the chart's tests, built from Go's module proxy into the cache of scripts/tools.sh
# unless they are there. Prints the folders of those asked for, one a line, for a PATH; all else goes to stderr.
# Arguments: some of kube (the control plane and `pod`: tests/kube), helm, kubeconform; without any, all.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/tools.sh

KUBERNETES=$(sed -n 's/^\tk8s\.io\/kubernetes v//p' tests/kube/go.mod)

# A change of the sources makes another folder. The linker tells Kubernetes its own version. On 2 cores: some minutes,
# 2.3 GB of memory, and 2 GB of Go's caches, which may go afterwards.
build_kube() {
  local sum dir minor version=k8s.io/component-base/version
  sum=$(cat tests/kube/go.mod tests/kube/go.sum tests/kube/*.go tests/kube/pod/*.go | sha256sum | cut -c 1-8)
  dir=$TOOLS/kube-$KUBERNETES-$sum
  if [ ! -x "$dir/bin/kube" ]; then
    need_go
    say "building Kubernetes $KUBERNETES"
    rm -rf "$dir" "$dir.part"
    minor=$(cut -d . -f 2 <<<"$KUBERNETES")
    (
      cd tests/kube
      CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$dir.part/" -ldflags "-s -w -X $version.gitVersion=v$KUBERNETES \
        -X $version.gitMajor=1 -X $version.gitMinor=$minor" . ./pod
    ) || die "could not build Kubernetes $KUBERNETES with go"
    mkdir -p "$dir"
    mv "$dir.part" "$dir/bin"
  fi
  echo "$dir/bin" >&3
}

[ $# -gt 0 ] || set -- kube helm kubeconform
mkdir -p "$TOOLS"
# Only folders go to stdout.
exec 3>&1 >&2
for name in "$@"; do
  case "$name" in
  kube) build_kube ;;
  helm)
    CGO_ENABLED=0 need_go_tool helm helm.sh/helm/v4/cmd/helm "$HELM"
    echo "$TOOLS/helm-$HELM/bin" >&3
    ;;
  kubeconform)
    CGO_ENABLED=0 need_go_tool kubeconform github.com/yannh/kubeconform/cmd/kubeconform "$KUBECONFORM"
    echo "$TOOLS/kubeconform-$KUBECONFORM/bin" >&3
    ;;
  *) die "there is no \`$name\`: choose from kube, helm, kubeconform" ;;
  esac
done
