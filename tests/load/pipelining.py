#!/usr/bin/env python3
"""Many requests in one segment, to backends by HTTP/1.1, by HTTP/2 and to none.

First GET after GET, GET after POST and GET after a chunked POST, 100 times for each pair of ways; then 10,000 random
mixes of 2 to 8 requests of all kinds, some cut anywhere into several segments, some bodies with what looks like a
request, some connections used for several mixes. Each answer says what the backend was asked, so none can be taken for
another's.

Expected: every request is answered once, in order, and nothing else is; the backends got as many as were sent. Who gets
an answer of the proxy's own before it has sent its body is told that the connection ends with it (RFC 9112 §9.6); what
it sent after that is not answered, and sent once more on another one.
"""

import asyncio
import collections
import json
import random

import stage
import traffic

MIXES = 10_000
PAIRS = 100
LANES = 32
PATIENCE_SECONDS = 60
WAYS = ("h1", "h2", "own")

# What stands before the origin that speaks HTTP/2: Vanne once more.
BEHIND = """\
protocols = ["h2"]
[pool.demo]
backends = ["127.0.0.1:{backend}"]
[[route]]
name = "all"
pool = "demo"
"""
ROUTES = """\
[pool.h1]
backends = ["127.0.0.1:{backend}"]
[pool.h2]
backends = ["127.0.0.1:{behind}"]
protocol = "h2"
[[route]]
name = "h1"
pool = "h1"
match.host = "h1"
[[route]]
name = "h2"
pool = "h2"
match.host = "h2"
[[route]]
name = "own"
match.host = "own"
answer = {{ status = 418, body = "own" }}
"""


class Wrong(Exception):
    """An answer is not the one that was due; the message says how."""


class Sent:
    """One request: its bytes, and what its answer must say."""

    numbers = iter(range(1, 1 << 62))

    def __init__(self, rng, way, kind):
        self.way, self.kind, self.path = way, kind, f"/{next(self.numbers)}"
        self.method = "POST" if kind in ("length", "chunked") else kind.upper()
        body = some_body(rng) if self.method == "POST" else b""
        self.body_bytes = len(body)
        fields = [f"{self.method} {self.path} HTTP/1.1", f"host: {way}"]
        if kind == "chunked":
            fields.append("transfer-encoding: chunked")
            body = chunked(rng, body)
        elif self.method == "POST":
            fields.append(f"content-length: {len(body)}")
        if rng.random() < 0.2:
            fields.append(f"x-filling: {'f' * rng.randrange(2000)}")
        self.bytes = "\r\n".join(fields).encode() + b"\r\n\r\n" + body

    def __str__(self):
        return f"{self.kind} {self.path} by {self.way}"


def some_body(rng):
    """A body: often one that would be a request, were it read as one."""
    smuggled = b"GET /smuggled HTTP/1.1\r\nhost: h1\r\n\r\n"
    kind = rng.random()
    if kind < 0.1:
        return b""
    if kind < 0.5:
        return smuggled * rng.randrange(1, 4)
    return rng.randbytes(rng.randrange(1, 20_000 if kind > 0.95 else 500))


def chunked(rng, body):
    """The body in chunks, perhaps with extensions and trailers."""
    made, at = b"", 0
    while at < len(body):
        part = body[at : at + rng.randrange(1, 400)]
        extension = b";a=b" if rng.random() < 0.1 else b""
        made += b"%x%s\r\n%s\r\n" % (len(part), extension, part)
        at += len(part)
    return made + (b"0\r\nx-trailer: t\r\n\r\n" if rng.random() < 0.1 else b"0\r\n\r\n")


async def read_answer(reader, method):
    """One answer: status, body, and whether it is the connection's last."""
    line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    if not line.startswith("HTTP/1.1 "):
        raise Wrong(f"no answer begins with {line[:80]!r}")
    fields = dict(line.lower().split(": ", 1) for line in lines if line)
    status, is_last = int(line.split()[1]), fields.get("connection") == "close"
    if method == "HEAD":
        return status, b"", is_last
    if fields.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
        return status, body, is_last
    return status, await reader.readexactly(int(fields["content-length"])), is_last


def judge(sent, status, body):
    """An error when this is not the request's answer."""
    if sent.way == "own":
        if status != 418 or body not in (b"own", b""):
            raise Wrong(f"{sent}: got {status} {body[:80]!r}")
        return
    if status != 200:
        raise Wrong(f"{sent}: got {status} {body[:80]!r}")
    if sent.method == "HEAD":
        return
    told = json.loads(body)
    got, due = (told["method"], told["path"], told["body_bytes"]), (sent.method, sent.path, sent.body_bytes)
    if got != due:
        raise Wrong(f"{sent}: the answer is for {got}, due is {due}")


class Lane:
    """A connection, used for some mixes."""

    def __init__(self, port):
        self.port, self.streams = port, None

    async def open(self):
        """Reader and writer."""
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        return self.streams

    async def play(self, mix, cuts):
        """Sends all, cut there; what was wrong, or nothing."""
        left = mix
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while left:
                    left, cuts = left[await self.send(left, cuts) :], []
        except (OSError, TimeoutError, ValueError, KeyError, Wrong) as error:
            self.close()
            return f"{type(error).__name__}: {error}; mix: {', '.join(map(str, mix))}"
        return None

    async def send(self, mix, cuts):
        """Sends all: how many were answered, which are all unless the connection ended in order."""
        reader, writer = await self.open()
        data = b"".join(sent.bytes for sent in mix)
        for start, end in zip([0, *cuts], [*cuts, len(data)]):
            writer.write(data[start:end])
            # The other end may look in between.
            await asyncio.sleep(0)
        for count, sent in enumerate(mix, 1):
            try:
                status, body, is_last = await read_answer(reader, sent.method)
            except asyncio.IncompleteReadError as error:
                raise Wrong(f"{sent}: the connection ends after {error.partial[:80]!r}") from None
            judge(sent, status, body)
            if is_last and not (sent.way == "own" and sent.method == "POST"):
                raise Wrong(f"{sent}: the connection is to end with its answer")
            if is_last:
                if wrong := await self.end():
                    raise Wrong(f"{sent}: {wrong}")
                return count
        return len(mix)

    async def end(self):
        """Nothing more may come: what came, if anything did."""
        if self.streams is None:
            return None
        reader, writer = self.streams
        try:
            writer.write_eof()
            async with asyncio.timeout(PATIENCE_SECONDS):
                left = await reader.read()
        except ConnectionError:
            # What we sent after the end was not read.
            left = b""
        except (OSError, TimeoutError) as error:
            left = type(error).__name__
        self.close()
        return f"after all answers came {left[:80]!r}" if left else None

    def close(self):
        """The next mix has a connection of its own."""
        if self.streams is not None:
            self.streams[1].close()
        self.streams = None


async def pairs(port, rng):
    """Each kind, then a GET, over each pair of ways: what was wrong."""
    wrong, lane = [], Lane(port)
    for first in ("get", "length", "chunked"):
        for way in WAYS:
            for then in WAYS:
                for _ in range(PAIRS):
                    mix = [Sent(rng, way, first), Sent(rng, then, "get")]
                    wrong.append(await lane.play(mix, []))
        wrong.append(await lane.end())
    return [one for one in wrong if one]


def some_mix(rng):
    """Requests, and where their bytes are cut."""
    kinds = ("get", "get", "head", "length", "chunked", "delete")
    mix = [Sent(rng, rng.choice(WAYS), rng.choice(kinds)) for _ in range(rng.randrange(2, 9))]
    length = sum(len(sent.bytes) for sent in mix)
    cuts = sorted(rng.sample(range(1, length), rng.randrange(1, 6))) if rng.random() < 0.3 else []
    return mix, cuts


async def mixes(port, rng, count, sent):
    """Random mixes on many connections: what was wrong."""
    wrong, left = [], iter(range(count))

    async def lane():
        one = Lane(port)
        for _ in left:
            mix, cuts = some_mix(rng)
            sent.update(request.way for request in mix)
            wrong.append(await one.play(mix, cuts))
            if rng.random() < 0.3:
                wrong.append(await one.end())
        wrong.append(await one.end())

    await asyncio.gather(*(lane() for _ in range(LANES)))
    return [one for one in wrong if one]


async def main(args, scratch, findings):
    """Pairs, then mixes."""
    http, probe, h2c, behind_probe = stage.free_ports(4)
    rng, sent = random.Random(args.seed), collections.Counter()
    with stage.backend(args.vanne, scratch) as backend:
        behind = stage.CONFIG.format(workers=2, http=h2c, probe=behind_probe) + BEHIND.format(backend=backend)
        behind = behind.replace("admin.sock", "behind.sock")
        config = stage.CONFIG.format(workers=args.workers, http=http, probe=probe)
        config += ROUTES.format(backend=backend, behind=h2c)
        with stage.vanne(args.vanne, behind, scratch, [h2c], "behind"), stage.vanne(args.vanne, config, scratch, [http]):
            wrong = await pairs(http, rng)
            count = 3 * len(WAYS) ** 2 * PAIRS
            findings.note(not wrong, f"{count} pairs in one segment, {len(wrong)} wrong{said(wrong)}")
            pattern = 'vanne_backend_requests_total{{[^}}]*pool="{}"[^}}]*}}'
            before = {way: await traffic.metric(probe, pattern.format(way)) for way in ("h1", "h2")}
            wrong = await mixes(http, rng, args.mixes, sent)
            findings.note(not wrong, f"{args.mixes} random mixes (seed {args.seed}) of {sent.total()} requests, "
                          f"{dict(sent)}: {len(wrong)} wrong{said(wrong)}")
            for way, asked in before.items():
                look = lambda way=way, asked=asked: count_of(probe, pattern.format(way), asked)
                got = await traffic.settled(look, sent[way], 5)
                findings.note(got == sent[way], f"{sent[way]} were for backends by {way}, which got {got:.0f}")


async def count_of(probe, pattern, before):
    """How much a metric has grown."""
    return await traffic.metric(probe, pattern) - before


def said(wrong):
    """The first few that were wrong."""
    return "".join(f"\n        {one}" for one in wrong[:5])


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    parser.add_argument("--mixes", type=int, default=MIXES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=4)
    stage.play(main, parser.parse_args())
