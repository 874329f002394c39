"""Memory that an idle connection costs: PSS of a fresh process before and after so many of them.

A connection has had one request before it idles. What the kernel keeps for its sockets is not in this figure.
"""

import time

from lab import Process, fetch
from load import idle_connections

WAYS = {"idle-h1": "h1", "idle-h1-tls": "h1s"}
WARM_CONNECTIONS = 16
SETTLE_SECONDS = 1.0


def per_connection(setting, way, given, client, scratch):
    """KiB that one connection costs."""
    with Process(setting.command, given.proxy_core, scratch / "memory.log") as process:
        process.wait_for_port(setting.port)
        fetch(setting.port, "/1k")
        # What is made once, at the first connections, is no cost of a connection.
        with idle_connections(client, way, setting, WARM_CONNECTIONS, given.load_core):
            pass
        time.sleep(SETTLE_SECONDS)
        before = process.pss_kib()
        with idle_connections(client, way, setting, given.idle_connections, given.load_core):
            time.sleep(SETTLE_SECONDS)
            after = process.pss_kib()
    return (after - before) / given.idle_connections
