#!/usr/bin/env python3
"""What may be wrong with a cluster, one thing after the other. Each time Vanne says what, naming object and verb, sets
`vanne_source_stale` where its backends are old, and other pools go on.

1. etcd is taken back to an older state: right again within `resync`.
2. A Service is deleted and made again.
3. A namespace that does not exist.
4. A namespace that Vanne may not list (RBAC).
5. A token that expires: the pool stays; a new token in its place is used.
6. A token that has expired before the start.
7. A certificate of the API server by a foreign authority.
"""

import asyncio
import contextlib

import objects
import scene
import stage
import traffic

ONE, OTHER = "10.244.220.1", "10.244.220.2"
RESYNC_SECONDS = 5
# A tenth later by chance, and the time for a list.
WITHIN_SECONDS = RESYNC_SECONDS * 1.1 + 2
TOKEN_SECONDS = 8
# The API server remembers for a while that a token was good.
TOKEN_SEEN_SECONDS_MAX = 40
# Files of tokens are read again once a minute.
TOKEN_READ_SECONDS_MAX = 75
FIXED = scene.POOL.format(name="fixed", source=f'backends = ["{OTHER}:{objects.PORT}"]', more="")


async def served_by(proxy, pool):
    """The pod that answers for a pool; the status where none does."""
    with traffic.client(proxy.http) as client:
        answer = await client.ask(traffic.request(f"/{pool}"))
    return scene.pod_of(answer) or answer.why


class Scene:
    """What each fault needs."""

    def __init__(self, args, scratch, findings, lab):
        self.args, self.scratch, self.findings, self.lab = args, scratch, findings, lab

    @contextlib.contextmanager
    def vanne(self, kubeconfig, pools, name):
        """Vanne that lists often, with a pool that has nothing to do with the cluster."""
        resync = f"{RESYNC_SECONDS}s"
        with scene.vanne(self.args, self.scratch, kubeconfig, [*pools, FIXED], name, resync) as proxy:
            yield proxy

    async def becomes(self, proxy, pool, wanted, seconds, what):
        """Waits until this is who answers for the pool."""

        async def is_so():
            return await served_by(proxy, pool) == wanted

        took = await scene.until(is_so, seconds)
        shown = f"after {took:.1f} s" if took is not None else f"not within {seconds:g} s"
        self.findings.note(took is not None, f"{what} {shown}")

    async def told(self, proxy, pool, words, is_stale, what, seconds=10):
        """Waits until a line of the log has all words and the metric is as wanted; then the other pools are asked."""

        async def is_so():
            return proxy.said(*words) and await proxy.is_stale(pool) == is_stale

        took = await scene.until(is_so, seconds)
        state = f"log: {proxy.said(*words)}, stale: {await proxy.is_stale(pool)}"
        self.findings.note(took is not None, f"{what}: told ({state}, wanted: True, {is_stale})")
        fixed = await served_by(proxy, "fixed")
        self.findings.note(fixed == OTHER, f"{what}: a pool that has nothing to do with it is answered by {fixed}")


async def restored(here):
    """1: etcd goes back."""
    lab = here.lab
    # What is kept has the account that Vanne goes by.
    config = scene.account(lab)
    lab.save_etcd()
    with here.vanne(config, [scene.follows("web")], "restored") as proxy:
        await here.becomes(proxy, "web", ONE, 10, "before all: the pool has its pod")
        change = {"endpoints": [objects.endpoint(OTHER)]}
        # So that the kept state is many revisions behind.
        for number in range(50):
            label = {"metadata": {"labels": {"number": str(number)}}}
            lab.access.do("PATCH", objects.slices_path(name="web-1"), label)
        lab.access.do("PATCH", objects.slices_path(name="web-1"), change)
        await here.becomes(proxy, "web", OTHER, 10, "before all: it follows")
        await asyncio.to_thread(lab.restore_etcd)
        await here.becomes(proxy, "web", ONE, WITHIN_SECONDS, "etcd restored: the pool is what it was then")
        # It may not be blind for what comes later either.
        lab.access.do("PATCH", objects.slices_path(name="web-1"), change)
        await here.becomes(proxy, "web", OTHER, WITHIN_SECONDS, "etcd restored: later changes are seen")


async def deleted(here):
    """2: a Service goes and comes."""
    lab = here.lab
    pods = objects.service("pods", selector={"app": "pods"})
    lab.apply(pods, objects.deployment("pods", 1))
    await scene.expect(lambda: scene.ready_endpoints(lab, "pods"), 30, "the pod is ready")
    config = lab.access.kubeconfig("deleted.kubeconfig", token=lab.access.token("default", "vanne", 3600))
    with here.vanne(config, [scene.follows("pods"), scene.follows("web")], "deleted") as proxy:
        await scene.expect(lambda: proxy.backends("pods"), 10, "the pool has a backend")
        lab.kubectl("delete", "service", "pods")

        async def is_empty():
            return await proxy.backends("pods") == 0

        took = await scene.until(is_empty, 10)
        here.findings.note(took is not None, "Service deleted: the pool is empty")
        # It is no error: whether a Service is to be there is not ours to know.
        await here.told(proxy, "pods", ["default", "pods", "(?i)slice"], False, "Service deleted")
        goes_on = await served_by(proxy, "web") == OTHER
        here.findings.note(goes_on, "Service deleted: another pool of the namespace goes on")
        lab.apply(pods)
        took = await scene.until(lambda: proxy.backends("pods"), 10)
        here.findings.note(took is not None, "Service made again: the pool has its pod")


async def missing(here):
    """3: no such namespace."""
    pools = [scene.follows("lost", "web", "nowhere"), scene.follows("web")]
    with here.vanne(here.lab.kubeconfig, pools, "missing") as proxy:
        await here.told(proxy, "lost", ["nowhere", "web", "(?i)slice"], False, "namespace missing")
        await here.becomes(proxy, "web", OTHER, 10, "namespace missing: a pool of another namespace is served")


async def denied(here):
    """4: a namespace that is not ours to see."""
    here.lab.apply(objects.namespace("closed"))
    config = here.lab.access.kubeconfig("denied.kubeconfig", token=here.lab.access.token("default", "vanne", 3600))
    with here.vanne(config, [scene.follows("closed", "web", "closed"), scene.follows("web")], "denied") as proxy:
        words = ["list", "endpointslices", "closed", "(?i)forbidden"]
        await here.told(proxy, "closed", words, True, "RBAC denied")
        await here.becomes(proxy, "web", OTHER, 10, "RBAC denied: a pool of another namespace is served")
        here.lab.access.allow("default", "vanne", space="closed")
        here.lab.apply(objects.slice_of("web", [ONE], space="closed"))
        await here.becomes(proxy, "closed", ONE, WITHIN_SECONDS, "RBAC granted: the pool is served")


async def expires(here):
    """5: a token ends while it is used."""
    access = here.lab.access
    file = access.path("token")
    file.write_text(access.token("default", "vanne", TOKEN_SECONDS))
    config = access.kubeconfig("expires.kubeconfig", token_file=file)
    with here.vanne(config, [scene.follows("web")], "expires") as proxy:
        await here.becomes(proxy, "web", OTHER, 5, "before all: the pool has its pod")
        words = ["list", "endpointslices", "default", "(?i)unauthorized|expired"]
        await here.told(proxy, "web", words, True, "token expired", TOKEN_SEEN_SECONDS_MAX)
        await here.becomes(proxy, "web", OTHER, 1, "token expired: the pool stays")
        file.write_text(access.token("default", "vanne", 3600))

        async def is_fresh():
            return not await proxy.is_stale("web")

        took = await scene.until(is_fresh, TOKEN_READ_SECONDS_MAX)
        shown = f"after {took:.0f} s" if took is not None else f"not within {TOKEN_READ_SECONDS_MAX} s"
        here.findings.note(took is not None, f"a new token in the file is used {shown}")


async def expired(here):
    """6: a token that was never good."""
    access = here.lab.access
    config = access.kubeconfig("expired.kubeconfig", token=access.token("default", "vanne", -100))
    with here.vanne(config, [scene.follows("web")], "expired") as proxy:
        words = ["list", "endpointslices", "default", "(?i)unauthorized|expired"]
        await here.told(proxy, "web", words, True, "token expired before the start")


async def foreign(here):
    """7: somebody else's authority."""
    access = here.lab.access
    access.authority("foreign")
    token = access.token("default", "vanne", 3600)
    config = access.kubeconfig("foreign.kubeconfig", token=token, ca="foreign")
    with here.vanne(config, [scene.follows("web")], "foreign") as proxy:
        words = ["list", "endpointslices", "default", "(?i)certificate|authority|issuer"]
        await here.told(proxy, "web", words, True, "wrong CA")


async def main(args, scratch, findings, lab):
    """All faults, or those asked for."""
    here = Scene(args, scratch, findings, lab)
    lab.apply(objects.service("web"), objects.slice_of("web", [ONE]))
    with scene.pods(lab, scratch, [ONE, OTHER]):
        if args.only == [] or "restored" in args.only:
            await restored(here)
        else:
            scene.account(lab)
        lab.access.do("PATCH", objects.slices_path(name="web-1"), {"endpoints": [objects.endpoint(OTHER)]})
        for fault in (deleted, missing, denied, expires, expired, foreign):
            if args.only == [] or fault.__name__ in args.only:
                await fault(here)


if __name__ == "__main__":
    parser = scene.arguments(__doc__)
    names = ("restored", "deleted", "missing", "denied", "expires", "expired", "foreign")
    parser.add_argument("only", nargs="*", choices=[[], *names], help="some of these; without any, all")
    parser.set_defaults(has_pods=True)
    scene.play(main, parser.parse_args())
