// Command kube is a Kubernetes control plane in one binary: its first argument says which part it is.
//
// etcd, kube-apiserver, kube-controller-manager and kubectl are the real ones. `kubelet` is a stand-in (kubelet.go):
// it binds pods to pretended nodes and runs them as processes. `compact` is for tests (compact.go). What pods run is
// another, small binary (pod/main.go), as there may be hundreds of them.
package main

import (
	"fmt"
	"os"
	_ "time/tzdata"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

const usage = "usage: kube etcd|kube-apiserver|kube-controller-manager|kubectl|kubelet|compact [argument]..."

func main() {
	if len(os.Args) < 2 {
		fail(usage)
	}
	// Each part reads its arguments from os.Args itself.
	part := os.Args[1]
	os.Args = append([]string{part}, os.Args[2:]...)
	switch part {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		run(apiserver.NewAPIServerCommand())
	case "kube-controller-manager":
		run(controllers.NewControllerManagerCommand())
	case "kubectl":
		run(kubectl.NewDefaultKubectlCommand())
	case "kubelet":
		exit(kubelet(os.Args[1:]))
	case "compact":
		exit(compact(os.Args[1:]))
	default:
		fail(fmt.Sprintf("there is no part %q\n%s", part, usage))
	}
}

func run(command *cobra.Command) {
	os.Exit(cli.Run(command))
}

func exit(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, "kube: "+message)
	os.Exit(1)
}
