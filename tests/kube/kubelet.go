package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// addressAnnotation asks for one IPv4 address of the range, so that a later pod can have an earlier one's.
const addressAnnotation = "vanne.test/address"

// agent is the scheduler and the kubelets of all pretended nodes in one.
type agent struct {
	client  kubernetes.Interface
	folder  string
	program string
	nodes   []string
	lock    sync.Mutex
	// pods that run or end, by uid; a pod leaves when it is gone from the API server.
	pods map[types.UID]*process
	// addresses given out and nodes chosen so far.
	given, chosen int
}

// kubelet runs until SIGTERM: pods of the API server are bound to nodes in turn and run as processes.
func kubelet(arguments []string) error {
	flags := flag.NewFlagSet("kubelet", flag.ExitOnError)
	config := flags.String("kubeconfig", "", "how to reach the API server")
	folder := flags.String("folder", "", "where logs and volumes of pods go")
	program := flags.String("pod", "", "the program that a container's command `pod` means")
	zones := flags.Int("zones", 3, "zones, named zone-1 and so on, with one node each")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	rest, err := clientcmd.BuildConfigFromFlags("", *config)
	if err != nil {
		return err
	}
	// Three hundred pods start at once in these tests, and each needs some requests.
	rest.QPS, rest.Burst = 1000, 2000
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	one := &agent{client: client, folder: *folder, program: *program, pods: map[types.UID]*process{}}
	for zone := 1; zone <= *zones; zone++ {
		if err := one.register(ctx, fmt.Sprintf("node-%d", zone), fmt.Sprintf("zone-%d", zone)); err != nil {
			return err
		}
	}
	if err := one.watch(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	one.stopAll()
	return nil
}

// register makes a node that is ready, once.
func (a *agent) register(ctx context.Context, name, zone string) error {
	node := &core.Node{
		ObjectMeta: meta.ObjectMeta{Name: name, Labels: map[string]string{
			core.LabelTopologyZone: zone, core.LabelHostname: name,
		}},
		Status: core.NodeStatus{Conditions: []core.NodeCondition{{
			Type: core.NodeReady, Status: core.ConditionTrue, Reason: "Pretended", LastHeartbeatTime: meta.Now(),
		}}},
	}
	a.nodes = append(a.nodes, name)
	if _, err := a.client.CoreV1().Nodes().Create(ctx, node, meta.CreateOptions{}); err != nil {
		if errors.IsAlreadyExists(err) {
			return nil
		}
		return fmt.Errorf("node %s: %w", name, err)
	}
	return nil
}

func (a *agent) watch(ctx context.Context) error {
	factory := informers.NewSharedInformerFactory(a.client, 0)
	watched := factory.Core().V1().Pods().Informer()
	_, err := watched.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { a.see(ctx, object.(*core.Pod)) },
		UpdateFunc: func(_, object any) { a.see(ctx, object.(*core.Pod)) },
		DeleteFunc: func(object any) {
			if last, is := object.(cache.DeletedFinalStateUnknown); is {
				object = last.Obj
			}
			if pod, is := object.(*core.Pod); is {
				a.forget(pod)
			}
		},
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), watched.HasSynced) {
		return fmt.Errorf("pods could not be listed")
	}
	fmt.Println("kubelet: ready")
	return nil
}

// see does what a pod needs next: a node, a process, or its end. It does not wait.
func (a *agent) see(ctx context.Context, pod *core.Pod) {
	a.lock.Lock()
	defer a.lock.Unlock()
	running := a.pods[pod.UID]
	switch {
	case pod.Spec.NodeName == "" && pod.DeletionTimestamp == nil:
		node := a.nodes[a.chosen%len(a.nodes)]
		a.chosen++
		go a.bind(ctx, pod, node)
	case running == nil && pod.DeletionTimestamp != nil:
		// Never begun, or begun by a stand-in that is no more.
		go a.remove(pod)
	case running == nil && (pod.Status.Phase == core.PodPending || pod.Status.Phase == ""):
		a.begin(pod)
	case running != nil && pod.DeletionTimestamp != nil:
		running.end(grace(pod))
	}
}

func (a *agent) bind(ctx context.Context, pod *core.Pod, node string) {
	binding := &core.Binding{
		ObjectMeta: meta.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID},
		Target:     core.ObjectReference{Kind: "Node", Name: node},
	}
	// A conflict means that it is bound already or gone; anything else is seen again with the next event.
	if err := a.client.CoreV1().Pods(pod.Namespace).Bind(ctx, binding, meta.CreateOptions{}); err != nil &&
		!errors.IsConflict(err) && !errors.IsNotFound(err) {
		fmt.Fprintf(os.Stderr, "kubelet: %s is not bound: %v\n", pod.Name, err)
	}
}

// begin gives the pod its addresses and starts it. The lock is held.
func (a *agent) begin(pod *core.Pod) {
	a.given++
	number := a.given
	addresses := []string{
		net.IPv4(10, 244, byte(number/250), byte(1+number%250)).String(),
		fmt.Sprintf("fd00:10:244::%x", number),
	}
	if asked := pod.Annotations[addressAnnotation]; asked != "" {
		addresses = []string{asked}
	}
	one := &process{
		pod: pod.DeepCopy(), addresses: addresses, program: a.program,
		folder: filepath.Join(a.folder, pod.Namespace+"_"+pod.Name),
		report: a.report, told: make(chan time.Duration, 1),
	}
	a.pods[pod.UID] = one
	go func() {
		one.run()
		a.remove(one.pod)
	}()
}

// report writes a pod's status: a whole one, as only we write it.
func (a *agent) report(pod *core.Pod, status core.PodStatus) {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": pod.UID}, "status": status,
	})
	if err != nil {
		return
	}
	pods := a.client.CoreV1().Pods(pod.Namespace)
	insist(func(ctx context.Context) error {
		_, err := pods.Patch(ctx, pod.Name, types.MergePatchType, patch, meta.PatchOptions{}, "status")
		return err
	})
}

// remove takes the pod out of the API server, now that nothing of it runs.
func (a *agent) remove(pod *core.Pod) {
	now := meta.DeleteOptions{GracePeriodSeconds: new(int64), Preconditions: &meta.Preconditions{UID: &pod.UID}}
	insist(func(ctx context.Context) error {
		return a.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, now)
	})
}

// insist tries until it is done or there is nothing left to do it to: the API server may be away for long.
func insist(try func(context.Context) error) {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := try(ctx)
		cancel()
		if err == nil || errors.IsNotFound(err) || errors.IsConflict(err) || errors.IsInvalid(err) {
			return
		}
		time.Sleep(wait)
	}
}

// forget ends what still runs of a pod that was removed by force.
func (a *agent) forget(pod *core.Pod) {
	a.lock.Lock()
	defer a.lock.Unlock()
	if running := a.pods[pod.UID]; running != nil {
		running.end(0)
		delete(a.pods, pod.UID)
	}
}

// stopAll ends all processes at once; the API server is not told, it ends too.
func (a *agent) stopAll() {
	a.lock.Lock()
	defer a.lock.Unlock()
	for _, running := range a.pods {
		running.kill()
	}
}

// grace is how long the pod may take to end.
func grace(pod *core.Pod) time.Duration {
	if pod.DeletionGracePeriodSeconds == nil {
		return 30 * time.Second
	}
	return time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second
}
