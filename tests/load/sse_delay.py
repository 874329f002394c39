#!/usr/bin/env python3
"""Server-sent events through the proxy: the delay it adds, and many streams at once.

An origin in this process sends an event with its time every 20 ms on each stream. The same number
of streams is read directly and through a release `vanne`, one after the other; the delay added is
the difference of the percentiles. Exit code 1 if p99 grows by more than 5 ms.
"""

import asyncio
import subprocess
import sys
import tempfile
import time

import stage
from drain import free_port

CONFIG = """
[access_log]
to = "off"
[log]
level = "warn"
[listener.http]
address = "127.0.0.1:{http}"
[probe]
address = "127.0.0.1:{probe}"
[pool.sse]
backends = ["127.0.0.1:{origin}"]
[[route]]
name = "sse"
pool = "sse"
"""


async def origin(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    try:
        while True:
            event = f"data: {time.monotonic_ns()}\n\n".encode()
            writer.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)
    except (OSError, asyncio.CancelledError):
        writer.close()


async def listen(port, seconds, delays):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        line = await reader.readuntil(b"\n")
        if line.startswith(b"data: "):
            delays.append((time.monotonic_ns() - int(line[6:])) / 1e6)
    writer.close()


async def percentiles(port, args):
    delays = []
    await asyncio.gather(*(listen(port, args.seconds, delays) for _ in range(args.streams)))
    delays.sort()
    return [delays[int(len(delays) * p)] for p in (0.5, 0.99)] + [len(delays)]


async def main(args):
    ports = {name: free_port() for name in ("http", "probe", "origin")}
    folder = tempfile.mkdtemp()
    with open(f"{folder}/vanne.toml", "w", encoding="utf-8") as file:
        file.write(CONFIG.format(**ports))
    vanne = subprocess.Popen([args.vanne, "run", "--config", f"{folder}/vanne.toml", *stage.RUN_OPTIONS])
    await asyncio.start_server(origin, "127.0.0.1", ports["origin"])
    await asyncio.sleep(1)
    try:
        added = []
        for _ in range(args.rounds):
            direct = await percentiles(ports["origin"], args)
            proxied = await percentiles(ports["http"], args)
            added.append(proxied[1] - direct[1])
            print(f"direct p50 {direct[0]:.2f} p99 {direct[1]:.2f} ms; through vanne p50 {proxied[0]:.2f} "
                  f"p99 {proxied[1]:.2f} ms; events {direct[2]} and {proxied[2]}")
    finally:
        vanne.kill()
    added.sort()
    print(f"p99 added, median of rounds: {added[len(added) // 2]:.2f} ms")
    return 1 if added[len(added) // 2] >= 5 else 0


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    sys.exit(asyncio.run(main(parser.parse_args())))
