"""What is measured: the kinds of traffic, all with as many requests at once.

HTTP/2 has eight streams on an eighth of the connections. To add a case: a row here.
"""

import dataclasses

AT_ONCE = 64
STREAMS = 8
HANDSHAKES_AT_ONCE = 16


@dataclasses.dataclass(frozen=True)
class Case:
    """One kind of traffic."""

    name: str
    # `h1`, by TLS `h1s`; `h2` (by TLS), `h2c`.
    way: str
    target: str
    # Who makes as many requests as are answered: wrk, h2load, client.
    tool: str
    # A new connection for each request; by a TLS ticket.
    is_new: bool = False
    is_resumed: bool = False
    connections: int = AT_ONCE
    streams: int = 1


def by_h2(name, way, target):
    """A case of HTTP/2."""
    return Case(name, way, target, "h2load", connections=AT_ONCE // STREAMS, streams=STREAMS)


def handshakes(name, is_resumed):
    """A connection by TLS, with one request for 1 KiB."""
    return Case(name, "h1s", "/1k", "client", is_new=True, is_resumed=is_resumed, connections=HANDSHAKES_AT_ONCE)


CASES = {
    case.name: case
    for case in (
        Case("h1-1k", "h1", "/1k", "wrk"),
        Case("h1-64k", "h1", "/64k", "wrk"),
        Case("h1-new-1k", "h1", "/1k", "wrk", is_new=True),
        Case("h1-tls-1k", "h1s", "/1k", "h2load"),
        Case("h1-tls-64k", "h1s", "/64k", "h2load"),
        by_h2("h2-tls-1k", "h2", "/1k"),
        by_h2("h2-tls-64k", "h2", "/64k"),
        by_h2("h2c-1k", "h2c", "/1k"),
        handshakes("tls-full", is_resumed=False),
        handshakes("tls-resumed", is_resumed=True),
    )
}
