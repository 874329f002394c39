#!/usr/bin/env python3
"""Faults of Redis under load: what clients notice while limits that replicas share cannot be.

A real redis-server, killed, frozen, slow, holding other things under the limits' keys, and restarted several times,
while requests come on schedule: most of clients that stay far below their limit, some of one that does not. With
leases, where nobody waits for Redis, and exactly, where everybody does, for 20 ms at most.

Judged: no request fails (429 to the greedy client is right, anything else but 200 is not); the 99th percentile while
Redis is in trouble beside that of before; the greedy client gets no more than its limit and its stated excess, and no
less than its share.
"""

import asyncio
import contextlib
import dataclasses
import os
import signal
import subprocess
import time

import stage
import traffic

RATE, SECONDS, FAULTY_FROM, FAULTY_UNTIL = 200, 12, 4, 8
# Every so many requests one is of the greedy client: 50 a second.
GREEDY_EVERY = 4
LIMIT_RATE, LIMIT_BURST = 10, 20
TIMEOUT_MS, SLOW_MS = 20, 200
# Leases make nobody wait; exactly means to wait for as long as Redis may take.
NOISE_MS = {"leased": 10, "exact": TIMEOUT_MS + 10}

CONFIG = """\
trusted_proxies = ["127.0.0.0/8"]
[redis]
address = "127.0.0.1:{redis}"
timeout = "{timeout}ms"
[rate_limit.each]
key = "ip"
rate = "{rate}/s"
burst = {burst}
shared = "{shared}"
[pool.app]
backends = ["127.0.0.1:{origin}"]
[[route]]
name = "all"
pool = "app"
rate_limits = ["each"]
"""


class Redis:
    """A redis-server, and the way to it that may be slow."""

    def __init__(self, scratch):
        self.scratch, self.child, self.delay = scratch, None, 0.0
        (self.port,) = stage.lasting_ports(1)
        self.way_port = None

    async def start(self):
        """Runs it; done when it listens."""
        command = [stage.need("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                   "--dir", str(self.scratch)]
        self.child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            await asyncio.sleep(0.01)

    async def kill(self):
        """kill -9."""
        self.end()

    def end(self):
        """Ends it, whatever its state."""
        if self.child.poll() is None:
            os.kill(self.child.pid, signal.SIGKILL)
        self.child.wait()

    async def freeze(self):
        """SIGSTOP."""
        os.kill(self.child.pid, signal.SIGSTOP)

    async def thaw(self):
        """SIGCONT."""
        os.kill(self.child.pid, signal.SIGCONT)

    async def slow(self):
        """Each answer takes longer than is waited for."""
        self.delay = SLOW_MS / 1000

    async def fast(self):
        """As it was."""
        self.delay = 0.0

    async def spoil(self):
        """All keys of limits hold lists for a while, new ones too."""
        script = "for _, k in ipairs(redis.call('KEYS', '*limit*')) do redis.call('DEL', k) redis.call('RPUSH', k, 'x') end"
        for _ in range(20):
            await self.ask("EVAL", script, "0")
            await asyncio.sleep((FAULTY_UNTIL - FAULTY_FROM) / 25)

    async def flush(self):
        """Forgets all."""
        await self.ask("FLUSHALL")

    async def restart(self):
        """Ends it and starts it, three times."""
        for _ in range(3):
            self.end()
            await asyncio.sleep(0.3)
            await self.start()
            await asyncio.sleep(0.5)

    async def nothing(self):
        """It is well already."""

    async def ask(self, *words):
        """Has it do something."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        parts = b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words)
        writer.write(b"*%d\r\n" % len(words) + parts)
        await reader.readline()
        writer.close()

    async def open_way(self):
        """A server before it that delays answers."""
        async def serve(reader, writer):
            # Cancelled when the scenario is over.
            with contextlib.suppress(OSError, asyncio.CancelledError):
                from_redis, to_redis = await asyncio.open_connection("127.0.0.1", self.port)
                await asyncio.gather(self.pass_on(reader, to_redis, False), self.pass_on(from_redis, writer, True))
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.way_port = server.sockets[0].getsockname()[1]
        return server

    async def pass_on(self, reader, writer, is_delayed):
        """Bytes one way, until either end goes."""
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                if is_delayed and self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(piece)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()


@dataclasses.dataclass
class Scenario:
    """What happens to Redis, and what ends it."""

    name: str
    fault: object
    heal: object
    # How often it loses its memory: then all buckets are full.
    forgets: int = 0


SCENARIOS = {
    "kill": Scenario("kill -9", Redis.kill, Redis.start, forgets=1),
    "freeze": Scenario("SIGSTOP", Redis.freeze, Redis.thaw),
    "slow": Scenario(f"{SLOW_MS} ms slower", Redis.slow, Redis.fast),
    "wrong": Scenario("keys that hold lists", Redis.spoil, Redis.flush, forgets=1),
    "restart": Scenario("restarted three times", Redis.restart, Redis.nothing, forgets=3),
}


async def played(scenario, shared, args, scratch):
    """One scenario: the answers to honest requests and to greedy ones, by when they began."""
    redis = Redis(scratch)
    await redis.start()
    http, probe = stage.free_ports(2)
    (origin,) = stage.free_ports(1)
    with contextlib.ExitStack() as stack:
        stack.callback(redis.end)
        way = await redis.open_way()
        stack.callback(way.close)
        stack.enter_context(stage.origins([origin], scratch))
        config = stage.CONFIG.format(workers=2, probe=probe, http=http) + CONFIG.format(
            redis=redis.way_port, timeout=TIMEOUT_MS, rate=LIMIT_RATE, burst=LIMIT_BURST, shared=shared, origin=origin)
        child = stack.enter_context(stage.vanne(args.vanne, config, scratch, [http, probe]))
        client = stack.enter_context(traffic.client(http))
        await asyncio.sleep(1)
        lags = stack.enter_context(traffic.lags(child))
        greedy, honest, began = [], [], time.monotonic()

        async def ask(number):
            is_greedy = number % GREEDY_EVERY == 0
            who = "192.0.2.1" if is_greedy else f"198.51.100.{number % 200}"
            answer = await client.ask(traffic.request(fields={"x-forwarded-for": who}))
            (greedy if is_greedy else honest).append(answer)
            return answer

        load = asyncio.create_task(traffic.on_schedule(RATE, RATE * SECONDS, ask))
        await asyncio.sleep(began + FAULTY_FROM - time.monotonic())
        fault = asyncio.create_task(scenario.fault(redis))
        await asyncio.sleep(began + FAULTY_UNTIL - time.monotonic())
        await fault
        await scenario.heal(redis)
        await load
        return began, honest, greedy, lags


def judge(scenario, shared, found, findings):
    """What is asked of Vanne."""
    title = f"{shared}, {scenario.name}"
    began, honest, greedy, lags = found
    failed = [answer.why for answer in honest if not answer.is_good]
    failed += [answer.why for answer in greedy if answer.status not in (200, 429)]
    before = [one for one in honest if 1 < one.began - began < FAULTY_FROM]
    during = [one for one in honest if FAULTY_FROM <= one.began - began < FAULTY_UNTIL]
    calm, troubled = lags.p99_ms(before), lags.p99_ms(during)
    passed = sum(answer.is_good for answer in greedy)
    # One replica: its share is the whole; what a change of mode may give once more is a burst each way.
    bursts = 9 / 4 + 2 + scenario.forgets
    most, least = LIMIT_RATE * SECONDS + int(LIMIT_BURST * bursts), LIMIT_RATE * SECONDS * 7 // 10
    findings.note(not failed, f"{title}: {len(failed)} of {len(honest) + len(greedy)} failed {sorted(set(failed))}")
    findings.note(troubled <= calm + NOISE_MS[shared],
                  f"{title}: p99 {troubled:.1f} ms, before {calm:.1f} ms (at most {NOISE_MS[shared]} ms more)")
    findings.note(least <= passed <= most, f"{title}: {passed} of {len(greedy)} greedy requests passed ({least} to {most})")


async def main(args, scratch, findings):
    """All scenarios, leased and exactly."""
    for shared in ("leased", "exact"):
        for name in args.scenarios.split(","):
            scenario = SCENARIOS[name]
            folder = scratch / f"{shared}-{name}"
            folder.mkdir()
            found = await played(scenario, shared, args, folder)
            judge(scenario, shared, found, findings)


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help="some of them (%(default)s)")
    stage.play(main, parser.parse_args())
