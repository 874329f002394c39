#!/usr/bin/env python3
"""Reloads under load: no request may fail and nothing that is open may be cut.

Runs `vanne` before demo backends, with so many requests a second over kept connections and over
new ones, and WebSockets, slow downloads and slow uploads all the while. Meanwhile the config is
replaced again and again and used by way of the admin socket: other routes, backends, limits, and
a listener that comes and goes and is asked each time it is there. Counts failures and cuts.
Memory is looked at before the first reload and so many minutes after the last one, with the same
load on both times. Exit code 1 if anything failed, a reload was not applied, an old config is
still alive in the end, or memory has grown by more than the limit.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time

import stage
import traffic
from drain import Load, free_port

CONFIG = """
[process]
watch_config = false
[admin]
socket = "{folder}/admin.sock"
[access_log]
to = "off"
[log]
level = "warn"
[probe]
address = "127.0.0.1:{probe}"
[listener.http]
address = "127.0.0.1:{http}"
max_connections = {limit}
"""
LISTENER = """
[listener.extra]
address = "127.0.0.1:{extra}"
"""
ROUTES = """
[pool.{pool}]
backends = [{backends}]
timeouts.connect = "{connect}s"
[[route]]
name = "{route}"
pool = "{pool}"
timeouts.total = "{total}s"
[pool.other]
backends = [{first}]
[[route]]
name = "other"
pool = "other"
match = {{ path = "/n{number}" }}
"""


class ReloadLoad(Load):
    """The load of a drain, with connections that are used once, and on after the first end."""

    async def keep_new(self, interval):
        """Requests at a fixed pace, each on a connection of its own."""
        due = time.monotonic()
        while not self.stop.is_set():
            await self.guard("new connection", self.once(self.http))
            due += interval
            await asyncio.sleep(max(0, due - time.monotonic()))

    async def once(self, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /bytes/1000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        status, fields = await self.head(reader)
        body = await self.body(reader, fields)
        writer.close()
        if status != 200 or body != 1000:
            self.fail("new connection", (status, body))
        self.done("new connections")

    async def again(self, kind, make):
        """One after the other, so that there is always one, until it is time to stop."""
        while not self.stop.is_set():
            await self.guard(kind, make())


class Process:
    def __init__(self, args, folder, ports, backends):
        self.args, self.folder, self.ports, self.backends = args, folder, ports, backends
        self.write(0)
        self.child = subprocess.Popen([args.vanne, "run", "--config", f"{folder}/vanne.toml", *stage.RUN_OPTIONS])

    def write(self, number):
        http, probe, extra = self.ports
        text = CONFIG.format(folder=self.folder, probe=probe, http=http, limit=20000 + number)
        if number % 2:
            text += LISTENER.format(extra=extra)
        # Each backend leaves now and then, and comes back.
        gone = number % (len(self.backends) + 1)
        backends = [b for n, b in enumerate(self.backends) if n != gone]
        text += ROUTES.format(
            pool="even" if number % 4 < 2 else "odd",
            route=f"route{number % 5}",
            backends=", ".join(backends),
            first=self.backends[0],
            connect=1 + number % 3,
            total=3600 + number,
            number=number,
        )
        with open(f"{self.folder}/new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(f"{self.folder}/new", f"{self.folder}/vanne.toml")

    async def reload(self, number):
        """Has config `number` used: what came of it."""
        self.write(number)
        command = [self.args.vanne, "reload", "--socket", f"{self.folder}/admin.sock", "--json"]
        child = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        out, _ = await child.communicate()
        return json.loads(out or "{}")

    def rss_mib(self):
        return stage.rss_mib(self.child)

    async def metric(self, pattern):
        return await traffic.metric(self.ports[1], pattern)


def start_load(load, args):
    kept, new = args.connections, max(1, args.connections // 5)
    rates = ((load.keep_alive, kept, args.rate * 0.9), (load.keep_new, new, args.rate * 0.1))
    tasks = [
        asyncio.create_task(make(count / rate)) for make, count, rate in rates for _ in range(count)
    ]
    long = (
        ("websocket", load.websocket, args.websockets, 30),
        ("download", load.download, args.long, 10),
        ("upload", load.upload, args.long, 10),
    )
    for kind, make, count, seconds in long:
        for n in range(count):
            once = lambda make=make, time=seconds * (0.5 + n / max(1, count)): make(time)
            tasks.append(asyncio.create_task(load.again(kind, once)))
    return tasks


async def main(args):
    folder = tempfile.mkdtemp()
    http, probe, extra, base = (free_port() for _ in range(4))
    backends = [f'"127.0.0.1:{base + n}"' for n in range(3)]
    demo = subprocess.Popen(
        [args.vanne, "demo", "--backends-only", "--base-port", str(base)], stdout=subprocess.DEVNULL
    )
    process = Process(args, folder, (http, probe, extra), backends)
    await asyncio.sleep(1)
    load = ReloadLoad(http, probe)
    tasks = start_load(load, args)
    await asyncio.sleep(args.warm_up)
    before, not_applied = process.rss_mib(), []
    began = time.monotonic()
    for number in range(1, args.reloads + 1):
        report = await process.reload(number)
        if report.get("result") != "applied":
            not_applied.append((number, report))
        if number % 2:
            await load.guard("added listener", load.once(extra))
        await asyncio.sleep(args.pause)
    took = time.monotonic() - began
    await asyncio.sleep(60 * args.minutes)
    after = process.rss_mib()
    load.stop.set()
    await asyncio.wait(tasks, timeout=60)
    old = r'vanne_generations_alive{held_by="(?:requests|tunnels)"}'
    alive = await traffic.settled(lambda: process.metric(old), 0, 10)
    series = await process.metric(r"vanne_reloads_total{[^}]*}")
    process.child.terminate()
    code = process.child.wait(timeout=60)
    demo.terminate()
    grown = after - before
    print(f"{args.reloads} reloads in {took:.1f} s; not applied: {len(not_applied)} {not_applied[:3]}")
    print(f"ended: {load.ended}; failed or cut: {len(load.failed)} {load.failed[:5]}")
    print(f"RSS {before:.1f} MiB before, {after:.1f} MiB {args.minutes:g} min after: {grown:+.1f} MiB")
    print(f"old configs alive: {alive:g}; reloads counted: {series:g}; exit code {code}")
    is_good = not load.failed and not not_applied and alive == 0 and code == 0
    return 0 if is_good and grown <= args.grow_max_mib else 1


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    parser.add_argument("--reloads", type=int, default=100)
    parser.add_argument("--pause", type=float, default=0.3, help="seconds between two reloads")
    parser.add_argument("--rate", type=int, default=2000, help="requests a second, one in ten on a new connection")
    parser.add_argument("--connections", type=int, default=50, help="kept connections")
    parser.add_argument("--websockets", type=int, default=50)
    parser.add_argument("--long", type=int, default=20, help="slow downloads and slow uploads, each")
    parser.add_argument("--warm-up", type=float, default=20, help="seconds of load before memory is looked at")
    parser.add_argument("--minutes", type=float, default=2, help="minutes of load after the last reload")
    parser.add_argument("--grow-max-mib", type=float, default=10)
    sys.exit(asyncio.run(main(parser.parse_args())))
