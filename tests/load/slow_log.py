#!/usr/bin/env python3
"""The access log at full speed into a pipe whose reader is slow, beside one whose reader is not.

Vanne answers by itself, as fast as `wrk` asks, and logs into a named pipe. In turns the pipe is read at 1 MB/s, as a slow
disk would take it, and as fast as it comes. The 99th percentile of the answers' times must not be larger with the slow
reader: its median over the rounds is at most the largest of the fast rounds, and a tenth. Each line that is read is
whole JSON and of one request, and lines and `vanne_access_log_dropped_total` together are as many as requests. At the
end nobody reads at all: the process ends all the same.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import threading
import time

import stage
import traffic

SLOW_BYTES_A_SECOND = 1_000_000
TICK_SECONDS = 0.005
PIECE_BYTES = 1 << 16
SETTLE_SECONDS = 30
NOISE = 1.1
END_SECONDS_MAX = 8
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}

CONFIG = """\
[process]
workers = {workers}
drain_delay = "10ms"
drain_deadline = "1s"
watch_config = false
[log]
level = "warn"
[access_log]
to = "{pipe}"
[probe]
address = "127.0.0.1:{probe}"
[listener.http]
address = "127.0.0.1:{http}"
[[route]]
name = "all"
answer = {{ body = "hello" }}
"""


class Reader(threading.Thread):
    """Reads the pipe: `is_slow` or not, until it is told to stop."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.is_slow = self.is_over = False
        self.parts, self.lines, self.bytes = [], 0, 0

    def run(self):
        owed = time.monotonic()
        while not self.is_over:
            part = b""
            with contextlib.suppress(BlockingIOError):
                part = os.read(self.file, 4096 if self.is_slow else PIECE_BYTES)
            self.parts.append(part)
            self.lines += part.count(b"\n")
            self.bytes += len(part)
            now = time.monotonic()
            # What was not read in time is not made up for.
            owed = max(owed, now - 2 * TICK_SECONDS) + len(part) / SLOW_BYTES_A_SECOND if self.is_slow else now
            if owed > now:
                time.sleep(owed - now)
            elif not part:
                time.sleep(TICK_SECONDS)

    def take(self):
        """What was read since the last time."""
        parts, self.parts = self.parts, []
        return b"".join(parts)


def load(port, seconds, connections):
    """Runs wrk: the 99th percentile in milliseconds, and how many answers it got."""
    command = [stage.need("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{port}/"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", run.stdout)
    count = re.search(r"(\d+) requests in", run.stdout)
    if run.returncode != 0 or not found or not count:
        raise stage.StageError(f"wrk failed:\n{run.stdout}{run.stderr}")
    return float(found[1]) * UNITS[found[2]], int(count[1])


def torn(text):
    """How many lines are not whole, or say the id of another one again."""
    wrong, ids = 0, set()
    for line in text.splitlines():
        try:
            ids.add(json.loads(line)["request_id"])
        except (ValueError, KeyError, TypeError):
            wrong += 1
    return wrong + text.count(b"\n") - wrong - len(ids) + (not text.endswith(b"\n") and text != b"")


async def counts(probe):
    """Requests that have ended, and lines that were dropped."""
    return (await traffic.metric(probe, "vanne_requests_total{[^}]*}"),
            await traffic.metric(probe, "vanne_access_log_dropped_total"))


async def one_round(scene, is_slow, args):
    """Load with this reader, then all that is left is read fast: p99, requests, lines, dropped, torn, bytes/s."""
    http, probe, reader = scene
    before, lines = await counts(probe), reader.lines
    reader.is_slow = is_slow
    began, bytes_before = time.monotonic(), reader.bytes
    p99, _ = await asyncio.to_thread(load, http, args.seconds, args.connections)
    speed = (reader.bytes - bytes_before) / (time.monotonic() - began)
    reader.is_slow = False

    async def missing():
        now = await counts(probe)
        return (now[0] - before[0]) - (now[1] - before[1]) - (reader.lines - lines)

    missed = await traffic.settled(missing, 0, SETTLE_SECONDS)
    after = await counts(probe)
    wrong = await asyncio.to_thread(torn, reader.take())
    requests, dropped = (int(now - then) for now, then in zip(after, before))
    kind = "slow" if is_slow else "fast"
    print(f"{kind}  p99 {p99:6.2f} ms  {requests} requests  {reader.lines - lines} lines  {dropped} dropped  "
          f"{speed / 1e6:.1f} MB/s read", flush=True)
    return p99, int(missed), dropped, wrong


async def main(args, scratch, findings):
    """Rounds with either reader in turns."""
    http, probe = stage.free_ports(2)
    pipe = scratch / "access.pipe"
    os.mkfifo(pipe)
    config = CONFIG.format(workers=args.workers, pipe=pipe, http=http, probe=probe)
    path = scratch / "vanne.toml"
    path.write_text(config)
    command = [stage.need(args.vanne), "run", "-c", str(path)]
    with stage.running(command, scratch / "vanne.log", [http, probe]) as child:
        reader = Reader(pipe)
        reader.start()
        scene = http, probe, reader
        await one_round(scene, False, args)
        rounds = {False: [], True: []}
        for number in range(2 * args.rounds):
            is_slow = number % 2 == 1
            rounds[is_slow].append(await one_round(scene, is_slow, args))
        fast, slow = ([one[0] for one in rounds[is_slow]] for is_slow in (False, True))
        everything = rounds[False] + rounds[True]
        findings.note(statistics.median(slow) <= max(fast) * NOISE,
                      f"p99 with the slow reader {statistics.median(slow):.2f} ms, with the fast one "
                      f"{statistics.median(fast):.2f} ms ({min(fast):.2f} to {max(fast):.2f}); medians of {len(fast)}")
        findings.note(sum(one[1] for one in everything) == 0, "lines and dropped are as many as requests")
        findings.note(all(one[2] > 0 for one in rounds[True]), "the slow reader costs lines, and they are counted")
        findings.note(sum(one[3] for one in everything) == 0, "every line is whole JSON and there once")
        # Nobody reads: the pipe and the ring are full when the process is told to end.
        reader.is_over = True
        reader.join()
        await asyncio.to_thread(load, http, 1, args.connections)
        began = time.monotonic()
        child.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(child.wait, END_SECONDS_MAX)
        findings.note(child.returncode == 0, f"without a reader it ends within {time.monotonic() - began:.1f} s, "
                      f"at most {END_SECONDS_MAX} s")


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds with each reader")
    parser.add_argument("--seconds", type=int, default=5, help="of load in each round")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--workers", type=int, default=1)
    stage.play(main, parser.parse_args())
