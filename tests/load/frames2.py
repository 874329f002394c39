"""Frames of HTTP/2 by hand, for the load scripts: what a well-behaved library would not send, and a client that does.

The client reads just enough of an answer: its status, when the proxy names it by the static table (RFC 7541 Appendix A),
and its end.
"""

import asyncio
import time

import traffic

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HEADER_TABLE_SIZE, _, _, INITIAL_WINDOW_SIZE = range(1, 5)
WINDOW_MAX = 2**31 - 1
CANCEL = 8
REASONS = ("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
           "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
           "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED")
# `:status` of the static table, as one byte.
STATUSES = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}


def frame(kind, flags=0, stream=0, payload=b""):
    """A frame's bytes."""
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def settings(*pairs):
    """A SETTINGS frame with these (number, value)."""
    return frame(SETTINGS, payload=b"".join(number.to_bytes(2) + value.to_bytes(4) for number, value in pairs))


def window_update(stream, count):
    """A WINDOW_UPDATE frame."""
    return frame(WINDOW_UPDATE, 0, stream, count.to_bytes(4))


def reset(stream):
    """A RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4))


def integer(number, prefix_bits, pattern=0):
    """An integer of HPACK (RFC 7541 §5.1)."""
    most = 2**prefix_bits - 1
    if number < most:
        return bytes((pattern | number,))
    made, number = bytearray((pattern | most,)), number - most
    while number >= 128:
        made.append(number % 128 + 128)
        number //= 128
    made.append(number)
    return bytes(made)


def text(value):
    """A string of HPACK, not compressed (§5.2)."""
    return integer(len(value), 7) + value.encode()


def literal(name, value, is_kept=False):
    """A field; `is_kept`: it goes into the dynamic table (§6.2.1, §6.2.2)."""
    return bytes((0x40 if is_kept else 0,)) + text(name) + text(value)


def block(host, path="/", method="GET"):
    """The fields of a request, without a state between blocks."""
    made = b"\x82" if method == "GET" else b"\x83"
    return made + b"\x86" + b"\x04" + text(path) + b"\x01" + text(host)


def headers(stream, fields, flags=END_STREAM | END_HEADERS):
    """A HEADERS frame."""
    return frame(HEADERS, flags, stream, fields)


class Reader:
    """Takes frames out of bytes as they come."""

    def __init__(self):
        self.received = bytearray()

    def feed(self, data):
        """The frames that are whole now: (kind, flags, stream, payload)."""
        self.received += data
        at = 0
        while len(self.received) >= at + 9 and len(self.received) >= (end := at + 9 + self.length(at)):
            kind, flags = self.received[at + 3], self.received[at + 4]
            yield kind, flags, int.from_bytes(self.received[at + 5 : at + 9]), bytes(self.received[at + 9 : end])
            at = end
        del self.received[:at]

    def length(self, at):
        """Of the payload of the frame that begins there."""
        return int.from_bytes(self.received[at : at + 3])


def goaway(payload):
    """What a GOAWAY says, in words."""
    code = int.from_bytes(payload[4:8])
    reason = REASONS[code] if code < len(REASONS) else hex(code)
    return f"{reason} {payload[8:].decode(errors='replace')}".strip()


class Link2(asyncio.Protocol):
    """A connection whose client behaves: many requests at once, each with its answer."""

    def __init__(self, host):
        self.host, self.reader, self.transport = host, Reader(), None
        self.asked, self.stream = {}, 1
        # Why it is closed.
        self.ended = ""

    def connection_made(self, transport):
        self.transport = transport
        transport.write(PREFACE + settings() + window_update(0, 2**30))

    def data_received(self, data):
        for kind, flags, stream, payload in self.reader.feed(data):
            self.take(kind, flags, stream, payload)

    def take(self, kind, flags, stream, payload):
        """One frame of the proxy's."""
        if kind == SETTINGS and not flags & ACK:
            self.transport.write(frame(SETTINGS, ACK))
        elif kind == PING and not flags & ACK:
            self.transport.write(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            self.ended = self.ended or goaway(payload)
        asked = self.asked.get(stream)
        if asked is None:
            return
        if kind == HEADERS and asked.status == 0:
            # A change of the table's size may come first (§6.3).
            first = next((byte for byte in payload if byte & 0xE0 != 0x20), 0)
            asked.status = STATUSES.get(first, -1)
        if kind == RST_STREAM:
            asked.error = "reset"
        if kind == RST_STREAM or (kind in (HEADERS, DATA) and flags & END_STREAM):
            self.done(stream)

    def done(self, stream):
        """An answer is over."""
        asked = self.asked.pop(stream)
        if not asked.over.done():
            asked.over.set_result(None)

    def connection_lost(self, error):
        self.ended = self.ended or type(error).__name__ if error else self.ended or "closed"
        for stream in list(self.asked):
            self.asked[stream].error = self.ended
            self.done(stream)

    async def ask(self, path="/", patience=traffic.PATIENCE_SECONDS):
        """What became of a request."""
        answer = traffic.Answer(time.monotonic())
        if self.ended:
            answer.error = self.ended
            return answer
        asked = Asked(asyncio.get_running_loop().create_future())
        stream, self.stream = self.stream, self.stream + 2
        self.asked[stream] = asked
        self.transport.write(headers(stream, block(self.host, path)))
        try:
            async with asyncio.timeout(patience):
                await asked.over
        except TimeoutError:
            asked.error = "TimeoutError"
            self.asked.pop(stream, None)
        answer.error, answer.status = asked.error, 0 if asked.error else asked.status
        answer.seconds = time.monotonic() - answer.began
        return answer


class Asked:
    """A request under way."""

    def __init__(self, over):
        self.over, self.status, self.error = over, 0, ""


async def connect(port, host="load.test"):
    """A new connection of a client that behaves."""
    _, link = await asyncio.get_running_loop().create_connection(lambda: Link2(host), "127.0.0.1", port)
    return link
