"""Memory that an idle connection costs: PSS of a fresh process with some of them, and with so many more.

A connection has had one request before it idles. With the first ones comes what is made once, and what the start has
left over is given back: that is no cost of a connection. What the kernel keeps for its sockets is not in this figure.
"""

import time

from lab import Process, fetch
from load import idle_connections

WAYS = {"idle-h1": "h1", "idle-h1-tls": "h1s"}
FIRST_CONNECTIONS = 250
SETTLE_SECONDS = 1.0


def per_connection(setting, way, given, client, scratch):
    """KiB that one connection costs."""
    with Process(setting.command, given.proxy_core, scratch / "memory.log") as process:
        process.wait_for_port(setting.port)
        fetch(setting.port, "/1k")
        with idle_connections(client, way, setting, FIRST_CONNECTIONS, given.load_core):
            time.sleep(SETTLE_SECONDS)
            before = process.pss_kib()
            with idle_connections(client, way, setting, given.idle_connections, given.load_core):
                time.sleep(SETTLE_SECONDS)
                after = process.pss_kib()
    return (after - before) / given.idle_connections
