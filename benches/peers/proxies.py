"""The proxies that are compared: how each is configured and started.

To add one: a function from (ports, scratch folder, binary) to a command and its config, and a row in PROXIES.
Every one gets one thread, two origins in round robin, keep-alive to them, and no log. It listens for HTTP/1 in plain
text, for HTTP/2 and HTTP/1 by TLS, and for HTTP/2 in plain text.
"""

import dataclasses

from lab import LabError, certificate, first_line, free_ports, need


@dataclasses.dataclass
class Setting:
    """A proxy, ready to start."""

    name: str
    command: list
    config: str
    port: int
    version: str
    tls_port: int
    h2c_port: int


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
    bind 127.0.0.1:{tls_port} backlog 4096 ssl crt {pem} alpn h2,http/1.1 ssl-min-ver TLSv1.3 curves X25519
    bind 127.0.0.1:{h2c_port} backlog 4096 proto h2
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

NGINX = """\
daemon off;
worker_processes 1;
master_process off;
pid {scratch}/nginx.pid;
error_log {scratch}/nginx.err;
events {{ worker_connections 8000; }}
http {{
    access_log off;
    client_body_temp_path {scratch};
    proxy_temp_path {scratch};
    fastcgi_temp_path {scratch};
    uwsgi_temp_path {scratch};
    scgi_temp_path {scratch};
    keepalive_requests 1000000000;
    upstream origin {{ {servers} keepalive 256; keepalive_requests 1000000000; }}
    ssl_certificate {pem};
    ssl_certificate_key {pem};
    ssl_protocols TLSv1.3;
    ssl_ecdh_curve X25519;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        listen 127.0.0.1:{tls_port} ssl http2 backlog=4096;
        listen 127.0.0.1:{h2c_port} http2 backlog=4096;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
    }}
}}
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


def listeners():
    """A port for each way in, by its name in Setting and in the configs."""
    return dict(zip(("port", "tls_port", "h2c_port"), free_ports(3)))


def haproxy(name, headers):
    """A maker of HAProxy settings; `headers` are more lines of its frontend."""

    def make(origins, scratch, _binaries):
        ports = listeners()
        servers = "\n".join(f"    server o{at} 127.0.0.1:{origin}" for at, origin in enumerate(origins))
        config = HAPROXY.format(**ports, pem=certificate(scratch), servers=servers, headers=headers)
        path = scratch / f"{name}.cfg"
        path.write_text(config)
        binary = need("haproxy")
        return Setting(name, [binary, "-db", "-f", str(path)], config, version=first_line(binary, "-v"), **ports)

    return make


def nginx(origins, scratch, _binaries):
    """nginx's setting."""
    ports = listeners()
    servers = " ".join(f"server 127.0.0.1:{origin};" for origin in origins)
    config = NGINX.format(**ports, pem=certificate(scratch), servers=servers, scratch=scratch)
    path = scratch / "nginx.conf"
    path.write_text(config)
    binary = need("nginx")
    return Setting("nginx", [binary, "-c", str(path)], config, version=first_line(binary, "-v"), **ports)


def vanne(name):
    """A maker of Vanne's setting; the binary is looked up under `name`."""

    def make(origins, scratch, binaries):
        (probe,) = free_ports(1)
        ports = listeners()
        backends = ", ".join(f'"127.0.0.1:{origin}"' for origin in origins)
        config = VANNE.format(**ports, probe=probe, pem=certificate(scratch), backends=backends)
        path = scratch / f"{name}.toml"
        path.write_text(config)
        if not binaries[name]:
            raise LabError(f"give the binary: --{name} PATH")
        binary = need(str(binaries[name]))
        return Setting(
            name, [binary, "run", "-c", str(path)], config, version=first_line(binary, "--version"), **ports
        )

    return make


# `haproxy-again` is the same as `haproxy`: its ratio is the noise of the run.
PROXIES = {
    "haproxy": haproxy("haproxy", ""),
    "haproxy-again": haproxy("haproxy-again", ""),
    "haproxy-even": haproxy("haproxy-even", HAPROXY_EVEN),
    "nginx": nginx,
    "vanne": vanne("vanne"),
    "vanne-system-allocator": vanne("vanne-system-allocator"),
}
