#!/usr/bin/env python3
"""Sticky clients over a rolling replacement of all backends, and over time.

1. 1,000 clients with a cookie each, at six backends. Six others come, those that were there are drained and leave one
   after the other (a reload each), while all clients go on asking. Nobody's request fails; each client moves at most
   once, and only when its backend has left.
2. A cookie that is used lasts longer than its time; one that is not used is forgotten.
"""

import asyncio
import subprocess

import stage
import traffic

WORKERS = 4
LANES = 32
CLIENTS = 1000
BACKENDS = 6
TTL_SECONDS = 3
# Of each kind. One more than a whole number of turns: whoever is forgotten gets another backend than before.
VISITORS = 31

POOL = """\
[pool.sticky]
backends = [{backends}]
sticky = {{ cookie = "ID", ttl = "{ttl}s", key_file = "keys" }}
[[route]]
name = "sticky"
pool = "sticky"
"""


class Proxy:
    """Vanne with one sticky pool."""

    def __init__(self, args, scratch):
        self.binary, self.scratch = args.vanne, scratch
        self.http, self.probe = stage.free_ports(2)
        (scratch / "keys").write_text("k" * 32)

    def config(self, ports, ttl):
        """A whole config."""
        backends = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
        head = stage.CONFIG.format(workers=WORKERS, http=self.http, probe=self.probe)
        return head + POOL.format(backends=backends, ttl=ttl)

    async def reload(self, ports):
        """Has these backends used; clients go on meanwhile."""
        await asyncio.to_thread(stage.reload, self.binary, self.scratch, self.config(ports, 1800))

    async def say(self, verb, port):
        """What an operator says of a backend."""
        socket = str(self.scratch / "admin.sock")
        command = [self.binary, "backend", verb, "sticky", f"127.0.0.1:{port}", "--socket", socket]
        await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)


class Visitor:
    """A client with a cookie."""

    def __init__(self):
        self.cookie, self.homes, self.asked = None, [], 0

    async def ask(self, client):
        """One request; whether it was answered."""
        self.asked += 1
        answer = await client.ask(traffic.request(fields={"cookie": self.cookie} if self.cookie else {}))
        if not answer.is_good:
            return False
        if given := answer.fields.get("set-cookie"):
            self.cookie = given.split(";")[0]
        if not self.homes or self.homes[-1] != answer.origin:
            self.homes.append(answer.origin)
        return True


async def rolling(args, scratch, findings):
    """One backend after the other is replaced."""
    proxy = Proxy(args, scratch)
    old, new = stage.lasting_ports(BACKENDS), stage.lasting_ports(BACKENDS)
    visitors = [Visitor() for _ in range(CLIENTS)]
    left, needless, failed, stop = set(), 0, 0, asyncio.Event()
    with stage.origins([*old, *new], scratch):
        with stage.vanne(args.vanne, proxy.config(old, 1800), scratch, [proxy.http]):
            with traffic.client(proxy.http) as client:

                async def ask(number):
                    nonlocal failed, needless
                    before = visitors[number].homes[-1:]
                    failed += not await visitors[number].ask(client)
                    after = visitors[number].homes[-1:]
                    needless += bool(before) and before != after and before[0] not in left

                async def all_ask():
                    await traffic.one_after_other(LANES, CLIENTS, ask)

                async def go_on():
                    while not stop.is_set():
                        await all_ask()

                await all_ask()
                asking = asyncio.create_task(go_on())
                await proxy.reload([*old, *new])
                for port in old:
                    await proxy.say("drain", port)
                await asyncio.sleep(1)
                for at, port in enumerate(old, 1):
                    left.add(port)
                    await proxy.reload([*old[at:], *new])
                    await asyncio.sleep(1)
                stop.set()
                await asking
                await all_ask()
    moves = [len(visitor.homes) - 1 for visitor in visitors]
    at_most = max(moves)
    asked = sum(visitor.asked for visitor in visitors)
    findings.note(needless == 0 and failed == 0, f"{CLIENTS} clients, {asked} requests, {BACKENDS} backends replaced "
                  f"one after the other: {sum(moves)} moves, {needless} while their backend was there, {failed} failed")
    gone = {port for visitor in visitors for port in visitor.homes[:-1]}
    findings.note(gone <= left and at_most == 1, f"a client moved at most {at_most} times ({moves.count(1)} once, "
                  f"{moves.count(0)} never)")


async def over_time(args, scratch, findings):
    """A cookie's time."""
    proxy = Proxy(args, scratch)
    ports = stage.lasting_ports(3)
    with stage.origins(ports, scratch, "timed"):
        with stage.vanne(args.vanne, proxy.config(ports, TTL_SECONDS), scratch, [proxy.http]):
            with traffic.client(proxy.http) as client:
                busy, idle = [Visitor() for _ in range(VISITORS)], [Visitor() for _ in range(VISITORS)]
                for visitor in busy + idle:
                    await visitor.ask(client)
                for _ in range(2 * TTL_SECONDS):
                    await asyncio.sleep(1)
                    for visitor in busy:
                        await visitor.ask(client)
                for visitor in idle:
                    await visitor.ask(client)
    stayed = sum(len(visitor.homes) == 1 for visitor in busy)
    findings.note(stayed == VISITORS, f"used every second for {2 * TTL_SECONDS} s, with {TTL_SECONDS} s to live: {stayed} of "
                  f"{VISITORS} stay")
    moved = sum(len(visitor.homes) == 2 for visitor in idle)
    findings.note(moved == VISITORS, f"idle for {2 * TTL_SECONDS} s: {moved} of {VISITORS} are forgotten")


async def main(args, scratch, findings):
    """Both."""
    print(f"Vanne with {WORKERS} workers; pool:\n{POOL.replace('{{', '{').replace('}}', '}')}")
    await rolling(args, scratch, findings)
    await over_time(args, scratch, findings)


if __name__ == "__main__":
    stage.play(main, stage.arguments(__doc__).parse_args())
