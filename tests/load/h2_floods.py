#!/usr/bin/env python3
"""Floods of HTTP/2 frames beside clients that behave.

One after the other, 80,000 frames of each kind, as fast as they are taken: requests that are reset at once (Rapid Reset,
CVE-2023-44487), also once they are on their way; requests that the proxy is made to reset (MadeYouReset,
CVE-2025-8671); heads without end (CVE-2024-27316); SETTINGS, PING, empty DATA, windows, priorities, unknown frames
(CVE-2019-9511 to 9518); answers taken byte by byte, or never; heads that grow when unpacked. Whoever is disconnected
comes back, if the kind says so, until it has sent all.

Meanwhile a client with HTTP/1.1 and one with HTTP/2 ask steadily, and a third HTTP/2 connection is idle. Expected: none
of their requests fails and none of their connections ends; the offender is disconnected; resident memory grows by
20 MB at most; the backend sees less than 1 % of the requests that were to be reset.
"""

import asyncio
import dataclasses
import select
import socket
import threading
import time
import typing

import frames2
import stage
import traffic
from frames2 import frame, headers, reset, settings, window_update

FRAMES = 80_000
GROWTH_MAX_MIB = 20
SEEN_SHARE_MAX = 0.01
SETTLE_SECONDS = 20
LEGITIMATE_PER_SECOND = 75
# Of a kind; who is still not disconnected then is left alone.
ATTACK_SECONDS_MAX = 60
# Without anything taken.
STUCK_SECONDS = 5
# The kernel is to hold little of what nobody has read: it would count as sent.
SEND_BUFFER_BYTES = 8 * 1024
STREAMS = 100
LARGE_BYTES = 64 * 1024

ROUTES = """\
protocols = ["h2", "http/1.1"]
[pool.good]
backends = ["127.0.0.1:{good}"]
[pool.bad]
backends = ["127.0.0.1:{bad}"]
[[route]]
name = "bad"
match.host = "bad"
pool = "bad"
[[route]]
name = "good"
pool = "good"
"""
FIELDS = frames2.block("bad")
POST = frames2.block("bad", method="POST")


@dataclasses.dataclass
class Flood:
    """One kind."""

    name: str
    # Parts to send: (bytes, frames of the kind in them, seconds to wait then).
    parts: typing.Callable
    # Whether the frames are requests that come to nothing: the backend is not to see them.
    resets: bool = False
    # Whether the client must be disconnected.
    is_cut: bool = True
    # Whether it comes back.
    returns: bool = False
    # Whether it reads what it is sent.
    reads: bool = True
    # What the backend's answers to it are like.
    behaviour: dict = dataclasses.field(default_factory=dict)


def odd(count, first=1):
    """So many numbers of streams."""
    return range(first, first + 2 * count, 2)


def in_hundreds(one):
    """Frames made by `one(stream)`, a hundred streams at once."""
    for first in range(1, 2 * FRAMES, 2 * STREAMS):
        yield b"".join(one(stream) for stream in odd(STREAMS, first)), STREAMS, 0


def reset_on_the_way():
    """A hundred requests at once, reset when they have had time to reach the backend."""
    for first in range(1, 2 * FRAMES, 2 * STREAMS):
        yield b"".join(headers(stream, FIELDS) for stream in odd(STREAMS, first)), 0, 0.05
        yield b"".join(reset(stream) for stream in odd(STREAMS, first)), STREAMS, 0


def again(one, opening=b""):
    """The same frames again and again, after an opening."""
    yield opening, 0, 0
    for _ in range(0, FRAMES, 400):
        yield one * 400, 400, 0


def made_you_reset(what):
    """Requests, each with something that makes the proxy reset it."""
    return lambda: in_hundreds(lambda stream: headers(stream, FIELDS) + what(stream))


def on_itself(stream):
    """A PRIORITY frame by which a stream depends on itself."""
    return frame(frames2.PRIORITY, 0, stream, stream.to_bytes(4) + b"\x10")


def byte_by_byte():
    """Answers whose windows are opened by a byte."""
    yield settings((frames2.INITIAL_WINDOW_SIZE, 0)), 0, 0
    yield b"".join(headers(stream, FIELDS) for stream in odd(STREAMS)), 0, 0.2
    updates = b"".join(window_update(stream, 1) for stream in odd(STREAMS))
    for _ in range(0, FRAMES, STREAMS):
        yield updates, STREAMS, 0


def never_read():
    """Large answers that nobody reads, their windows wide open."""
    yield settings((frames2.INITIAL_WINDOW_SIZE, frames2.WINDOW_MAX)) + window_update(0, 2**30), 0, 0
    yield b"".join(headers(stream, FIELDS) for stream in odd(STREAMS)), STREAMS, 5


def grown_heads():
    """Heads of 16 KiB that are 64 MB unpacked: a field of 4,000 bytes, named 16,000 times."""
    kept = frames2.literal("x", "y" * 4000, is_kept=True)
    yield headers(1, FIELDS + kept), 1, 0
    for stream in odd(500, 3):
        yield headers(stream, FIELDS + b"\xbe" * 16_000), 1, 0


def one_byte_of_data():
    """A body in frames of one byte, as long as it says."""
    length = frames2.literal("content-length", str(FRAMES))
    yield headers(1, POST + length, frames2.END_HEADERS), 0, 0
    for _ in range(0, FRAMES, 400):
        # What may be on its way (the stream's window) is less than the body.
        yield frame(frames2.DATA, 0, 1, b"x") * 400, 400, 0
    yield frame(frames2.DATA, frames2.END_STREAM, 1), 0, 0.2


OPEN_POST = headers(1, POST + frames2.literal("content-length", "9"), frames2.END_HEADERS)
OPEN_HEAD = headers(1, FIELDS, frames2.END_STREAM)
TABLES = settings((frames2.HEADER_TABLE_SIZE, 0)) + settings((frames2.HEADER_TABLE_SIZE, 4096))
WINDOWS = settings((frames2.INITIAL_WINDOW_SIZE, 1)) + settings((frames2.INITIAL_WINDOW_SIZE, 65535))
SLOW = {"delay_ms": 300}

FLOODS = [
    Flood("rapid-reset", lambda: in_hundreds(lambda stream: headers(stream, FIELDS) + reset(stream)), resets=True,
          returns=True),
    Flood("reset-on-the-way", reset_on_the_way, resets=True, behaviour=SLOW),
    Flood("made-you-reset-window-0", made_you_reset(lambda stream: window_update(stream, 0)), resets=True, returns=True),
    Flood("made-you-reset-window-full", made_you_reset(lambda stream: window_update(stream, frames2.WINDOW_MAX)),
          resets=True, returns=True),
    Flood("made-you-reset-data", made_you_reset(lambda stream: frame(frames2.DATA, 0, stream, b"x")), resets=True,
          returns=True),
    Flood("made-you-reset-priority", made_you_reset(on_itself), resets=True, returns=True),
    Flood("continuation", lambda: again(frame(frames2.CONTINUATION, 0, 1, frames2.literal("a", "b")), OPEN_HEAD),
          returns=True),
    Flood("continuation-empty", lambda: again(frame(frames2.CONTINUATION, 0, 1), OPEN_HEAD), returns=True),
    Flood("settings", lambda: again(settings())),
    Flood("settings-ack", lambda: again(frame(frames2.SETTINGS, frames2.ACK))),
    Flood("settings-windows", lambda: again(WINDOWS, OPEN_POST)),
    Flood("settings-tables", lambda: again(TABLES)),
    Flood("ping", lambda: again(frame(frames2.PING, 0, 0, bytes(8)))),
    Flood("ping-unread", lambda: again(frame(frames2.PING, 0, 0, bytes(8))), is_cut=False, reads=False),
    Flood("ping-ack", lambda: again(frame(frames2.PING, frames2.ACK, 0, bytes(8)))),
    Flood("empty-data", lambda: again(frame(frames2.DATA, 0, 1), OPEN_POST)),
    Flood("padded-data", lambda: again(frame(frames2.DATA, frames2.PADDED, 1, b"\x07" + bytes(7)), OPEN_POST)),
    Flood("one-byte-data", one_byte_of_data, is_cut=False),
    Flood("window-connection", lambda: again(window_update(0, 1))),
    Flood("window-stream", lambda: again(window_update(1, 1), OPEN_POST)),
    Flood("priority", lambda: again(frame(frames2.PRIORITY, 0, 9, bytes(4) + b"\x10"))),
    Flood("unknown", lambda: again(frame(0xFA, 0, 0, bytes(8)))),
    Flood("byte-by-byte", byte_by_byte, behaviour={"body_bytes": LARGE_BYTES}),
    Flood("never-read", never_read, is_cut=False, reads=False, behaviour={"body_bytes": LARGE_BYTES}),
    Flood("grown-heads", grown_heads, is_cut=False),
]


class Stuck(Exception):
    """Nothing is taken any more, and nothing said."""


class Attacker(threading.Thread):
    """Sends a flood, on one connection after the other if its kind says so."""

    def __init__(self, port, flood):
        super().__init__(daemon=True)
        self.port, self.flood = port, flood
        self.sent = self.connections = self.cuts = 0
        # Frames that were on the way when the first connection was cut, and what was said then.
        self.first, self.last_words = 0, ""
        self.seconds = 0.0
        self.parts = list(flood.parts())

    def run(self):
        began = time.monotonic()
        total = sum(frames for _, frames, _ in self.parts)
        while self.sent < total and time.monotonic() < began + ATTACK_SECONDS_MAX:
            self.connections += 1
            if self.attack():
                self.cuts += 1
            if self.connections == 1:
                self.first = self.sent
            if not self.flood.returns:
                break
        self.seconds = time.monotonic() - began

    def attack(self):
        """One connection: whether it was cut."""
        with socket.socket() as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line.connect(("127.0.0.1", self.port))
            line.setblocking(False)
            reader = frames2.Reader()
            try:
                self.send(line, reader, frames2.PREFACE + settings())
                for data, frames, pause in self.parts:
                    self.send(line, reader, data)
                    self.sent += frames
                    self.wait(line, reader, pause)
                # Whoever is still there is told to go soon, or not at all.
                self.wait(line, reader, 2 if self.flood.is_cut else 0.2)
            except Stuck:
                self.last_words = "takes nothing any more"
            except OSError:
                self.wait_for_the_rest(line, reader)
                return True
        return False

    def send(self, line, reader, data):
        """All of `data`, while what comes is read; an error when the connection ends."""
        view = memoryview(data)
        while view:
            readers = [line] if self.flood.reads else []
            readable, writable, _ = select.select(readers, [line], [], STUCK_SECONDS)
            if not readable and not writable:
                raise Stuck
            if readable:
                self.read(line, reader)
            if writable:
                view = view[line.send(view) :]

    def wait(self, line, reader, seconds):
        """Reads for so long; an error when the connection ends."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not self.flood.reads:
                time.sleep(left)
            elif select.select([line], [], [], left)[0]:
                self.read(line, reader)

    def read(self, line, reader):
        """What is there; an error when it is the end."""
        data = line.recv(256 * 1024)
        if not data:
            raise ConnectionError("closed")
        for kind, flags, _, payload in reader.feed(data):
            if kind == frames2.GOAWAY:
                self.last_words = frames2.goaway(payload)
            if kind == frames2.SETTINGS and not flags & frames2.ACK:
                line.send(frame(frames2.SETTINGS, frames2.ACK))

    def wait_for_the_rest(self, line, reader):
        """What the proxy said before it closed."""
        try:
            while select.select([line], [], [], 0.2)[0]:
                self.read(line, reader)
        except OSError:
            pass


class Beside:
    """Clients that behave, while something else happens."""

    def __init__(self, client, link):
        self.client, self.link, self.sent = client, link, traffic.request()
        self.answers, self.is_over = [], False

    async def run(self):
        """Asks at a steady pace until it is over."""
        tasks, began = [], time.monotonic()
        while not self.is_over:
            tasks.append(asyncio.create_task(self.client.ask(self.sent)))
            tasks.append(asyncio.create_task(self.link.ask()))
            await asyncio.sleep(began + len(tasks) / 2 / LEGITIMATE_PER_SECOND - time.monotonic())
        self.answers = await asyncio.gather(*tasks)

    def lost(self):
        """What became of those that were not answered well."""
        return [answer.why for answer in self.answers if not answer.is_good]


async def watch_memory(child, most):
    """Keeps the most resident memory in `most[0]`."""
    while True:
        most[0] = max(most[0], stage.rss_mib(child))
        await asyncio.sleep(0.02)


async def settled_growth(child, start):
    """How much memory has grown, once the allocator has had time to give back what is free."""
    for _ in range(SETTLE_SECONDS):
        if (growth := stage.rss_mib(child) - start) <= GROWTH_MAX_MIB / 2:
            break
        await asyncio.sleep(1)
    return growth


async def one_flood(flood, http, bad, child, client):
    """One kind: what was found, as (is it met, text)."""
    await traffic.tell(bad, **flood.behaviour)
    link = await frames2.connect(http)
    beside = Beside(client, link)
    steady = asyncio.create_task(beside.run())
    await asyncio.sleep(0.5)
    before, burnt, most = stage.rss_mib(child), stage.cpu_seconds(child), [0.0]
    watching = asyncio.create_task(watch_memory(child, most))
    attacker = Attacker(http, flood)
    attacker.start()
    await asyncio.to_thread(attacker.join)
    burnt = stage.cpu_seconds(child) - burnt
    await asyncio.sleep(1)
    beside.is_over = True
    await steady
    watching.cancel()
    lost, growth = beside.lost(), most[0] - before
    seen = (await traffic.seen(bad))["requests"]
    is_cut = attacker.cuts == attacker.connections or attacker.cuts > 0 and flood.returns
    is_met = not lost and not link.ended and growth <= GROWTH_MAX_MIB and (is_cut or not flood.is_cut)
    text = (f"{flood.name}: {attacker.sent} frames in {attacker.seconds:.1f} s over {attacker.connections} connections, "
            f"{'cut' if is_cut else 'NOT cut' if flood.is_cut else 'not cut'}")
    if attacker.cuts:
        text += f" after at most {attacker.first}"
    text += f" ({attacker.last_words or 'no GOAWAY'})"
    text += (f"; {burnt:.2f} s of CPU; {growth:+.1f} MiB; of {len(beside.answers)} others' requests {len(lost)} lost"
             f"{' ' + ' '.join(sorted(set(lost))) if lost else ''}{', ended: ' + link.ended if link.ended else ''}")
    if flood.resets:
        is_met = is_met and seen < SEEN_SHARE_MAX * FRAMES
        text += f"; the backend saw {seen} ({seen / FRAMES:.2%})"
    link.transport.close()
    return is_met, text


async def main(args, scratch, findings):
    """All kinds, or those that were asked for."""
    http, probe = stage.free_ports(2)
    good, bad = stage.lasting_ports(2)
    config = stage.CONFIG.format(workers=args.workers, http=http, probe=probe) + ROUTES.format(good=good, bad=bad)
    wanted = [flood for flood in FLOODS if not args.only or flood.name in args.only]
    with (stage.origins([good], scratch, "good"), stage.origins([bad], scratch, "bad"),
          stage.vanne(args.vanne, config, scratch, [http]) as child, traffic.client(http) as client):
        idle = await frames2.connect(http)
        # What the first requests make it keep is not the floods'.
        await traffic.one_after_other(8, 2000, lambda _: client.ask(traffic.request()))
        await asyncio.gather(*(idle.ask() for _ in range(STREAMS)))
        start = stage.rss_mib(child)
        for flood in wanted:
            findings.note(*await one_flood(flood, http, bad, child, client))
        answer = await idle.ask()
        findings.note(answer.is_good, f"the idle connection is still of use: {answer.why}")
        growth = await settled_growth(child, start)
        findings.note(growth <= GROWTH_MAX_MIB, f"afterwards resident memory is {growth:+.1f} MiB, of {start:.1f}")
        counted = await traffic.metric(probe, "vanne_http2_floods_total{[^}]*}")
        print(f"      vanne_http2_floods_total: {counted:.0f}")


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--only", nargs="*", choices=[flood.name for flood in FLOODS], help="these kinds")
    stage.play(main, parser.parse_args())
