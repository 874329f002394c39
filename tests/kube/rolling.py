#!/usr/bin/env python3
"""A Deployment of 30 pods is replaced one by one under 1,000 requests a second, some of them by sticky clients.

1. One Vanne. Nobody's request fails; a sticky client leaves its pod only when that has stopped accepting.
2. The same with two Vannes behind HAProxy (TCP, readiness asked): each is ended by SIGTERM in the middle, one after the
   other, and started again. Nobody's request fails.
"""

import asyncio
import contextlib
import signal
import time

import objects
import scene
import stage
import traffic

VISITORS = 300
# Each visitor asks once in so many seconds.
VISIT_SECONDS = 1.0
# Required: a Vanne that starts again is ready only when it knows the pods.
WEB = scene.follows("web", more='required = true\nsticky = { cookie = "ID", ttl = "1h", key_file = "keys" }')

HAPROXY = """\
defaults
  mode tcp
  timeout connect 2s
  timeout client 60s
  timeout server 60s
frontend all
  bind 127.0.0.1:{port}
  default_backend vannes
backend vannes
  balance roundrobin
  option httpchk GET /readyz
  option redispatch
"""
REPLICA = "  server {name} 127.0.0.1:{http} check port {probe} inter 100ms fall 1 rise 1\n"


class Visitors:
    """Sticky clients, each with its cookie, and where they were served."""

    def __init__(self, client):
        self.client, self.cookies, self.answers = client, [None] * VISITORS, []
        self.homes = [[] for _ in range(VISITORS)]
        self.is_over = False

    async def run(self):
        """Goes on until told that it is over."""
        await asyncio.gather(*(self.visit(number) for number in range(VISITORS)))

    async def visit(self, number):
        """One visitor's requests."""
        await asyncio.sleep(VISIT_SECONDS * number / VISITORS)
        due = time.monotonic()
        while not self.is_over:
            cookie = self.cookies[number]
            answer = await self.client.ask(traffic.request("/web", {"cookie": cookie} if cookie else {}))
            self.answers.append(answer)
            if given := answer.fields.get("set-cookie"):
                self.cookies[number] = given.split(";")[0]
            homes, pod = self.homes[number], scene.pod_of(answer)
            if answer.is_good and (not homes or homes[-1][0] != pod):
                homes.append((pod, scene.arrived(answer)))
            due += VISIT_SECONDS
            await asyncio.sleep(due - time.monotonic())

    def moves(self):
        """Each change of home: the pod that was left, and when the first request came to another one."""
        return [(old[0], new[1]) for homes in self.homes for old, new in zip(homes, homes[1:])]


def closed(lab, pod):
    """When a pod stopped accepting, in seconds since 1970; none if it has not."""
    log = lab.scratch / "pods" / f"default_{pod}" / "log"
    words = log.read_text().split()
    return int(words[words.index("closed") + 1]) / 1e9 if "closed" in words else float("inf")


async def replaced(lab, args, port, findings, meanwhile):
    """Replaces all pods under load, with `meanwhile()` beside it."""
    with traffic.client(port) as client:
        visitors = Visitors(client)
        visiting = asyncio.create_task(visitors.run())
        async with scene.load(port, "/web", args.rate - VISITORS / VISIT_SECONDS) as load:
            await asyncio.sleep(2)
            began = time.monotonic()
            await asyncio.to_thread(lab.kubectl, "rollout", "restart", "deployment/web")
            beside = asyncio.create_task(meanwhile())
            await asyncio.to_thread(lab.kubectl, "rollout", "status", "deployment/web", "--timeout=300s")
            took = time.monotonic() - began
            await beside
            # Until the last old pod is gone.
            await asyncio.sleep(8)
        visitors.is_over = True
        await visiting
    answers = load.answers + visitors.answers
    failed, why = scene.failures(answers)
    seen = {scene.pod_of(answer) for answer in answers} - {None}
    findings.note(failed == 0, f"{args.pods} pods replaced in {took:.0f} s, {len(seen)} answered: {len(answers)} "
                  f"requests, {failed} failed{why}")
    moves = visitors.moves()
    needless = sum(at < closed(lab, pod) for pod, at in moves)
    findings.note(needless == 0, f"{VISITORS} sticky clients: {len(moves)} moves, {needless} from pods that served")


async def alone(args, scratch, findings, lab, kubeconfig):
    """One Vanne."""
    with scene.vanne(args, scratch, kubeconfig, [WEB]) as proxy:
        await scene.expect(lambda: has_all(proxy, args), 10, "the pool has all pods")

        async def nothing():
            pass

        await replaced(lab, args, proxy.http, findings, nothing)


async def has_all(proxy, args):
    """Whether the pool has as many backends as there are pods."""
    return await proxy.backends("web") == args.pods


@contextlib.contextmanager
def replica(args, scratch, kubeconfig, name, ports):
    """A Vanne on ports that stay the same."""
    with scene.vanne(args, scratch, kubeconfig, [WEB], name, delay="2s", ports=ports) as one:
        yield one


async def pair(args, scratch, findings, lab, kubeconfig):
    """Two Vannes behind a balancer."""
    ports = {name: stage.lasting_ports(2) for name in ("vanne-a", "vanne-b")}
    (port,) = stage.lasting_ports(1)
    lines = [REPLICA.format(name=name, http=http, probe=probe) for name, (http, probe) in ports.items()]
    (scratch / "haproxy.cfg").write_text(HAPROXY.format(port=port) + "".join(lines))
    with contextlib.ExitStack() as stack:
        running = {}
        for name, pair_of in ports.items():
            running[name] = stack.enter_context(replica(args, scratch, kubeconfig, name, pair_of))
        for one in running.values():
            await scene.expect(lambda one=one: has_all(one, args), 10, "the pool has all pods")
        balancer = [stage.need("haproxy"), "-f", str(scratch / "haproxy.cfg"), "-db"]
        stack.enter_context(stage.running(balancer, scratch / "haproxy.log", [port]))
        codes = []

        async def meanwhile():
            for name, one in list(running.items()):
                await asyncio.sleep(5)
                one.child.send_signal(signal.SIGTERM)
                codes.append(await asyncio.to_thread(one.child.wait, 30))
                again = stack.enter_context(replica(args, scratch, kubeconfig, name, ports[name]))
                await scene.expect(again.is_ready, 10, f"{name} is ready again")

        await replaced(lab, args, port, findings, meanwhile)
        findings.note(codes == [0, 0], f"both Vannes were ended by SIGTERM meanwhile, with exit codes {codes}")


async def main(args, scratch, findings, lab):
    """Both parts."""
    (scratch / "keys").write_text("k" * 32)
    lab.apply(objects.service("web", selector={"app": "web"}), objects.deployment("web", args.pods, calm=1))
    await scene.expect(lambda: len(scene.ready_endpoints(lab, "web")) == args.pods, 60, "all pods are ready")
    kubeconfig = scene.account(lab)
    for part in (alone, pair):
        print(f"{part.__name__}:", flush=True)
        await part(args, scratch, findings, lab, kubeconfig)


if __name__ == "__main__":
    parser = scene.arguments(__doc__)
    parser.add_argument("--pods", type=int, default=30)
    parser.add_argument("--rate", type=int, default=1000, help="requests a second, those of sticky clients included")
    parser.set_defaults(has_pods=True)
    scene.play(main, parser.parse_args())
