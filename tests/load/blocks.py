#!/usr/bin/env python3
"""How soon a blocked address is out: for its next request, its open connections, after a kill, and on other replicas.

Two replicas with a state folder each and a real redis-server between them, four workers each. Clients are told apart by
`X-Forwarded-For`, over connections that are kept open on all workers; peers by addresses of loopback.

Judged: from asking for a block to the first refusal 10 ms, and from the answer on not one request of the blocked client
passes, on any connection; open connections and tunnels of a blocked peer end within a second; a block holds after
kill -9 and a restart, and lifted ones stay lifted; the other replica blocks and unblocks within a second.
"""

import asyncio
import contextlib
import json
import signal
import statistics
import time

import stage
from redis_faults import Redis

WORKERS, CONNECTIONS, BLOCKS, OPEN, TOLD = 4, 16, 100, 20, 20
BLOCK_SECONDS_MAX, REST_SECONDS_MAX = 0.010, 1.0
PEER = "127.0.0.2"

CONFIG = """\
trusted_proxies = ["127.0.0.1/32"]
[redis]
address = "127.0.0.1:{redis}"
[pool.app]
backends = ["127.0.0.1:{origin}"]
[[route]]
name = "all"
pool = "app"
"""


async def serve(reader, writer):
    """A backend: answers, or becomes an echo."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        while head := await reader.readuntil(b"\r\n\r\n"):
            if b"upgrade: websocket" not in head.lower():
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                continue
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            while piece := await reader.read(65536):
                writer.write(piece)
    writer.close()


class Replica:
    """A process, its ports and its folder."""

    def __init__(self, args, scratch, name, redis, origin):
        self.binary, self.folder = args.vanne, scratch / name
        self.folder.mkdir()
        self.http, self.probe = stage.lasting_ports(2)
        head = stage.CONFIG.format(workers=WORKERS, probe=self.probe, http=self.http)
        config = head.replace("[process]", '[process]\nstate_dir = "."') + CONFIG.format(redis=redis, origin=origin)
        self.path = self.folder / "vanne.toml"
        self.path.write_text(config)

    def running(self):
        """The process, until the end of the block."""
        command = [stage.need(self.binary), "run", "-c", str(self.path), *stage.RUN_OPTIONS]
        return stage.running(command, self.folder / "vanne.log", [self.http, self.probe])

    async def admin(self, method, path, body=None):
        """What the admin API answers, and in what time."""
        text = json.dumps(body or {}).encode()
        reader, writer = await asyncio.open_unix_connection(str(self.folder / "admin.sock"))
        began = time.monotonic()
        writer.write(f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                     f"connection: close\r\ncontent-length: {len(text)}\r\n\r\n".encode() + text)
        answer = await reader.read()
        writer.close()
        if not answer.startswith(b"HTTP/1.1 200"):
            raise stage.StageError(f"{method} {path}: {answer!r}")
        return time.monotonic() - began

    async def block(self, address):
        """Blocks it; the time that took."""
        return await self.admin("POST", "/v1/blocklist", {"cidr": address})

    async def unblock(self, address):
        """Unblocks it."""
        return await self.admin("DELETE", f"/v1/blocklist/{address}")

    async def connect(self, peer="127.0.0.1"):
        """A connection from `peer`."""
        return await asyncio.open_connection("127.0.0.1", self.http, local_addr=(peer, 0))

    async def status(self, address):
        """The status of a request of `address`."""
        connection = await self.connect()
        found = await status(connection, address)
        connection[1].close()
        return found


async def status(connection, address):
    """The status of a request of `address` on a connection."""
    reader, writer = connection
    writer.write(f"GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {address}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    await reader.readexactly(length)
    return int(head.split()[1])


async def next_requests(replica, findings):
    """Requests that begin when a block was answered."""
    connections = [await replica.connect() for _ in range(CONNECTIONS)]
    times, answered, passed = [], [], 0
    for number in range(BLOCKS):
        address = f"198.51.100.{number}"
        await asyncio.gather(*(status(one, address) for one in connections))
        began = time.monotonic()
        block = asyncio.create_task(replica.block(address))
        while await status(connections[number % CONNECTIONS], address) != 403:
            pass
        times.append(time.monotonic() - began)
        answered.append(await block)
        found = await asyncio.gather(*(status(one, address) for one in connections))
        passed += sum(one != 403 for one in found)
    for _, writer in connections:
        writer.close()
    findings.note(passed == 0, f"{passed} of {BLOCKS * CONNECTIONS} requests passed after the answer to the block")
    middle, longest, disk = (1000 * one for one in (statistics.median(times), max(times), statistics.median(answered)))
    findings.note(middle <= 1000 * BLOCK_SECONDS_MAX,
                  f"a block is in force after {middle:.1f} ms (p50; at most {longest:.1f}), on disk and answered after {disk:.1f} ms")


async def open_connections(replica, findings):
    """Connections and tunnels of a peer that is blocked."""
    idle = [await replica.connect(PEER) for _ in range(OPEN)]
    tunnels = [await replica.connect(PEER) for _ in range(OPEN)]
    for connection in idle:
        await status(connection, PEER)
    for reader, writer in tunnels:
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
                     b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        assert b"101" in await reader.readuntil(b"\r\n\r\n")

    async def end(reader):
        with contextlib.suppress(OSError):
            while await reader.read(65536):
                pass
        return time.monotonic()

    began = time.monotonic()
    ends = [asyncio.create_task(end(reader)) for reader, _ in idle + tunnels]
    await replica.block(PEER)
    done, _ = await asyncio.wait(ends, timeout=5 * REST_SECONDS_MAX)
    longest = max((one.result() - began for one in done), default=0)
    findings.note(len(done) == len(ends) and longest <= REST_SECONDS_MAX,
                  f"{len(done)} of {len(ends)} open connections and tunnels ended within {1000 * longest:.0f} ms")
    await replica.unblock(PEER)


async def reached(replica, address, wanted):
    """When a replica answers a client so."""
    deadline = time.monotonic() + 5 * REST_SECONDS_MAX
    while await replica.status(address) != wanted and time.monotonic() < deadline:
        await asyncio.sleep(0.005)
    return time.monotonic()


async def other_replica(first, second, findings):
    """Blocks that another replica makes and lifts."""
    for what, change, wanted in (("block", first.block, 403), ("unblock", first.unblock, 200)):
        times = []
        for number in range(TOLD):
            address = f"203.0.113.{number}"
            began = time.monotonic()
            await change(address)
            times.append(await reached(second, address, wanted) - began)
        middle, longest = (1000 * value for value in (statistics.median(times), max(times)))
        findings.note(max(times) <= REST_SECONDS_MAX,
                      f"{what} on the other replica: p50 {middle:.0f} ms, at most {longest:.0f} ms")


async def main(args, scratch, findings):
    """All of it."""
    redis = Redis(scratch)
    await redis.start()
    with contextlib.ExitStack() as stack:
        stack.callback(redis.end)
        backend = await asyncio.start_server(serve, "127.0.0.1", 0)
        stack.callback(backend.close)
        origin = backend.sockets[0].getsockname()[1]
        first, second = (Replica(args, scratch, name, redis.port, origin) for name in ("first", "second"))
        stack.enter_context(second.running())
        with first.running() as child:
            await asyncio.sleep(1)
            await next_requests(first, findings)
            await open_connections(first, findings)
            await other_replica(first, second, findings)
            await first.block("192.0.2.1")
            await first.block("192.0.2.2")
            await first.unblock("192.0.2.2")
            child.send_signal(signal.SIGKILL)
            child.wait()
        with first.running():
            found = [await first.status(f"192.0.2.{number}") for number in (1, 2)]
            findings.note(found == [403, 200], f"after kill -9 and a restart: {found}, one blocked and one unblocked")


if __name__ == "__main__":
    stage.play(main, stage.arguments(__doc__).parse_args())
