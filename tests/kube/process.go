package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// restartWait is how long a container that ended by itself stays down.
const restartWait = time.Second

// process is a pod that runs: its first container's command, in the network namespace of us all.
type process struct {
	pod       *core.Pod
	addresses []string
	program   string
	folder    string
	report    func(*core.Pod, core.PodStatus)
	// The grace that is left, once the pod is to end.
	told chan time.Duration

	lock     sync.Mutex
	command  *exec.Cmd
	exited   chan struct{}
	isEnding bool
	restarts int32
}

// run starts the container, probes it, starts it again when it ends by itself, and returns when the pod has ended.
func (p *process) run() {
	for {
		exited, err := p.start()
		if err != nil {
			fmt.Fprintf(os.Stderr, "kubelet: %s: %v\n", p.pod.Name, err)
		}
		probing, stop := context.WithCancel(context.Background())
		probed := make(chan struct{})
		go func() {
			defer close(probed)
			if err == nil {
				p.probe(probing)
			}
		}()
		select {
		case left := <-p.told:
			p.finish(left, exited)
			stop()
			<-probed
			return
		case <-exited:
			stop()
			<-probed
			p.report(p.pod, p.status(false))
		}
		select {
		case <-p.told:
			return
		case <-time.After(restartWait):
			p.restarts++
		}
	}
}

// start runs the command; the channel closes when it has exited, or at once when it could not start.
func (p *process) start() (<-chan struct{}, error) {
	exited := make(chan struct{})
	container := p.pod.Spec.Containers[0]
	words := append(append([]string{}, container.Command...), container.Args...)
	if len(words) == 0 {
		close(exited)
		return exited, fmt.Errorf("container %s has no command", container.Name)
	}
	if words[0] == "pod" {
		words[0] = p.program
	}
	if err := os.MkdirAll(p.folder, 0o755); err != nil {
		close(exited)
		return exited, err
	}
	output, err := os.OpenFile(filepath.Join(p.folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		close(exited)
		return exited, err
	}
	environment := p.environment(container)
	for at, word := range words {
		words[at] = expand(word, environment)
	}
	command := exec.Command(words[0], words[1:]...)
	command.Dir, command.Stdout, command.Stderr = p.folder, output, output
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	for name, value := range environment {
		command.Env = append(command.Env, name+"="+value)
	}
	p.lock.Lock()
	p.command, p.exited = command, exited
	err = command.Start()
	p.lock.Unlock()
	_ = output.Close()
	if err != nil {
		close(exited)
		return exited, err
	}
	go func() {
		_ = command.Wait()
		close(exited)
	}()
	return exited, nil
}

// environment is what the container asks for, and what pods of these tests always know of themselves.
func (p *process) environment(container core.Container) map[string]string {
	found := map[string]string{
		"PATH": os.Getenv("PATH"), "POD_NAME": p.pod.Name, "POD_NAMESPACE": p.pod.Namespace,
		"POD_UID": string(p.pod.UID), "POD_IP": p.addresses[0], "POD_IPS": strings.Join(p.addresses, ","),
		"NODE_NAME": p.pod.Spec.NodeName,
	}
	fields := map[string]string{
		"metadata.name": p.pod.Name, "metadata.namespace": p.pod.Namespace, "metadata.uid": string(p.pod.UID),
		"spec.nodeName": p.pod.Spec.NodeName, "spec.serviceAccountName": p.pod.Spec.ServiceAccountName,
		"status.podIP": p.addresses[0], "status.podIPs": strings.Join(p.addresses, ","), "status.hostIP": "10.244.0.1",
	}
	for _, one := range container.Env {
		found[one.Name] = expand(one.Value, found)
		if one.ValueFrom != nil && one.ValueFrom.FieldRef != nil {
			found[one.Name] = fields[one.ValueFrom.FieldRef.FieldPath]
		}
	}
	return found
}

// expand puts values in place of $(NAME), as the kubelet does.
func expand(text string, values map[string]string) string {
	for name, value := range values {
		text = strings.ReplaceAll(text, "$("+name+")", value)
	}
	return text
}

// probe reports readiness whenever it changes: by the readiness probe, or ready at once without one. It goes on while
// the pod is ending, as the kubelet's does.
func (p *process) probe(ctx context.Context) {
	probe := p.pod.Spec.Containers[0].ReadinessProbe
	if probe == nil || probe.HTTPGet == nil {
		p.report(p.pod, p.status(true))
		<-ctx.Done()
		return
	}
	p.report(p.pod, p.status(false))
	url := fmt.Sprintf("http://%s%s", net.JoinHostPort(p.addresses[0], p.port(probe)), probe.HTTPGet.Path)
	client := &http.Client{Timeout: seconds(probe.TimeoutSeconds), Transport: &http.Transport{DisableKeepAlives: true}}
	isReady, fails := false, int32(0)
	// The first looks come sooner than the period, so that tests do not wait for it.
	wait := 50 * time.Millisecond
	for ctx.Err() == nil {
		answer, err := client.Get(url)
		if err == nil {
			_ = answer.Body.Close()
		}
		if err == nil && answer.StatusCode >= 200 && answer.StatusCode < 400 {
			fails = 0
			if !isReady {
				isReady = true
				p.report(p.pod, p.status(true))
			}
		} else if fails++; isReady && fails >= max(1, probe.FailureThreshold) {
			isReady = false
			p.report(p.pod, p.status(false))
		}
		if isReady {
			wait = seconds(probe.PeriodSeconds)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// port is the probe's, by number or by the name of a port of the container.
func (p *process) port(probe *core.Probe) string {
	for _, port := range p.pod.Spec.Containers[0].Ports {
		if port.Name == probe.HTTPGet.Port.StrVal {
			return fmt.Sprint(port.ContainerPort)
		}
	}
	return probe.HTTPGet.Port.String()
}

func seconds(count int32) time.Duration {
	return time.Duration(max(1, count)) * time.Second
}

// status is all that the API server is told of the pod.
func (p *process) status(isReady bool) core.PodStatus {
	now, is := meta.Now(), core.ConditionFalse
	if isReady {
		is = core.ConditionTrue
	}
	container := p.pod.Spec.Containers[0]
	status := core.PodStatus{
		Phase: core.PodRunning, PodIP: p.addresses[0], HostIP: "10.244.0.1", StartTime: &now,
		ContainerStatuses: []core.ContainerStatus{{
			Name: container.Name, Image: container.Image, Ready: isReady, Started: new(true), RestartCount: p.restarts,
			State: core.ContainerState{Running: &core.ContainerStateRunning{StartedAt: now}},
		}},
	}
	for _, address := range p.addresses {
		status.PodIPs = append(status.PodIPs, core.PodIP{IP: address})
	}
	for kind, is := range map[core.PodConditionType]core.ConditionStatus{
		core.PodScheduled: core.ConditionTrue, core.PodInitialized: core.ConditionTrue,
		core.ContainersReady: is, core.PodReady: is,
	} {
		condition := core.PodCondition{Type: kind, Status: is, LastTransitionTime: now}
		status.Conditions = append(status.Conditions, condition)
	}
	return status
}

// end has the pod end within `left`; later calls change nothing, save that none is left.
func (p *process) end(left time.Duration) {
	p.lock.Lock()
	isFirst := !p.isEnding
	p.isEnding = true
	p.lock.Unlock()
	switch {
	case isFirst:
		p.told <- left
	case left == 0:
		p.kill()
	}
}

// finish is how Kubernetes ends a container: preStop, SIGTERM, and SIGKILL when the grace is over.
func (p *process) finish(left time.Duration, exited <-chan struct{}) {
	over := time.After(left)
	if hook := p.pod.Spec.Containers[0].Lifecycle; hook != nil && hook.PreStop != nil && hook.PreStop.Sleep != nil {
		select {
		case <-time.After(time.Duration(hook.PreStop.Sleep.Seconds) * time.Second):
		case <-exited:
		case <-over:
			p.kill()
		}
	}
	p.signal(syscall.SIGTERM)
	select {
	case <-exited:
	case <-over:
		p.kill()
		<-exited
	}
}

func (p *process) kill() {
	p.signal(syscall.SIGKILL)
}

// signal reaches the container's whole process group.
func (p *process) signal(which syscall.Signal) {
	p.lock.Lock()
	defer p.lock.Unlock()
	if p.command == nil || p.command.Process == nil {
		return
	}
	select {
	case <-p.exited:
	default:
		_ = syscall.Kill(-p.command.Process.Pid, which)
	}
}
