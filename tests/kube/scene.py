"""What the scenarios share: Vanne before pools of the cluster, pods without a kubelet, and steady traffic."""

import asyncio
import contextlib
import dataclasses
import datetime
import re
import time

import cluster
import objects
import stage
import traffic

ACCOUNT = "system:serviceaccount:default:{}"
STEP_SECONDS = 0.02

CONFIG = """\
[kubernetes]
kubeconfig = "{kubeconfig}"
resync = "{resync}"
"""
POOL = """\
[pool.{name}]
{source}
{more}
[[route]]
name = "{name}"
pool = "{name}"
match = {{ path = "/{name}" }}
"""


def follows(name, service=None, space="default", more=""):
    """A pool that follows a Service, at the path of its name."""
    service = service or name
    source = f'kubernetes = {{ namespace = "{space}", service = "{service}", port = "http" }}'
    return POOL.format(name=name, source=source, more=more)


@dataclasses.dataclass
class Proxy:
    """One running Vanne."""

    name: str
    http: int
    probe: int
    scratch: object
    child: object = None

    async def backends(self, pool):
        """How many backends a pool has."""
        return await traffic.metric(self.probe, f'vanne_pool_backends{{pool="{pool}"}}')

    async def is_stale(self, pool):
        """Whether Vanne says that what a pool has is old."""
        return await traffic.metric(self.probe, f'vanne_source_stale{{pool="{pool}",source="[^"]*"}}') == 1

    async def is_ready(self):
        """What readiness probes get."""
        try:
            link = await traffic.connect(self.probe)
        except OSError:
            return False
        with contextlib.closing(link):
            return (await link.ask(traffic.request("/readyz")))[0] == 200

    def said(self, *words):
        """Whether one line of the log has all these words."""
        lines = (self.scratch / f"{self.name}.log").read_text(errors="replace").splitlines()
        return any(all(re.search(word, line) for word in words) for line in lines)


@contextlib.contextmanager
def vanne(args, scratch, kubeconfig, pools, name="vanne", resync="300s", delay="10ms", ports=None):
    """Vanne with these pools; it may be ended within the block. `delay` is how long it serves on after SIGTERM."""
    http, probe = ports or stage.free_ports(2)
    head = stage.CONFIG.format(workers=2, http=http, probe=probe).replace("admin.sock", f"{name}.sock")
    head = head.replace('drain_delay = "10ms"', f'drain_delay = "{delay}"')
    path = scratch / f"{name}.toml"
    path.write_text(head + CONFIG.format(kubeconfig=kubeconfig, resync=resync) + "".join(pools))
    command = [stage.need(args.vanne), "run", "-c", str(path), *stage.RUN_OPTIONS]
    with stage.running(command, scratch / f"{name}.log", [http, probe]) as child:
        yield Proxy(name, http, probe, scratch, child)


@contextlib.contextmanager
def pods(lab, scratch, addresses):
    """Pods without a Kubernetes' pod: slices that a script writes may name them."""
    with contextlib.ExitStack() as stack:
        for address in addresses:
            command = [lab.pod, f"--address={address}", f"--port={objects.PORT}", "--linger=0s"]
            stack.enter_context(stage.running(command, scratch / f"pod-{address}.log"))
        yield


def account(lab, name="vanne"):
    """A kubeconfig for a service account that may read slices of the namespace `default`."""
    lab.access.allow("default", name)
    return lab.access.kubeconfig(f"{name}.kubeconfig", token=lab.access.token("default", name, 3600))


async def until(look, seconds):
    """Asks until the answer is true: how long that took; `None` when it took longer than this."""
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            found = look()
            if await found if asyncio.iscoroutine(found) else found:
                return time.monotonic() - began
        await asyncio.sleep(STEP_SECONDS)
    return None


async def expect(look, seconds, what):
    """The same for what a scenario needs before it begins."""
    took = await until(look, seconds)
    if took is None:
        raise stage.StageError(f"within {seconds} s it did not come to this: {what}")
    return took


def ready_endpoints(lab, service, space="default"):
    """Addresses that the slices of a Service call ready."""
    chosen = f"?labelSelector=kubernetes.io/service-name={service}"
    found = lab.access.do("GET", objects.slices_path(space) + chosen)["items"]
    endpoints = [one for part in found for one in part["endpoints"] or []]
    return {one["addresses"][0] for one in endpoints if one["conditions"].get("ready") is not False}


class Load:
    """Requests to one port at a steady rate until told to stop, and what became of each."""

    def __init__(self, port, path, rate, fields=None):
        self.client = traffic.Client(port)
        self.sent, self.rate = traffic.request(path, fields or {}), rate
        self.answers, self.tasks, self.is_over = [], set(), False
        self.running = asyncio.create_task(self.run())

    async def run(self):
        """Open loop: it waits for no answer. What is late is sent at once, so that the rate holds."""
        began, number = time.monotonic(), 0
        while not self.is_over:
            await asyncio.sleep(began + number / self.rate - time.monotonic())
            task = asyncio.create_task(self.one())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
            number += 1

    async def one(self):
        """One request."""
        self.answers.append(await self.client.ask(self.sent))

    async def end(self):
        """Stops, waits for what is under way, and gives all answers."""
        self.is_over = True
        await self.running
        if self.tasks:
            await asyncio.wait(self.tasks)
        self.client.close()
        return self.answers


@contextlib.asynccontextmanager
async def load(port, path, rate):
    """A load until the end of the block."""
    one = Load(port, path, rate)
    try:
        yield one
    finally:
        await one.end()


def failures(answers):
    """Those that are no good, and in a few words why."""
    bad = [answer for answer in answers if not answer.is_good]
    kinds = {}
    for answer in bad:
        kinds[answer.why] = kinds.get(answer.why, 0) + 1
    return len(bad), "".join(f", {count} times {why}" for why, count in kinds.items())


def pod_of(answer):
    """Which pod answered; `None` if none did."""
    return answer.fields.get("x-pod")


def arrived(answer):
    """When the pod got the request, in seconds since 1970."""
    return int(answer.fields["x-arrived"]) / 1e9


def moment(event):
    """When an event of the audit log was, in seconds since 1970."""
    return datetime.datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()


def arguments(doc):
    """What every scenario is told."""
    return stage.arguments(doc)


def play(main, args):
    """Runs `main(args, scratch, findings, lab)` in a cluster; the exit code says whether all is met."""

    async def whole(args, scratch, findings):
        with cluster.running(scratch, args.has_pods) as lab:
            await main(args, scratch, findings, lab)

    stage.play(whole, args)
