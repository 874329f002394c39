"""Vanne: one worker, everything else as it comes. Its log is one line of JSON for each request."""

from lab import first_line, free_ports, need
from proxies.setting import Setting, listeners

CONFIG = """\
[process]
workers = 1
drain_delay = "10ms"
drain_deadline = "5s"

[log]
level = "off"

[access_log]
to = "{log}"

[probe]
address = "127.0.0.1:{probe}"

[listener.http]
address = "127.0.0.1:{port}"
max_connections = 8000
timeouts = {{ head = "10s", idle = "60s", between_bytes = "30s" }}

[listener.tls]
address = "127.0.0.1:{tls_port}"
max_connections = 8000
tls = {{ certificates = ["{pem}"] }}

[listener.h2c]
address = "127.0.0.1:{h2c_port}"
max_connections = 8000
protocols = ["h2"]

[pool.origin]
algorithm = "round-robin"
backends = [{backends}]
timeouts = {{ connect = "5s", first_byte = "30s", between_bytes = "30s", idle = "60s" }}

[[route]]
name = "all"
pool = "origin"
"""


def make(ask):
    """Vanne's setting."""
    (probe,) = free_ports(1)
    ports = listeners()
    backends = ", ".join(f'"127.0.0.1:{origin}"' for origin in ask.origins)
    config = CONFIG.format(**ports, probe=probe, pem=ask.pem(), log=ask.log or "off", backends=backends)
    path = ask.file("vanne", "toml")
    path.write_text(config)
    binary = need(str(ask.vanne))
    command = [binary, "run", "-c", str(path)]
    return Setting("vanne", command, config, first_line(binary, "--version"), log=ask.log, **ports)
