"""A Kubernetes control plane of one's own, in a network namespace of its own, for as long as a block lasts.

The real etcd, API server and controller manager, and a stand-in for the kubelet (kubelet.go): Deployments become
ReplicaSets, pods, processes with addresses, and EndpointSlices. This process enters the namespace too, so whatever it
starts and asks is in it; ports can be fixed there. Needs root. README.md says how to use it by hand.
"""

import contextlib
import ctypes
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "load"))

import stage  # noqa: E402 after the path to it

from access import Access  # noqa: E402

CLONE_NEWNET = 0x4000_0000
PREFIX = "vanne-kube-"
# Every address of these is local in the namespace: pods need no interfaces.
PODS, PODS_6 = "10.244.0.0/16", "fd00:10:244::/64"
# The API server takes no loopback address for its own; the second one is for outages of the first.
SERVERS = ("10.244.255.1", "10.244.255.2")
PORT = 6443
ETCD = "http://127.0.0.1:2379"
START_SECONDS_MAX = 60
FILES_MAX = 65_536
# Those that the scenarios need, and what these need: fewer controllers start sooner.
CONTROLLERS = (
    "deployment-controller,replicaset-controller,endpointslice-controller,endpointslice-mirroring-controller,"
    "endpoints-controller,serviceaccount-controller,serviceaccount-token-controller,namespace-controller,"
    "garbage-collector-controller,root-ca-certificate-publisher-controller,statefulset-controller,"
    "horizontal-pod-autoscaler-controller,disruption-controller"
)
# Who asked for slices, and when: so it is known whether an outage ends in a rush.
AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["ResponseStarted", "ResponseComplete", "Panic"],
    "rules": [
        {"level": "Metadata", "resources": [{"group": "discovery.k8s.io", "resources": ["endpointslices"]}]},
        {"level": "None"},
    ],
}


def tools():
    """Paths of the binaries `kube` and `pod`, built if need be."""
    if not shutil.which("kube"):
        script = HERE.parent.parent / "scripts" / "kube_tools.sh"
        run = subprocess.run(["bash", str(script), "kube"], stdout=subprocess.PIPE, text=True, check=False)
        if run.returncode != 0:
            raise stage.StageError("the control plane could not be built")
        os.environ["PATH"] = ":".join([*run.stdout.split(), os.environ["PATH"]])
    return stage.need("kube"), stage.need("pod")


def ip(*words):
    """One `ip` command; an error with what it said when it fails."""
    run = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise stage.StageError(f"ip {' '.join(words)} failed (it needs root): {run.stderr.strip()}")
    return run.stdout


def enter(path):
    """This thread, and all that it starts from now on, is in that network namespace."""
    with open(path, "rb") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET) != 0:
            raise stage.StageError(f"cannot enter {path}: {os.strerror(ctypes.get_errno())}")


def discard(name):
    """Ends what runs in the namespace, which is ours alone, and the namespace."""
    for _ in range(50):
        pids = [int(pid) for pid in ip("netns", "pids", name).split() if int(pid) != os.getpid()]
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.05)
    ip("netns", "delete", name)


def sweep():
    """Takes away namespaces of runs that were killed: their names carry the process that made them."""
    for line in ip("netns", "list").splitlines():
        name = line.split()[0]
        if name.startswith(PREFIX) and not pathlib.Path("/proc", name.removeprefix(PREFIX)).exists():
            discard(name)


@contextlib.contextmanager
def namespace():
    """A network namespace with the pods' addresses, which this process is in until the end of the block."""
    sweep()
    name = f"{PREFIX}{os.getpid()}"
    home = f"/proc/{os.getpid()}/ns/net"
    with open(home, "rb") as before:
        ip("netns", "add", name)
        try:
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "route", "add", "local", PODS, "dev", "lo")
            ip("-n", name, "-6", "route", "add", "local", PODS_6, "dev", "lo")
            enter(f"/run/netns/{name}")
            # IPv6 binds to interfaces' addresses only, unless told so.
            pathlib.Path("/proc/sys/net/ipv6/ip_nonlocal_bind").write_text("1")
            yield name
        finally:
            # Whoever is impatient now would leave processes behind.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
            enter(f"/proc/{os.getpid()}/fd/{before.fileno()}")
            discard(name)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})


class Cluster:
    """The running control plane. `access` asks its API server as an administrator."""

    def __init__(self, scratch, name):
        self.scratch, self.name = scratch, name
        self.kube, self.pod = tools()
        self.children = {}
        self.access = Access(scratch, SERVERS, PORT)
        self.kubeconfig = self.access.kubeconfig("admin.kubeconfig", certificate="admin")

    def start(self, part, *words):
        """Starts one part; its output goes to `PART.log`."""
        with open(self.scratch / f"{part}.log", "ab") as log:
            child = subprocess.Popen([self.kube, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                     cwd=self.scratch)
        self.children[part] = child
        return child

    def stop(self, part, how=signal.SIGKILL):
        """Ends one part, by default as a crash does."""
        child = self.children.pop(part)
        child.send_signal(how)
        child.wait()

    def said(self, part):
        """The end of what a part wrote."""
        return (self.scratch / f"{part}.log").read_text(errors="replace")[-3000:]

    def until(self, part, look):
        """Waits until `look()` is true; an error with the part's output when it ends or takes too long."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and self.children[part].poll() is None:
            with contextlib.suppress(OSError):
                if look():
                    return
            time.sleep(0.01)
        raise stage.StageError(f"{part} does not get ready:\n{self.said(part)}")

    def start_etcd(self):
        """Starts etcd on its folder. It syncs nothing to the disk: nobody needs it after a power cut."""
        peer = "http://127.0.0.1:2380"
        self.start("etcd", "etcd", "--data-dir", "etcd", "--unsafe-no-fsync", "--log-level", "warn",
                   "--listen-client-urls", ETCD, "--advertise-client-urls", ETCD, "--listen-peer-urls", peer,
                   "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}")
        self.until("etcd", lambda: stage.socket.create_connection(("127.0.0.1", 2379), 1).close() is None)

    def start_apiserver(self, number=0, is_awaited=True):
        """Starts the API server, or the second one (1), and waits until it is ready."""
        part, address, pki = f"apiserver-{number}", SERVERS[number], self.access.path
        self.start(
            part, "kube-apiserver", f"--etcd-servers={ETCD}", f"--bind-address={address}", f"--secure-port={PORT}",
            f"--advertise-address={address}", "--authorization-mode=RBAC", "--allow-privileged",
            f"--client-ca-file={pki('ca.pem')}", f"--tls-cert-file={pki('server.pem')}",
            f"--tls-private-key-file={pki('server.key')}", "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki('accounts.key')}", "--enable-aggregator-routing",
            f"--service-account-signing-key-file={pki('accounts.key')}",
            "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112", f"--audit-policy-file={pki('audit.json')}",
            f"--audit-log-path=audit-{number}.log", "--profiling=false",
        )
        if is_awaited:
            self.until(part, lambda: self.is_ready(number))

    def is_ready(self, number=0):
        """Whether the API server says that it is."""
        return self.access.ask("GET", "/readyz", server=number, is_kept=False)[0] == 200

    def kill_apiserver(self, number=0):
        """Kills the API server as a crash does."""
        self.stop(f"apiserver-{number}")
        self.access.close()

    def start_controllers(self):
        """Starts the controller manager; it has its first pass behind it when there are accounts for pods."""
        self.start(
            "controllers", "kube-controller-manager", f"--kubeconfig={self.kubeconfig}", "--leader-elect=false",
            f"--authentication-kubeconfig={self.kubeconfig}", f"--authorization-kubeconfig={self.kubeconfig}",
            f"--root-ca-file={self.access.path('ca.pem')}", f"--controllers={CONTROLLERS}", "--profiling=false",
            f"--service-account-private-key-file={self.access.path('accounts.key')}", "--bind-address=127.0.0.1",
            "--kube-api-qps=500", "--kube-api-burst=1000", "--concurrent-service-endpoint-syncs=10",
        )
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self.until("controllers", lambda: self.access.ask("GET", account)[0] == 200)

    def start_kubelet(self):
        """Starts the stand-in that runs pods as processes."""
        log = self.scratch / "kubelet.log"
        before = log.stat().st_size if log.exists() else 0
        self.start("kubelet", "kubelet", f"--kubeconfig={self.kubeconfig}", "--folder=pods", f"--pod={self.pod}")
        self.until("kubelet", lambda: b"kubelet: ready" in log.read_bytes()[before:])

    def compact(self):
        """Has etcd forget all older states: watches from before them get 410 Gone."""
        subprocess.run([self.kube, "compact", "--endpoint", ETCD], check=True, stdout=subprocess.DEVNULL)

    def save_etcd(self):
        """Keeps etcd's present state for `restore_etcd`; etcd is away for a moment."""
        self.stop("etcd")
        shutil.copytree(self.scratch / "etcd", self.scratch / "etcd.saved")
        self.start_etcd()

    def restore_etcd(self):
        """Takes the cluster back to the kept state as an operator would: all that is ours is down meanwhile.

        Controllers too, as their watches would see nothing ever after. Pods end.
        """
        has_pods = "kubelet" in self.children
        if has_pods:
            self.stop("kubelet", signal.SIGTERM)
            self.stop("controllers")
        self.kill_apiserver()
        self.stop("etcd")
        shutil.rmtree(self.scratch / "etcd")
        shutil.copytree(self.scratch / "etcd.saved", self.scratch / "etcd")
        self.start_etcd()
        self.start_apiserver()
        if has_pods:
            self.start_controllers()
            self.start_kubelet()

    def kubectl(self, *words, given=None):
        """What `kubectl` prints; an error when it fails."""
        command = [self.kube, "kubectl", f"--kubeconfig={self.kubeconfig}", *words]
        run = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise stage.StageError(f"kubectl {' '.join(words)} failed:\n{run.stderr}")
        return run.stdout

    def apply(self, *objects):
        """Creates or changes objects: dictionaries, or text in YAML."""
        for one in objects:
            text = one if isinstance(one, str) else json.dumps(one)
            self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", given=text)

    def asked(self, verb, user, number=0):
        """Events of the audit log: requests of a user for slices, such as `list` or `watch`."""
        log = self.scratch / f"audit-{number}.log"
        events = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [event for event in events if event["verb"] == verb and event["user"].get("username") == user]


@contextlib.contextmanager
def running(scratch, has_pods=True):
    """A cluster until the end of the block; without pods, slices are only what the block writes itself."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES_MAX, most), most))
    # So that the blocks end in order when this is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = scratch / "cluster"
    folder.mkdir()
    tools()
    with namespace() as name:
        one = Cluster(folder, name)
        one.access.path("audit.json").write_text(json.dumps(AUDIT))
        one.start_etcd()
        one.start_apiserver()
        if has_pods:
            one.start_controllers()
            one.start_kubelet()
        yield one


def stay():
    """A cluster to try things in by hand, until Ctrl-C."""
    with stage.folder() as scratch, running(scratch) as one:
        print(f"kubectl:    ip netns exec {one.name} {one.kube} kubectl --kubeconfig={one.kubeconfig} get nodes")
        print(f"logs:       {one.scratch}/*.log, pods' in {one.scratch}/pods", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    stay()
