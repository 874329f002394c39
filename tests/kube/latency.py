#!/usr/bin/env python3
"""From a change of an EndpointSlice to the first request that the new backend gets.

A slice with one endpoint is patched again and again, each time to another pod, while a client asks steadily. The pods
say when a request came in, by the machine's clock, which the patches are timed by too. Asked for: p50 <= 15 ms and
p99 <= 50 ms from when the patch is sent. Beside it, from when the API server has answered the patch: often before 0, as
watchers are told while the answer is under way.

Changes in whose time the machine was late (this process woke up late, or the proxy waited for a core) by more than
5 ms are counted and left out.
"""

import asyncio
import sys
import time

import objects
import scene
import traffic

PODS = [f"10.244.200.{number}" for number in range(1, 9)]
RATE = 500
PATIENCE_SECONDS = 5
PAUSE_SECONDS = 0.05
LATE_SECONDS = 0.005
P50_SECONDS_MAX, P99_SECONDS_MAX = 0.015, 0.050


def patch(lab, address):
    """Has the slice name this pod: when it was sent, and when answered."""
    change = {"endpoints": [objects.endpoint(address)]}
    sent = time.time()
    lab.access.do("PATCH", objects.slices_path(name="web-1"), change)
    return sent, time.time()


async def change(lab, load, address):
    """One change: times in seconds from sending and from the answer to the first request, and when it was sent."""
    before = len(load.answers)
    clock = time.monotonic() - time.time()
    sent, answered = await asyncio.to_thread(patch, lab, address)
    found = []

    def look():
        new = [answer for answer in load.answers[before:] if scene.pod_of(answer) == address]
        found.extend(scene.arrived(answer) for answer in new)
        return new

    await scene.expect(look, PATIENCE_SECONDS, f"{address} gets requests")
    first = min(found)
    return first - sent, first - answered, sent + clock, first + clock


def shown(values):
    """Percentiles in milliseconds."""
    p50, p99 = (traffic.percentile(values, share) * 1e3 for share in (0.5, 0.99))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, most {max(values) * 1e3:.1f} ms"


async def main(args, scratch, findings, lab):
    """All changes."""
    lab.apply(objects.service("web"), objects.slice_of("web", PODS[:1]))
    # The other thread's patch is to begin at once.
    sys.setswitchinterval(0.0002)
    with scene.pods(lab, scratch, PODS), scene.vanne(args, scratch, scene.account(lab), [scene.follows("web")]) as proxy:
        await scene.expect(lambda: proxy.backends("web"), 10, "the pool has a backend")
        lags = traffic.Lags(proxy.child)
        watching = asyncio.create_task(lags.watch())
        async with scene.load(proxy.http, "/web", RATE) as load:
            changes = []
            for number in range(1, args.changes + 1):
                await asyncio.sleep(PAUSE_SECONDS)
                changes.append(await change(lab, load, PODS[number % len(PODS)]))
        watching.cancel()
    calm = [one for one in changes if lags.during(one[2], one[3]) <= LATE_SECONDS]
    print(f"{len(changes)} changes; in {len(changes) - len(calm)} of them the machine was late")
    print(f"all, from sending: {shown([one[0] for one in changes])}")
    calm = calm if len(calm) > len(changes) / 2 else changes
    since_sent, since_answer = ([one[at] for one in calm] for at in (0, 1))
    p50, p99 = (traffic.percentile(since_sent, share) for share in (0.5, 0.99))
    findings.note(p50 <= P50_SECONDS_MAX and p99 <= P99_SECONDS_MAX, f"patch sent to first request: {shown(since_sent)} "
                  f"(from its answer: {shown(since_answer)})")
    failed, why = scene.failures(load.answers)
    findings.note(failed == 0, f"{len(load.answers)} requests, {failed} failed{why}")


if __name__ == "__main__":
    parser = scene.arguments(__doc__)
    parser.add_argument("--changes", type=int, default=200)
    parser.set_defaults(has_pods=False)
    scene.play(main, parser.parse_args())
