#!/usr/bin/env python3
"""How connections are spread over workers, and what one busy worker does to the others.

1. Eight connections that stay, HTTP/2 and HTTP/1.1 in turn, over four workers, 50 times: opened all at once, then one
   after the other. No worker has more than its share and one.
2. 256 connections with a request now and then. On some of one worker's own come as many requests as it can take, so
   that it has no time left: the 99th percentile of the other workers' requests stays what it was, give or take 5 ms.

Which worker has a connection is seen by its tasks (`vanne_tasks`): an idle connection is one.
"""

import asyncio
import os
import pathlib
import re
import select
import socket
import threading

import frames2
import stage
import traffic

WORKERS = 4
RUNS = 50
LONG = 8
MANY = 256
REQUESTS_PER_SECOND = 400
# Connections of the busy worker that keep it busy.
BUSY_LINKS = 4
SLOWER_SECONDS_MAX = 0.005
# Running or waiting for a core: the machine may have fewer of them than there are threads.
BUSY_SHARE_MIN = 0.8

ROUTE = """\
protocols = ["h2", "http/1.1"]
[[route]]
name = "all"
answer = { status = 200, body = "yes" }
"""


async def tasks(probe):
    """Tasks of each worker."""
    reader, writer = await asyncio.open_connection("127.0.0.1", probe)
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    found = re.findall(r'^vanne_tasks{runtime="(worker-\d+)"} (.+)$', text, re.M)
    return {name: int(float(value)) for name, value in found}


async def more_tasks(probe, before, count):
    """Connections of each worker, once there are so many more than before."""
    async def look():
        now = await tasks(probe)
        return {name: now[name] - before[name] for name in now}

    end = asyncio.get_running_loop().time() + 5
    while sum((found := await look()).values()) != count and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(0.005)
    return found


async def open_one(http, number):
    """A connection that was used once and stays."""
    link = await (frames2.connect(http) if number % 2 else traffic.connect(http))
    await (link.ask() if number % 2 else link.ask(traffic.request()))
    return link


async def long_ones(http, probe, findings, runs):
    """Part 1."""
    before, most, odd = await tasks(probe), {}, 0
    share = LONG / WORKERS
    for run in range(runs):
        if run < runs // 2:
            links = await asyncio.gather(*(open_one(http, number) for number in range(LONG)))
        else:
            links = [await open_one(http, number) for number in range(LONG)]
        spread = await more_tasks(probe, before, LONG)
        odd += sum(spread.values()) != LONG
        worst = max(spread.values())
        most[worst] = most.get(worst, 0) + 1
        for link in links:
            link.transport.close()
        await more_tasks(probe, before, 0)
    findings.note(max(most) <= share + 1 and odd == 0, f"{LONG} connections over {WORKERS} workers, {runs} times: the "
                  f"fullest worker had (connections: runs) {dict(sorted(most.items()))}, its share is {share:g}; "
                  f"{odd} runs could not be counted")


class Threads:
    """The workers' threads by name, as the kernel counts their time (/proc/PID/task/TID/schedstat)."""

    def __init__(self, child):
        tasks = pathlib.Path(f"/proc/{child.pid}/task")
        self.paths = {(task / "comm").read_text().strip(): task for task in tasks.iterdir()}

    def spent(self, name):
        """For how long a thread ran so far, and for how long it was ready to and did not."""
        ran, waited, _ = (self.paths[name] / "schedstat").read_text().split()
        return int(ran) / 1e9, int(waited) / 1e9

    def waited(self, names):
        """The latter of several."""
        return {name: self.spent(name)[1] for name in names}


class Lags(traffic.Lags):
    """The machine's lags, but for those of the busy worker, which are no wonder."""

    def __init__(self, child, threads, names):
        super().__init__(child)
        self.threads, self.names = threads, names

    def look(self):
        before, self.waited = self.waited, self.threads.waited(self.names)
        return max(wait - before.get(name, wait) for name, wait in self.waited.items())


class Busy(threading.Thread):
    """Connections with requests one after the other, as many as are taken."""

    def __init__(self, links):
        super().__init__(daemon=True)
        self.links, self.is_over = links, False
        for link in links:
            link.transport.pause_reading()

    def run(self):
        data = traffic.request() * 500
        numbers = [link.transport.get_extra_info("socket").fileno() for link in self.links]
        lines = [socket.socket(fileno=os.dup(number)) for number in numbers]
        for line in lines:
            line.setblocking(False)
        left = {line: memoryview(data) for line in lines}
        while not self.is_over:
            readable, writable, _ = select.select(lines, lines, [], 0.1)
            for line in readable:
                line.recv(1 << 20)
            for line in writable:
                left[line] = left[line][line.send(left[line]) :] or memoryview(data)
        for line in lines:
            line.close()


async def place_all(http, probe):
    """So many connections: for each worker its own."""
    found, before = {}, await tasks(probe)
    for count in range(1, MANY + 1):
        link = await traffic.connect(http)
        await link.ask(traffic.request())
        spread = await more_tasks(probe, before, count)
        name = next(name for name in spread if spread[name] > len(found.get(name, [])))
        found.setdefault(name, []).append(link)
    return found


async def measure(placed, lags, seconds):
    """Requests on each connection in turn: by worker how long they took, less what the machine was late."""
    links = [(name, link) for name, own in placed.items() for link in own]
    locks = [asyncio.Lock() for _ in links]
    sent = traffic.request()

    async def ask(number):
        name, link = links[number % len(links)]
        async with locks[number % len(links)]:
            began = asyncio.get_running_loop().time()
            await link.ask(sent)
            return name, began, asyncio.get_running_loop().time()

    watching = asyncio.create_task(lags.watch())
    took = await traffic.on_schedule(REQUESTS_PER_SECOND, REQUESTS_PER_SECOND * seconds, ask)
    watching.cancel()
    by_worker = {name: [] for name in placed}
    for name, began, ended in took:
        by_worker[name].append(max(0.0, ended - began - lags.during(began, ended)))
    return by_worker


def p99(by_worker, names):
    """Of these workers' requests together, in seconds."""
    return traffic.percentile([seconds for name in names for seconds in by_worker[name]], 0.99)


async def one_busy(http, probe, child, findings, seconds):
    """Part 2."""
    placed, threads = await place_all(http, probe), Threads(child)
    print(f"      {MANY} connections: {({name: len(own) for name, own in sorted(placed.items())})}")
    busy_name = min(placed)
    others = [name for name in placed if name != busy_name]
    idle = await measure(placed, Lags(child, threads, others), seconds)
    # What keeps it busy asks for itself.
    busy = Busy([placed[busy_name].pop() for _ in range(BUSY_LINKS)])
    ran, waited = threads.spent(busy_name)
    busy.start()
    loaded = await measure(placed, Lags(child, threads, others), seconds)
    ran, waited = (now - before for now, before in zip(threads.spent(busy_name), (ran, waited)))
    busy.is_over = True
    busy.join()
    before, after = p99(idle, others), p99(loaded, others)
    own = p99(loaded, [busy_name])
    findings.note(ran + waited >= BUSY_SHARE_MIN * seconds, f"{busy_name} is busy: of {seconds} s it ran {ran:.1f} s and "
                  f"had to wait for a core for {waited:.1f} s")
    findings.note(after <= before + SLOWER_SECONDS_MAX, f"the other workers' p99: {1000 * before:.2f} ms, and "
                  f"{1000 * after:.2f} beside a busy one, less the machine's lag; the busy one's {1000 * own:.2f}")


async def main(args, scratch, findings):
    """Both."""
    http, probe = stage.free_ports(2)
    config = stage.CONFIG.format(workers=WORKERS, http=http, probe=probe) + ROUTE
    with stage.vanne(args.vanne, config, scratch, [http, probe]) as child:
        await long_ones(http, probe, findings, args.runs)
        await one_busy(http, probe, child, findings, args.seconds)


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seconds", type=int, default=10, help="of requests, without and with a busy worker")
    stage.play(main, parser.parse_args())
