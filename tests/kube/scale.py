#!/usr/bin/env python3
"""Pools that grow and shrink, and large ones.

1. A Deployment goes from 3 pods to 300 and back under load. Nobody's request fails, and the pool has all pods.
2. A Service of 5,000 endpoints in 50 slices: ready at most 1 s later than with a Service of none, at most 60 MiB of
   memory more, and at most 20 ms of CPU for a change of one endpoint.
"""

import asyncio
import pathlib
import time

import objects
import scene
import stage

RATE = 500
SMALL, SLICES, ENDPOINTS = 3, 50, 100
CHANGES = 50
CHANGE_SECONDS = 0.2
FIRST_SECONDS_MAX, CHANGE_CPU_SECONDS_MAX, GROWN_MIB_MAX = 1.0, 0.020, 60


async def scaled(lab, proxy, count):
    """Has so many pods: seconds until the API server calls as many ready, and until the pool has just these."""
    began = time.monotonic()
    await asyncio.to_thread(lab.kubectl, "scale", "deployment/web", f"--replicas={count}")

    async def has_all():
        return len(await asyncio.to_thread(scene.ready_endpoints, lab, "web")) == count

    await scene.expect(has_all, 300, f"{count} pods are ready")
    ready = time.monotonic() - began

    async def pool_has_all():
        return await proxy.backends("web") == count

    await scene.expect(pool_has_all, 120, f"the pool has {count} backends")
    return ready, time.monotonic() - began


async def up_and_down(args, scratch, findings, lab):
    """Part 1."""
    lab.apply(objects.service("web", selector={"app": "web"}), objects.deployment("web", SMALL, period=10))
    await scene.expect(lambda: len(scene.ready_endpoints(lab, "web")) == SMALL, 30, "the first pods are ready")
    with scene.vanne(args, scratch, scene.account(lab), [scene.follows("web")]) as proxy:
        await scene.expect(lambda: proxy.backends("web"), 10, "the pool has backends")
        async with scene.load(proxy.http, "/web", RATE) as load:
            await asyncio.sleep(2)
            for count in (args.pods, SMALL):
                ready, done = await scaled(lab, proxy, count)
                print(f"to {count} pods: ready after {ready:.1f} s, in the pool after {done:.1f} s", flush=True)
                await asyncio.sleep(5)
    failed, why = scene.failures(load.answers)
    seen = len({scene.pod_of(answer) for answer in load.answers} - {None})
    findings.note(failed == 0 and seen > args.pods * 0.9, f"{SMALL} to {args.pods} pods and back: {len(load.answers)} "
                  f"requests, answered by {seen} pods, {failed} failed{why}")


def many(number):
    """One of the slices of the large Service. Nobody listens there, and nobody asks."""
    addresses = [f"10.244.{100 + number}.{one}" for one in range(1, ENDPOINTS + 1)]
    return objects.slice_of("many", addresses, name=f"many-{number}")


def cpu_seconds(child):
    """CPU time of a process' threads, finer than the kernel's ticks."""
    tasks = pathlib.Path(f"/proc/{child.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


async def start(args, scratch, kubeconfig, name, count):
    """Starts Vanne with the Service of this name: the block, the proxy, and seconds until its pool was there."""
    began = time.monotonic()
    block = scene.vanne(args, scratch, kubeconfig, [scene.follows(name, more="required = true")], name=name)
    proxy = block.__enter__()

    async def is_there():
        return await proxy.is_ready() and await proxy.backends(name) == count

    await scene.expect(is_there, 30, f"the pool has {count} backends")
    return block, proxy, time.monotonic() - began


async def large(args, scratch, findings, lab):
    """Part 2."""
    lab.apply(objects.service("none"), objects.service("many"))
    for number in range(SLICES):
        lab.access.do("POST", objects.slices_path(), many(number))
    kubeconfig = lab.access.kubeconfig("large.kubeconfig", token=lab.access.token("default", "vanne", 3600))
    block, proxy, empty_seconds = await start(args, scratch, kubeconfig, "none", 0)
    await asyncio.sleep(1)
    empty_mib = stage.rss_mib(proxy.child)
    block.__exit__(None, None, None)
    block, proxy, seconds = await start(args, scratch, kubeconfig, "many", SLICES * ENDPOINTS)
    try:
        await asyncio.sleep(2)
        mib = stage.rss_mib(proxy.child)
        began, cpu = time.monotonic(), cpu_seconds(proxy.child)
        await asyncio.sleep(CHANGES * CHANGE_SECONDS)
        idle = (cpu_seconds(proxy.child) - cpu) / (time.monotonic() - began)
        began, cpu = time.monotonic(), cpu_seconds(proxy.child)
        for number in range(CHANGES):
            one = many(number % SLICES)
            one["endpoints"][number % ENDPOINTS]["conditions"] = {"ready": False, "serving": False}
            path = objects.slices_path(name=one["metadata"]["name"])
            await asyncio.to_thread(lab.access.do, "PATCH", path, {"endpoints": one["endpoints"]})
            await asyncio.sleep(CHANGE_SECONDS)
        each = (cpu_seconds(proxy.child) - cpu - idle * (time.monotonic() - began)) / CHANGES
        left = SLICES * ENDPOINTS - CHANGES

        async def has_fewer():
            return await proxy.backends("many") == left

        took = await scene.until(has_fewer, 5)
        most = stage.rss_mib(proxy.child)
    finally:
        block.__exit__(None, None, None)
    what = f"{SLICES * ENDPOINTS} endpoints in {SLICES} slices"
    findings.note(seconds - empty_seconds <= FIRST_SECONDS_MAX, f"{what}: in use {seconds:.2f} s after the start, an "
                  f"empty pool after {empty_seconds:.2f} s")
    findings.note(each <= CHANGE_CPU_SECONDS_MAX and took is not None, f"one change takes {each * 1e3:.1f} ms of CPU "
                  f"(idle: {idle * 1e3:.1f} ms a second); all {CHANGES} came through: {took is not None}")
    findings.note(most - empty_mib <= GROWN_MIB_MAX, f"memory: {empty_mib:.0f} MiB with an empty pool, {mib:.0f} MiB "
                  f"with all, {most:.0f} MiB after the changes")


async def main(args, scratch, findings, lab):
    """Both parts."""
    await up_and_down(args, scratch, findings, lab)
    await large(args, scratch, findings, lab)


if __name__ == "__main__":
    parser = scene.arguments(__doc__)
    parser.add_argument("--pods", type=int, default=300)
    parser.set_defaults(has_pods=True)
    scene.play(main, parser.parse_args())
