"""The proxies that are compared: a module for each says how it is configured and started.

To add one: a module with a function from Ask to Setting, and a row in PROXIES. Every one gets one thread, two origins
in round robin, keep-alive to them, TLS 1.3 with X25519 and the same P-256 certificate, and an access log if asked for:
the format that its users use, to a file in memory.
"""

from proxies import envoy, haproxy, nginx, vanne

# `haproxy` only adds X-Forwarded-For; `haproxy-even` does all the header work that Vanne does. `haproxy-again` is the
# same as `haproxy`: its ratio is the noise of the run.
PROXIES = {
    "haproxy": haproxy.maker("haproxy", ""),
    "haproxy-again": haproxy.maker("haproxy-again", ""),
    "haproxy-even": haproxy.maker("haproxy-even", haproxy.EVEN),
    "nginx": nginx.make,
    "envoy": envoy.make,
    "vanne": vanne.make,
}
