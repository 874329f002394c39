#!/usr/bin/env python3
"""SIGTERM under load: nothing that was begun may fail, and the exit must follow the last answer.

Runs a release `vanne` before demo backends, loads it with so many requests a second over kept
connections, slow uploads, slow downloads and WebSockets, sends SIGTERM in the middle, and counts.
Like a balancer, the load stops opening connections once readiness is false; what it has goes on
until it is told to close. Everything long ends before the drain deadline. Exit code 1 if anything
failed or the exit came later than one second after the last answer.
"""

import asyncio
import base64
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

import stage

CONFIG = """
[process]
drain_delay = "2s"
drain_deadline = "15s"
[access_log]
to = "{folder}/access.log"
[log]
level = "warn"
[listener.http]
address = "127.0.0.1:{http}"
[probe]
address = "127.0.0.1:{probe}"
[pool.demo]
backends = [{backends}]
[[route]]
name = "demo"
pool = "demo"
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Load:
    def __init__(self, http, probe):
        self.http, self.probe = http, probe
        self.ready, self.ended = True, {}
        self.failed, self.last = [], 0.0
        self.stop = asyncio.Event()

    def done(self, kind):
        self.ended[kind] = self.ended.get(kind, 0) + 1
        self.last = time.monotonic()

    def fail(self, kind, why):
        self.failed.append(f"{kind}: {why!r}")

    async def connect(self):
        return await asyncio.open_connection("127.0.0.1", self.http, limit=1 << 20)

    async def head(self, reader):
        text = (await reader.readuntil(b"\r\n\r\n")).decode()
        fields = dict(l.lower().split(": ", 1) for l in text.split("\r\n")[1:] if l)
        return int(text.split()[1]), fields

    async def keep_alive(self, interval):
        """Requests at a fixed pace on a kept connection, a new one when told to close."""
        streams, due = None, time.monotonic()
        while not self.stop.is_set():
            try:
                if streams is None:
                    if not self.ready:
                        return
                    streams = await self.connect()
                reader, writer = streams
                writer.write(b"GET /bytes/1000 HTTP/1.1\r\nHost: a\r\n\r\n")
                status, fields = await self.head(reader)
                body = await self.body(reader, fields)
                if status != 200 or body != 1000:
                    self.fail("request", (status, body))
                self.done("requests")
                if fields.get("connection") == "close":
                    writer.close()
                    streams = None
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                self.fail("request", error)
                streams = None
            due += interval
            await asyncio.sleep(max(0, due - time.monotonic()))

    async def body(self, reader, fields):
        if "content-length" in fields:
            return len(await reader.readexactly(int(fields["content-length"])))
        total = 0
        while size := int((await reader.readuntil(b"\r\n")), 16):
            total += len(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readexactly(2)
        return total

    async def upload(self, seconds):
        reader, writer = await self.connect()
        writer.write(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(100):
            writer.write(b"x" * 1000)
            await writer.drain()
            await asyncio.sleep(seconds / 100)
        status, fields = await self.head(reader)
        await self.body(reader, fields)
        if status != 200:
            self.fail("upload", status)
        self.done("uploads")

    async def download(self, seconds):
        reader, writer = await self.connect()
        count = max(1, int(seconds))
        writer.write(f"GET /sse?count={count} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        status, fields = await self.head(reader)
        total = await self.body(reader, fields)
        if status != 200 or total == 0:
            self.fail("download", (status, total))
        self.done("downloads")

    async def websocket(self, seconds):
        reader, writer = await self.connect()
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        status, _ = await self.head(reader)
        if status != 101:
            return self.fail("websocket", status)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            writer.write(bytes([0x81, 0x84, 0, 0, 0, 0]) + b"ping")
            if await reader.readexactly(6) != b"\x81\x04ping":
                self.fail("websocket", "not echoed")
            await asyncio.sleep(0.1)
        writer.write(bytes([0x88, 0x82, 0, 0, 0, 0, 3, 0xE8]))
        await reader.readexactly(4)
        writer.close()
        self.done("websockets")

    async def guard(self, kind, coroutine):
        try:
            await coroutine
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            self.fail(kind, error)

    async def watch(self):
        """What a balancer does: ask for readiness."""
        while self.ready:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.probe)
                writer.write(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                self.ready = b" 200 " in await reader.readline()
                writer.close()
            except OSError:
                self.ready = False
            await asyncio.sleep(0.1)


async def main(args):
    ports = [free_port() for _ in range(5)]
    http, probe, base = ports[0], ports[1], ports[2]
    folder = tempfile.mkdtemp()
    backends = [f'"127.0.0.1:{base + n}"' for n in range(3)]
    with open(f"{folder}/vanne.toml", "w", encoding="utf-8") as file:
        file.write(CONFIG.format(folder=folder, http=http, probe=probe, backends=", ".join(backends)))
    demo = subprocess.Popen(
        [args.vanne, "demo", "--backends-only", "--base-port", str(base)], stdout=subprocess.DEVNULL
    )
    vanne = subprocess.Popen([args.vanne, "run", "--config", f"{folder}/vanne.toml", *stage.RUN_OPTIONS])
    await asyncio.sleep(1)
    load = Load(http, probe)
    interval = args.connections / args.rate
    tasks = [asyncio.create_task(load.keep_alive(interval)) for _ in range(args.connections)]
    tasks.append(asyncio.create_task(load.watch()))
    await asyncio.sleep(3)
    for kind, make in (("upload", load.upload), ("download", load.download), ("websocket", load.websocket)):
        for n in range(args.long):
            tasks.append(asyncio.create_task(load.guard(kind, make(3 + 5 * n / args.long))))
    await asyncio.sleep(1)
    vanne.send_signal(signal.SIGTERM)
    told = time.monotonic()
    while vanne.poll() is None and time.monotonic() < told + 20:
        await asyncio.sleep(0.005)
    exited = time.monotonic()
    load.stop.set()
    await asyncio.wait(tasks, timeout=5)
    demo.terminate()
    late = exited - load.last
    print(f"ended: {load.ended}; failed: {len(load.failed)} {load.failed[:5]}")
    print(f"exit code {vanne.returncode}, {exited - told:.2f} s after SIGTERM, {late:.3f} s after the last answer")
    return 1 if load.failed or vanne.returncode != 0 or late > 1 else 0


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    parser.add_argument("--rate", type=int, default=1000, help="requests a second")
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--long", type=int, default=20, help="uploads, downloads and WebSockets, each")
    sys.exit(asyncio.run(main(parser.parse_args())))
