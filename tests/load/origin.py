#!/usr/bin/env python3
"""An origin for the load scripts: a process of its own, so that it can be killed and stopped.

Serves HTTP/1.1 on each of the ports given; each is a backend of its own, told apart by its port, which every answer
carries in `x-origin`. What it does and what it saw is asked and told on the port itself:

    GET /_origin          what was seen since the last PUT, as JSON: requests, how many are in flight now and were at
                          most, how many were cut by who asked
    PUT /_origin {...}    how it behaves from now on (see Behaviour); counts begin anew, but for those in flight

`/health` is a check, which is not counted and not delayed. Requests with `x-number` are noted in the order in which
they came, over all ports of the process: `GET /_order`.

Python 3 and its standard library: good for some thousand requests a second.
"""

import asyncio
import contextlib
import dataclasses
import json
import random
import socket
import struct
import sys


@dataclasses.dataclass
class Behaviour:
    """What a PUT may say; what it does not say is as here."""

    delay_ms: float = 0
    # A status; 0: the connection is reset once the request was read.
    status: int = 200
    # The same for checks.
    health: int = 200
    # Of an answer's body; 0: the port in digits.
    body_bytes: int = 0
    # The share of requests that get `status`; the others get 200.
    status_share: float = 1
    # An answer ends in the middle of its body, and its connection with it.
    is_cut: bool = False


class Site:
    """One port: its behaviour and its counts."""

    order = []

    def __init__(self, port):
        self.port = port
        self.behaviour = Behaviour()
        self.requests = self.in_flight = self.in_flight_max = self.cut = 0
        self.answers = {}
        self.chance = random.Random(port)

    def answer(self, status):
        """The bytes of an answer without anything special."""
        if status not in self.answers:
            body = bytes(self.behaviour.body_bytes) or f"{self.port}\n".encode()
            self.answers[status] = answer(status, f"x-origin: {self.port}\r\n", body)
        return self.answers[status]

    def status(self):
        """What the next request gets."""
        return self.behaviour.status if self.chance.random() < self.behaviour.status_share else 200

    def seen(self):
        """What was seen, as JSON."""
        names = ("requests", "in_flight", "in_flight_max", "cut")
        return json.dumps({name: getattr(self, name) for name in names}).encode()

    def become(self, text):
        """Takes a new behaviour, and begins to count anew."""
        self.behaviour = Behaviour(**json.loads(text or b"{}"))
        self.answers = {}
        self.requests, self.cut, self.in_flight_max = 0, 0, self.in_flight


def answer(status, fields, body):
    """An answer's bytes."""
    return f"HTTP/1.1 {status} Told\r\ncontent-length: {len(body)}\r\n{fields}\r\n".encode() + body


class Link(asyncio.Protocol):
    """A connection. Requests on it are answered one after the other."""

    def __init__(self, site):
        self.site, self.transport = site, None
        self.received, self.timer = bytearray(), None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received += data
        self.next()

    def next(self):
        """Begins what was received whole, unless a request is under way."""
        while self.timer is None and (end := self.received.find(b"\r\n\r\n")) >= 0:
            line, *lines = bytes(self.received[:end]).decode("latin-1").split("\r\n")
            fields = dict(line.lower().split(":", 1) for line in lines)
            length = end + 4 + int(fields.get("content-length", 0))
            if len(self.received) < length:
                return
            body = bytes(self.received[end + 4 : length])
            del self.received[:length]
            method, target, _ = line.split()
            self.begin(method, target, fields, body)

    def begin(self, method, target, fields, body):
        """Does what a request asks for."""
        site = self.site
        if target == "/_origin":
            if method == "PUT":
                site.become(body)
            self.transport.write(answer(200, "", site.seen()))
        elif target == "/_order":
            self.transport.write(answer(200, "", json.dumps(Site.order).encode()))
        elif target == "/health":
            self.end(site.behaviour.health)
        else:
            site.requests += 1
            site.in_flight += 1
            site.in_flight_max = max(site.in_flight, site.in_flight_max)
            if "x-number" in fields:
                Site.order.append(int(fields["x-number"]))
            delay = site.behaviour.delay_ms / 1000
            self.timer = asyncio.get_running_loop().call_later(delay, self.finish)

    def finish(self):
        """Answers the request that is under way."""
        self.timer = None
        self.site.in_flight -= 1
        if self.site.behaviour.is_cut:
            self.transport.write(self.site.answer(200)[:-1])
            self.transport.close()
            return
        self.end(self.site.status())
        self.next()

    def end(self, status):
        """Answers, or resets the connection."""
        if status:
            self.transport.write(self.site.answer(status))
            return
        now = struct.pack("ii", 1, 0)
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
        self.transport.abort()

    def connection_lost(self, _):
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
            self.site.in_flight -= 1
            self.site.cut += 1


async def main(ports):
    """Serves for ever."""
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        for port in ports:
            site = Site(port)
            server = await loop.create_server(lambda site=site: Link(site), "127.0.0.1", port, backlog=1024)
            await stack.enter_async_context(server)
        await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(main([int(port) for port in sys.argv[1:]]))
    except KeyboardInterrupt:
        sys.exit(130)
