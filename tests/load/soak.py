#!/usr/bin/env python3
"""Soak: mixed load with a reload every few seconds, for half an hour; nothing may fail, and nothing may grow.

The load goes on evenly all the time, so that readings can be compared: HTTP/1.1 over kept and over new connections, in
plain text and by TLS, HTTP/2, large bodies, WebSockets, slow uploads and downloads, clients that read slowly, and
clients that leave in the middle of an answer. Each reload changes routes, timeouts, limits and backends; a listener
comes and goes. One backend dies and comes back; only requests for its pool may be answered with an error, and none may
be without an answer.

Memory, open files, threads and, if there is `vanne_tasks`, tasks are read every second, and shown every ten. A line is
laid through the readings after the warm-up (least squares): met if memory (RSS) grew by at most 1 MB along it, and if
files, threads and tasks stayed as many. The warm-up is at least as long as idle connections to backends are kept. A run
with less than two minutes after it says nothing about growth, only about requests.
"""

import asyncio
import contextlib
import json
import pathlib
import re
import statistics
import time

import stage
from reload import ReloadLoad

PEERS = pathlib.Path(__file__).resolve().parent.parent.parent / "benches" / "peers"
CLIENT = ["client.c", "client_http.c", "client_settings.c"]
READ_EVERY_SECONDS = 1
SHOWN_EVERY = 10
WARM_UP_SECONDS_MIN, WARM_UP_SECONDS_MAX = 75, 300
CLIENT_SECONDS = 15
# Of a line through the counts: the share, and the number, that is noise of connections that come and go.
COUNT_GROWTH_SHARE, COUNT_GROWTH = 0.1, 8
# After the warm-up; a line through less is noise.
JUDGED_SECONDS_MIN = 120

# What the client does all the time: (what, way, target, key=value...).
STEADY = [
    ("h1", "h1", "/bytes/1000", "rate=300", "connections=50"),
    ("h1 new", "h1", "/bytes/1000", "rate=60", "connections=50", "new=1"),
    ("h1 by TLS", "h1s", "/bytes/1000", "rate=150", "connections=20"),
    ("TLS full", "h1s", "/bytes/1000", "rate=15", "connections=20", "new=1"),
    ("TLS resumed", "h1s", "/bytes/1000", "rate=15", "connections=20", "new=1", "resume=1"),
    ("h2", "h2", "/bytes/1000", "rate=200", "connections=4", "streams=50"),
    ("h2 large", "h2", "/bytes/1000000", "rate=10", "connections=4", "streams=10"),
    ("h1 large", "h1", "/bytes/1000000", "rate=10", "connections=4"),
]
# Others, each so many times at once and one after the other: (what, name of the method, times, seconds).
OTHERS = [
    ("websocket", "websocket", 10, 20),
    ("upload", "upload", 5, 8),
    ("download", "download", 5, 8),
    ("slow reader", "read_slowly", 3, 8),
    ("canceller", "cancel", 5, 0.2),
    ("caller of the dying", "ask_the_dying", 2, 0.1),
]

LISTENERS = """\
max_connections = {limit}
[listener.https]
address = "127.0.0.1:{https}"
tls = {{ certificates = ["{pem}"] }}
"""
EXTRA = """\
[listener.extra]
address = "127.0.0.1:{extra}"
"""
ROUTES = """\
[pool.{pool}]
backends = [{backends}]
timeouts.connect = "{connect}s"
[[route]]
name = "{route}"
pool = "{pool}"
timeouts.total = "{total}s"
[pool.dying]
backends = ["127.0.0.1:{dying}"{spare}]
breaker = {{}}
[[route]]
name = "dying"
pool = "dying"
match = {{ path = "/dying" }}
"""


class SoakLoad(ReloadLoad):
    """The load of the reload test, with clients that are slow, leave, or ask a backend that dies."""

    async def read_slowly(self, seconds):
        """Takes a large body in small parts."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.http, limit=1 << 14)
        writer.write(b"GET /bytes/2000000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        status, fields = await self.head(reader)
        total, parts = int(fields["content-length"]), 50
        for _ in range(parts):
            await reader.readexactly(total // parts)
            await asyncio.sleep(seconds / parts)
        writer.close()
        if status != 200:
            self.fail("slow reader", status)
        self.done("slow readers")

    async def cancel(self, seconds):
        """Leaves in the middle of a large answer."""
        reader, writer = await self.connect()
        writer.write(b"GET /bytes/20000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        await self.head(reader)
        await asyncio.sleep(seconds)
        writer.transport.abort()
        self.done("cancelled")

    async def ask_the_dying(self, seconds):
        """One request to the pool of the backend that dies: an answer, whatever it says."""
        reader, writer = await self.connect()
        writer.write(b"GET /dying HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        status, fields = await self.head(reader)
        await self.body(reader, fields)
        writer.close()
        self.done(f"dying {status}")
        await asyncio.sleep(seconds)


class Ports:
    """Where everything listens."""

    def __init__(self):
        self.http, self.https, self.extra, self.probe, self.dying, *self.backends = stage.lasting_ports(8)

    def config(self, number, pem):
        """The config of reload `number`."""
        text = stage.CONFIG.format(workers=2, probe=self.probe, http=self.http)
        text += LISTENERS.format(limit=20000 + number, https=self.https, pem=pem)
        if number % 2:
            text += EXTRA.format(extra=self.extra)
        backends = [f'"127.0.0.1:{port}"' for port in self.backends]
        spare = f", {backends[number % 3]}" if number % 5 == 0 else ""
        del backends[number % 4 : number % 4 + 1]
        return text + ROUTES.format(
            pool="even" if number % 4 < 2 else "odd",
            backends=", ".join(backends),
            route=f"route{number % 5}",
            connect=1 + number % 3,
            total=3600 + number,
            dying=self.dying,
            spare=spare,
        )


class Readings:
    """What was read of the process, every second."""

    def __init__(self, child, probe):
        self.process, self.probe, self.rows = pathlib.Path(f"/proc/{child.pid}"), probe, []
        self.began = time.monotonic()

    async def read(self):
        """One more row."""
        metrics = await scraped(self.probe)
        memory = (self.process / "smaps_rollup").read_text()
        row = {
            "at": time.monotonic() - self.began,
            "rss": int(re.search(r"(?m)^Rss: *(\d+)", memory)[1]) * 1024,
            "pss": int(re.search(r"(?m)^Pss: *(\d+)", memory)[1]) * 1024,
            "files": len(list((self.process / "fd").iterdir())),
            "threads": len(list((self.process / "task").iterdir())),
        }
        tasks = re.findall(r"(?m)^vanne_tasks(?:\{[^}]*\})? (.+)$", metrics)
        if tasks:
            row["tasks"] = sum(map(float, tasks))
        self.rows.append(row)
        if len(self.rows) % SHOWN_EVERY == 0:
            self.show()

    def show(self):
        """One line: the medians of the last readings."""
        last = self.rows[-SHOWN_EVERY:]
        row = {name: statistics.median(one[name] for one in last) for name in last[-1]}
        shown = ", ".join(f"{row[name]:.0f} {name}" for name in ("files", "threads", "tasks") if name in row)
        memory = f"RSS {row['rss'] / 1e6:.1f} MB, PSS {row['pss'] / 1e6:.1f} MB"
        print(f"{last[-1]['at']:5.0f} s: {memory}, {shown}", flush=True)

    def growth(self, name, after):
        """`(mean, growth along the line)` of the readings after the warm-up."""
        rows = [row for row in self.rows if row["at"] >= after]
        times, values = [row["at"] for row in rows], [row[name] for row in rows]
        slope, _ = statistics.linear_regression(times, values)
        return statistics.mean(values), slope * (times[-1] - times[0])


async def scraped(probe):
    """The text of /metrics."""
    reader, writer = await asyncio.open_connection("127.0.0.1", probe)
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    return text


async def steadily(load, client, ports, what, way, target, *words):
    """The client, again and again, until it is time to stop."""
    port = ports.http if way == "h1" else ports.https
    while not load.stop.is_set():
        command = [client, way, str(port), target, *words, f"seconds={CLIENT_SECONDS}"]
        child = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, errors = await child.communicate()
        if child.returncode:
            load.fail(what, errors.decode().strip())
            await asyncio.sleep(1)
        else:
            load.ended[what] = load.ended.get(what, 0) + json.loads(out)["requests"]


def backend_command(args, port):
    """The command line of one demo backend."""
    return [args.vanne, "demo", "--backends-only", "--count", "1", "--base-port", str(port)]


async def die_and_come_back(load, args, port):
    """The backend that dies: killed and started again every few seconds."""
    command = backend_command(args, port)
    while not load.stop.is_set():
        child = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        await waited(load.stop, args.dies_after)
        child.kill()
        await child.wait()
        await waited(load.stop, args.dies_after / 4)


async def waited(stop, seconds):
    """Until it is time to stop, or so many seconds are over."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        pass


async def reloads(load, args, scratch, ports, pem):
    """Another config every few seconds, until it is time to stop."""
    number = 0
    while not load.stop.is_set():
        number += 1
        try:
            await asyncio.to_thread(stage.reload, args.vanne, scratch, ports.config(number, pem))
            load.done("reloads")
        except stage.StageError as error:
            load.fail("reload", str(error))
        if number % 2:
            await load.guard("added listener", load.once(ports.extra))
        await waited(load.stop, args.reload_every)


def judge(readings, args, findings):
    """Says of each figure whether it stayed."""
    judged = max(0, args.seconds - args.warm_up)
    if judged < JUDGED_SECONDS_MIN:
        print(f"      growth is not judged: {judged:.0f} s after the warm-up are too few")
        return
    mean, grown = readings.growth("rss", args.warm_up)
    findings.note(grown <= args.grow_max_bytes, f"RSS: {mean / 1e6:.1f} MB, {grown / 1e6:+.2f} MB along the line")
    mean, grown = readings.growth("pss", args.warm_up)
    print(f"      PSS: {mean / 1e6:.1f} MB, {grown / 1e6:+.2f} MB along the line")
    for name in ("files", "threads", "tasks"):
        if name not in readings.rows[-1]:
            print(f"      {name}: there is no metric `vanne_{name}` in this build")
            continue
        mean, grown = readings.growth(name, args.warm_up)
        allowed = COUNT_GROWTH_SHARE * mean + COUNT_GROWTH
        findings.note(grown <= allowed, f"{name}: {mean:.0f}, {grown:+.1f} along the line (at most {allowed:.0f})")


async def main(args, scratch, findings):
    client = str(scratch / "client")
    sources = [str(PEERS / name) for name in CLIENT]
    compiled = await asyncio.create_subprocess_exec("cc", "-O2", "-o", client, *sources, "-lssl", "-lcrypto")
    if await compiled.wait():
        raise stage.StageError("the client was not compiled: `make verify` installs what it needs")
    ports = Ports()
    _, pem, _ = stage.certificate(scratch)
    listening = [ports.http, ports.https, ports.probe]
    with contextlib.ExitStack() as stack:
        for port in ports.backends:
            demo = backend_command(args, port)
            stack.enter_context(stage.running(demo, scratch / f"demo-{port}.log", [port]))
        child = stack.enter_context(stage.vanne(args.vanne, ports.config(0, pem), scratch, listening))
        load = SoakLoad(ports.http, ports.probe)
        work = [steadily(load, client, ports, *row) for row in STEADY]
        work += [reloads(load, args, scratch, ports, pem), die_and_come_back(load, args, ports.dying)]
        for kind, name, times, seconds in OTHERS:
            # Spread, so that they do not all begin and end together.
            spread = [seconds * (0.5 + at / times) for at in range(times)]
            work += [load.again(kind, lambda name=name, one=one: getattr(load, name)(one)) for one in spread]
        tasks = [asyncio.create_task(one) for one in work]
        readings = Readings(child, ports.probe)
        while time.monotonic() - readings.began < args.seconds:
            await asyncio.sleep(READ_EVERY_SECONDS)
            await readings.read()
        load.stop.set()
        done, late = await asyncio.wait(tasks, timeout=60)
        for task in done:
            task.result()
        print(f"ended: {load.ended}")
        said = f"failed or cut: {len(load.failed)} {load.failed[:5]}; {len(late)} late"
        findings.note(not late and not load.failed, said)
        judge(readings, args, findings)
        held = re.compile(r'(?m)^vanne_generations_alive\{held_by="(?:requests|tunnels)"\} (.+)$')
        end, old = time.monotonic() + 20, None
        while old != 0 and time.monotonic() < end:
            await asyncio.sleep(0.1)
            old = sum(map(float, held.findall(await scraped(ports.probe))))
        findings.note(old == 0, f"old configs alive in the end: {old:.0f}")


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--warm-up", type=float, help="seconds whose readings do not count; else a fifth, 75 to 300")
    parser.add_argument("--reload-every", type=float, default=3, help="seconds")
    parser.add_argument("--dies-after", type=float, default=20, help="seconds that the dying backend lives")
    parser.add_argument("--grow-max-bytes", type=float, default=1e6)
    given = parser.parse_args()
    if given.warm_up is None:
        given.warm_up = min(WARM_UP_SECONDS_MAX, max(WARM_UP_SECONDS_MIN, given.seconds / 5))
    stage.play(main, given)
