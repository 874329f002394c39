"""The traffic of the load scripts: an HTTP/1.1 client, requests on schedule or one after the other, and what they met.

Python 3 and its standard library, in one event loop: good for some thousand requests a second.
"""

import asyncio
import bisect
import contextlib
import dataclasses
import gc
import itertools
import json
import pathlib
import random
import re
import time

PATIENCE_SECONDS = 30


@dataclasses.dataclass
class Answer:
    """What became of a request."""

    began: float
    seconds: float = 0.0
    # 0: none, and `error` says why.
    status: int = 0
    fields: dict = dataclasses.field(default_factory=dict)
    body: bytes = b""
    error: str = ""

    @property
    def is_good(self):
        """Whether it is a whole answer with status 200."""
        return self.status == 200

    @property
    def origin(self):
        """The port of the origin that answered; `None` if none did."""
        port = self.fields.get("x-origin")
        return port and int(port)

    @property
    def why(self):
        """In a word: a status, or an error."""
        return str(self.status or self.error)


class Link(asyncio.Protocol):
    """A connection to the proxy, kept from request to request."""

    def __init__(self):
        self.received, self.waiter, self.transport = bytearray(), None, None
        self.is_open = True

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received += data
        end = self.received.find(b"\r\n\r\n")
        if end < 0 or self.waiter is None or self.waiter.done():
            return
        line, *lines = bytes(self.received[:end]).decode("latin-1").split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = end + 4 + int(fields.get("content-length", -1))
        if length < end + 4:
            self.fail(ConnectionError("answer without content-length"))
        elif len(self.received) >= length:
            body = bytes(self.received[end + 4 : length])
            self.received.clear()
            if fields.get("connection", "").lower() == "close":
                self.close()
            self.waiter.set_result((int(line.split()[1]), fields, body))

    def connection_lost(self, error):
        self.is_open = False
        self.fail(error or ConnectionError("closed"))

    def fail(self, error):
        """Ends the request that is under way."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_exception(error)

    def close(self):
        """Ends the connection."""
        self.is_open = False
        self.transport.close()

    async def ask(self, request):
        """Status, fields and body of the answer."""
        self.waiter = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.waiter


async def connect(port):
    """A new connection."""
    _, link = await asyncio.get_running_loop().create_connection(Link, "127.0.0.1", port)
    return link


def request(target="/", fields=(), method="GET", body=b""):
    """A request's bytes."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in dict(fields).items())]
    if body:
        lines.append(f"content-length: {len(body)}")
    if not any(line.startswith("host:") for line in lines):
        lines.append("host: load.test")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class Client:
    """Kept connections to a port: a request takes one that is idle, or a new one."""

    def __init__(self, port):
        self.port, self.idle, self.links = port, [], []

    async def ask(self, sent, patience=PATIENCE_SECONDS):
        """What became of the request with these bytes. Nothing is tried twice."""
        answer = Answer(time.monotonic())
        link = None
        try:
            async with asyncio.timeout(patience):
                link = self.take() or await self.open()
                answer.status, answer.fields, answer.body = await link.ask(sent)
            if link.is_open:
                self.idle.append(link)
        except (OSError, TimeoutError) as error:
            answer.error = type(error).__name__
            if link is not None:
                link.close()
        answer.seconds = time.monotonic() - answer.began
        return answer

    async def open(self):
        """A new connection."""
        link = await connect(self.port)
        self.links.append(link)
        return link

    def take(self):
        """An idle connection that is still open."""
        while self.idle:
            if (link := self.idle.pop()).is_open:
                return link
        return None

    def close(self):
        """Ends all connections."""
        for link in self.links:
            link.close()


class Lags:
    """When this process was late, or the proxy waited for a core: what is measured then is the machine's doing.

    The kernel says for each thread how long it was ready to run and did not (/proc/PID/task/TID/schedstat).
    """

    STEP_SECONDS = 0.002
    LOOK_STEPS = 10
    # Answers during which somebody was later than that say nothing.
    FAIR_SECONDS_MAX = 0.005

    def __init__(self, child):
        self.tasks = pathlib.Path(f"/proc/{child.pid}/task")
        self.times, self.lags, self.waited = [], [], {}
        # Collecting garbage stops everything for tens of milliseconds; what there is of it is small.
        gc.disable()

    async def watch(self):
        """Notes how late each step comes, and now and then what the proxy's threads waited, until cancelled."""
        for step in itertools.count():
            due = time.monotonic() + self.STEP_SECONDS
            await asyncio.sleep(self.STEP_SECONDS)
            now = time.monotonic()
            self.times.append(now)
            self.lags.append(now - due)
            if step % self.LOOK_STEPS == 0:
                self.lags[-1] += self.look()

    def look(self):
        """The longest wait of a thread of the proxy since the last look, in seconds."""
        before, self.waited = self.waited, {}
        for task in self.tasks.iterdir():
            self.waited[task.name] = int((task / "schedstat").read_text().split()[1]) / 1e9
        return max(wait - before.get(name, wait) for name, wait in self.waited.items())

    def during(self, start, end):
        """The longest lag of a step that was under way then or of the next look, in seconds."""
        first = bisect.bisect_left(self.times, start)
        last = bisect.bisect_right(self.times, end) + self.LOOK_STEPS
        return max(self.lags[first:last], default=0.0)

    def p99_ms(self, answers):
        """The 99th percentile of times, in milliseconds, of those during which nothing was late by much."""
        is_fair = lambda one: self.during(one.began, one.began + one.seconds) < self.FAIR_SECONDS_MAX
        return 1000 * percentile([one.seconds for one in answers if is_fair(one)], 0.99)


@contextlib.contextmanager
def lags(child):
    """What the machine is late by, noted in the meantime."""
    noted = Lags(child)
    watching = asyncio.create_task(noted.watch())
    try:
        yield noted
    finally:
        watching.cancel()


@contextlib.contextmanager
def client(port):
    """A client until the end of the block."""
    one = Client(port)
    try:
        yield one
    finally:
        one.close()


async def on_schedule(rate, count, send):
    """Open loop: `send(number)` for each number, `rate` a second, done with the last one or not; what each returned."""
    began, tasks = time.monotonic(), []
    for number in range(count):
        await asyncio.sleep(began + number / rate - time.monotonic())
        tasks.append(asyncio.create_task(send(number)))
    return await asyncio.gather(*tasks)


async def one_after_other(lanes, count, send):
    """Closed loop: `send(number)` for each number, `lanes` at once; what each returned, in order of the numbers."""
    numbers, results = iter(range(count)), [None] * count

    async def lane():
        for number in numbers:
            results[number] = await send(number)

    await asyncio.gather(*(lane() for _ in range(lanes)))
    return results


async def tell(port, **behaviour):
    """How the origin at `port` behaves from now on; its counts begin anew."""
    return await ask_json(port, request("/_origin", method="PUT", body=json.dumps(behaviour).encode()))


async def seen(port):
    """What the origin at `port` saw."""
    return await ask_json(port, request("/_origin"))


async def order(port):
    """The numbers of requests, as the process of the origin at `port` got them."""
    return await ask_json(port, request("/_order"))


async def ask_json(port, sent):
    """One answer as JSON, over a connection of its own."""
    link = await connect(port)
    try:
        _, _, body = await link.ask(sent)
        return json.loads(body)
    finally:
        link.close()


async def metric(probe, pattern):
    """Sum of the metrics whose name and labels match the pattern."""
    reader, writer = await asyncio.open_connection("127.0.0.1", probe)
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    return sum(float(value) for value in re.findall(f"^{pattern} (.+)$", text, re.M))


async def settled(look, wanted, seconds):
    """Asks until the answer is `wanted`, or the time is over: the last answer."""
    end = time.monotonic() + seconds
    while (found := await look()) != wanted and time.monotonic() < end:
        await asyncio.sleep(0.05)
    return found


def percentile(values, share):
    """The value that so many of them are not above; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0


def jitter(seconds, seed=random.Random(1)):
    """A time up to this one; the same ones in each run."""
    return seconds * seed.random()
