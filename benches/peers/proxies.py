"""The proxies that are compared: how each is configured and started.

To add one: a function from (ports, scratch folder, binary) to a command and its config, and a row in PROXIES.
Every one gets one thread, two origins in round robin, keep-alive to them, and no log.
"""

import dataclasses

from lab import LabError, first_line, free_ports, need


@dataclasses.dataclass
class Setting:
    """A proxy, ready to start."""

    name: str
    command: list
    config: str
    port: int
    version: str


HAPROXY = """\
global
    nbthread 1
    maxconn 8000
defaults
    mode http
    timeout http-request 10s
    timeout http-keep-alive 60s
    timeout client 30s
    timeout connect 5s
    timeout server 30s
    timeout tunnel 1h
    http-reuse always
    option forwardfor
frontend http
    bind 127.0.0.1:{port} backlog 4096
    default_backend origin
{headers}backend origin
    balance roundrobin
{servers}
"""

# The header work that Vanne does for each request, in HAProxy's words.
HAPROXY_EVEN = """\
    unique-id-format %{+X}o%ci:%cp_%fi:%fp_%Ts_%rt:%pid
    unique-id-header X-Request-ID
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Forwarded-Port %[dst_port]
    http-request del-header Forwarded
    http-request del-header X-Real-IP
    http-response set-header X-Request-ID %[unique-id]
    http-response set-header X-Content-Type-Options nosniff
    http-response set-header X-Frame-Options DENY
    http-response set-header Referrer-Policy strict-origin-when-cross-origin
"""

VANNE = """\
[process]
workers = 1
drain_delay = "10ms"
drain_deadline = "5s"

[log]
level = "off"

[access_log]
to = "off"

[probe]
address = "127.0.0.1:{probe}"

[listener.http]
address = "127.0.0.1:{port}"
max_connections = 8000
timeouts = {{ head = "10s", idle = "60s", between_bytes = "30s" }}

[pool.origin]
algorithm = "round-robin"
backends = [{backends}]
timeouts = {{ connect = "5s", first_byte = "30s", between_bytes = "30s", idle = "60s" }}

[[route]]
name = "all"
pool = "origin"
"""


def haproxy(name, headers):
    """A maker of HAProxy settings; `headers` are more lines of its frontend."""

    def make(origins, scratch, _binaries):
        (port,) = free_ports(1)
        servers = "\n".join(f"    server o{at} 127.0.0.1:{origin}" for at, origin in enumerate(origins))
        config = HAPROXY.format(port=port, servers=servers, headers=headers)
        path = scratch / f"{name}.cfg"
        path.write_text(config)
        binary = need("haproxy")
        return Setting(name, [binary, "-db", "-f", str(path)], config, port, first_line(binary, "-v"))

    return make


def vanne(name):
    """A maker of Vanne's setting; the binary is looked up under `name`."""

    def make(origins, scratch, binaries):
        port, probe = free_ports(2)
        backends = ", ".join(f'"127.0.0.1:{origin}"' for origin in origins)
        config = VANNE.format(port=port, probe=probe, backends=backends)
        path = scratch / f"{name}.toml"
        path.write_text(config)
        if not binaries[name]:
            raise LabError(f"give the binary: --{name} PATH")
        binary = need(str(binaries[name]))
        return Setting(name, [binary, "run", "-c", str(path)], config, port, first_line(binary, "--version"))

    return make


# `haproxy-again` is the same as `haproxy`: its ratio is the noise of the run.
PROXIES = {
    "haproxy": haproxy("haproxy", ""),
    "haproxy-again": haproxy("haproxy-again", ""),
    "haproxy-even": haproxy("haproxy-even", HAPROXY_EVEN),
    "vanne": vanne("vanne"),
    "vanne-system-allocator": vanne("vanne-system-allocator"),
}
