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

    def say(self, verb, port):
        """What an operator says of a backend."""
        socket = str(self.scratch / "admin.sock")
        command = [self.binary, "backend", verb, "sticky", f"127.0.0.1:{port}", "--socket", socket]
        subprocess.run(command, check=True, capture_output=True)


class Visitor:
    """A client with a cookie."""

    def __init__(self):
        self.cookie, self.homes = None, []

    async def ask(self, client):
        """One request; whether it was answered."""
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
    left, needless, failed = set(), 0, 0
    with stage.origins([*old, *new], scratch):
        with stage.vanne(args.vanne, proxy.config(old, 1800), scratch, [proxy.http]):
            with traffic.client(proxy.http) as client:

                async def all_ask():
                    nonlocal failed, needless
                    before = [visitor.homes[-1:] for visitor in visitors]
                    done = await traffic.one_after_other(LANES, CLIENTS, lambda n: visitors[n].ask(client))
                    failed += done.count(False)
                    moved = [was[0] for was, visitor in zip(before, visitors) if was and was != visitor.homes[-1:]]
                    needless += sum(port not in left for port in moved)

                await all_ask()
                stage.reload(args.vanne, scratch, proxy.config([*old, *new], 1800))
                for gone in old:
                    proxy.say("drain", gone)
                await all_ask()
                for at, gone in enumerate(old, 1):
                    left.add(gone)
                    stage.reload(args.vanne, scratch, proxy.config([*old[at:], *new], 1800))
                    await all_ask()
                await all_ask()
    moves = [len(visitor.homes) - 1 for visitor in visitors]
    at_most = max(moves)
    findings.note(needless == 0 and failed == 0, f"{CLIENTS} clients, {BACKENDS} backends replaced one after the other: "
                  f"{sum(moves)} moves, {needless} while their backend was there, {failed} requests failed")
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
                busy, idle = [Visitor() for _ in range(30)], [Visitor() for _ in range(30)]
                for visitor in busy + idle:
                    await visitor.ask(client)
                given = [visitor.cookie for visitor in idle]
                for _ in range(2 * TTL_SECONDS):
                    await asyncio.sleep(1)
                    for visitor in busy:
                        await visitor.ask(client)
                for visitor in idle:
                    await visitor.ask(client)
    stayed = sum(len(visitor.homes) == 1 for visitor in busy)
    findings.note(stayed == 30, f"used every second for {2 * TTL_SECONDS} s, with {TTL_SECONDS} s to live: {stayed} of 30 stay")
    renewed = sum(visitor.cookie != cookie for visitor, cookie in zip(idle, given))
    findings.note(renewed == 30, f"idle for {2 * TTL_SECONDS} s: {renewed} of 30 are forgotten and get a new cookie")


async def main(args, scratch, findings):
    """Both."""
    print(f"Vanne with {WORKERS} workers; pool:\n{POOL}")
    await rolling(args, scratch, findings)
    await over_time(args, scratch, findings)


if __name__ == "__main__":
    stage.play(main, stage.arguments(__doc__).parse_args())
