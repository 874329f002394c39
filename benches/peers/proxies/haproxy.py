"""HAProxy: `nbthread 1`, keep-alive to origins shared by all clients (`http-reuse always`).

Its log is `option httplog`, printed to a file: with syslog a part of its cost would be another process'.
"""

from lab import first_line, need
from proxies.setting import Setting, listeners

CONFIG = """\
global
    nbthread 1
    maxconn 8000
    {log_to}
defaults
    mode http
    {log}
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
EVEN = """\
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


def maker(name, headers):
    """A maker of settings; `headers` are more lines of the frontend."""

    def make(ask):
        ports = listeners()
        config = CONFIG.format(
            **ports,
            pem=ask.pem(),
            headers=headers,
            log_to="log stdout format raw local0" if ask.log else "# no log",
            log="log global\n    option httplog" if ask.log else "# no log",
            servers="\n".join(f"    server o{at} 127.0.0.1:{origin}" for at, origin in enumerate(ask.origins)),
        )
        path = ask.file(name, "cfg")
        path.write_text(config)
        binary = need("haproxy")
        command = [binary, "-db", "-f", str(path)]
        version = first_line(binary, "-v")
        return Setting(name, command, config, version, log=ask.log, is_log_printed=True, **ports)

    return make
