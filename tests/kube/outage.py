#!/usr/bin/env python3
"""The API server is killed (-9) for a minute under load, and things go on meanwhile.

While it is away a second API server on the same etcd, which Vanne does not know, moves the Service to another pod; etcd
forgets all that was before. The old pod lives on. Two Vannes: no request fails, each says that what it has is old, each
uses the new pod within 1 s of the API server's being ready again, and they do not rush to it: each lists at most twice.
A frozen API server (SIGSTOP), which takes connections and says nothing, is the same to traffic.
"""

import asyncio
import contextlib
import signal
import time

import objects
import scene

OLD, NEW, LAST = "10.244.210.1", "10.244.210.2", "10.244.210.3"
NAMES = ("vanne-a", "vanne-b")
RATE = 100
BACK_SECONDS_MAX = 1.0
LISTS_MAX = 2
LISTS_SECONDS = 10
# Vanne has to notice by itself that nothing comes any more.
FROZEN_SECONDS_MAX = 90


def move(lab, address, server):
    """Has the slice name this pod."""
    path = objects.slices_path(name="web-1")
    lab.access.do("PATCH", path, {"endpoints": [objects.endpoint(address)]}, server=server, is_kept=False)


def uses_only(load, address):
    """Whether the last answers of a load are all from this pod."""
    last = load.answers[-5:]
    return len(last) == 5 and all(scene.pod_of(answer) == address for answer in last)


def first_from(load, address):
    """When the first request of a load came to this pod, in seconds since 1970."""
    return min((scene.arrived(one) for one in load.answers if scene.pod_of(one) == address), default=float("inf"))


async def killed(args, findings, lab, proxies, loads):
    """The API server is away for a while."""
    lab.kill_apiserver()
    began = time.monotonic()
    stale = [await scene.until(lambda one=one: one.is_stale("web"), args.seconds / 2) for one in proxies]
    is_told = None not in stale
    findings.note(is_told, "both say that the pool is old, after "
                  f"{', '.join(f'{one:.1f} s' for one in stale) if is_told else 'too long'}")
    await asyncio.sleep(args.seconds / 2 - (time.monotonic() - began))
    await asyncio.to_thread(lab.start_apiserver, 1)
    await asyncio.to_thread(move, lab, NEW, 1)
    lab.compact()
    lab.kill_apiserver(1)
    await asyncio.sleep(args.seconds - (time.monotonic() - began))
    findings.note(all(uses_only(load, OLD) for load in loads), f"killed for {args.seconds:g} s: the old pod served on")
    lab.start_apiserver(is_awaited=False)
    await scene.expect(lambda: asyncio.to_thread(is_back, lab), 60, "the API server is ready again")
    back = time.time()
    for load in loads:
        await scene.until(lambda load=load: uses_only(load, NEW), 60)
    late = [first_from(load, NEW) - back for load in loads]
    findings.note(max(late) <= BACK_SECONDS_MAX, f"the new pod is used {shown(late)} after the API server was ready")
    calm = [await scene.until(lambda one=one: is_fresh(one), 10) for one in proxies]
    findings.note(None not in calm, "both say that the pool is up to date again")
    await asyncio.sleep(LISTS_SECONDS - (time.time() - back))
    lists = [times(lab, name, back - 10) for name in NAMES]
    findings.note(all(1 <= len(one) <= LISTS_MAX for one in lists), f"lists asked for since: "
                  f"{' and '.join(shown([at - back for at in one]) or 'none' for one in lists)} from then")


def is_back(lab):
    """Whether the API server answers; while it is not there at all, it does not."""
    with contextlib.suppress(OSError):
        return lab.is_ready()
    return False


async def is_fresh(proxy):
    """Whether Vanne says that what the pool has is what there is."""
    return not await proxy.is_stale("web")


def times(lab, name, since):
    """When this one asked for a list, in seconds since 1970."""
    events = lab.asked("list", scene.ACCOUNT.format(name))
    return [at for at in map(scene.moment, events) if at >= since]


def shown(seconds):
    """Times in a line."""
    return ", ".join(f"{one:.2f} s" for one in seconds)


async def frozen(findings, lab, proxies, loads):
    """The API server stands still, then it is killed and comes back with a change."""
    child = lab.children["apiserver-0"]
    child.send_signal(signal.SIGSTOP)
    took = [await scene.until(lambda one=one: one.is_stale("web"), FROZEN_SECONDS_MAX) for one in proxies]
    findings.note(None not in took, "a frozen API server is noticed after "
                  f"{shown(took) if None not in took else 'too long'}, at most {FROZEN_SECONDS_MAX} s asked for")
    lab.kill_apiserver()
    await asyncio.to_thread(lab.start_apiserver)
    await asyncio.to_thread(move, lab, LAST, 0)
    for load in loads:
        await scene.until(lambda load=load: uses_only(load, LAST), 60)
    findings.note(all(uses_only(load, LAST) for load in loads), "and what changes after that is seen")


async def main(args, scratch, findings, lab):
    """Both outages."""
    lab.apply(objects.service("web"), objects.slice_of("web", [OLD]))
    with contextlib.ExitStack() as stack:
        stack.enter_context(scene.pods(lab, scratch, [OLD, NEW, LAST]))
        proxies = [
            stack.enter_context(scene.vanne(args, scratch, scene.account(lab, name), [scene.follows("web")], name))
            for name in NAMES
        ]
        for one in proxies:
            await scene.expect(lambda one=one: one.backends("web"), 10, "the pool has a backend")
        async with contextlib.AsyncExitStack() as traffic:
            loads = [await traffic.enter_async_context(scene.load(one.http, "/web", RATE)) for one in proxies]
            await asyncio.sleep(1)
            await killed(args, findings, lab, proxies, loads)
            await frozen(findings, lab, proxies, loads)
    answers = [answer for load in loads for answer in load.answers]
    failed, why = scene.failures(answers)
    findings.note(failed == 0, f"{len(answers)} requests all the while, {failed} failed{why}")


if __name__ == "__main__":
    parser = scene.arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long the API server is away")
    parser.set_defaults(has_pods=False)
    scene.play(main, parser.parse_args())
