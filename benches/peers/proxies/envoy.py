"""Envoy: `--concurrency 1`, as an edge (`use_remote_address`: X-Forwarded-For and -Proto, X-Request-ID by default).

Limits of the cluster are lifted, since 1,024 connections and requests are fewer than what is asked for. Its log is its
own default format; Envoy collects lines and writes them in blocks.
"""

import json
import re

from lab import first_line, need
from proxies.setting import Setting, listeners

MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
FILE_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
LIMIT = 8000


def address(port):
    """A port on loopback."""
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def manager(name, codec, log):
    """What handles the connections of a listener."""
    logs = [{"name": "file", "typed_config": {"@type": FILE_LOG, "path": str(log)}}] if log else []
    route = {"match": {"prefix": "/"}, "route": {"cluster": "origin"}}
    return {
        "name": "http",
        "typed_config": {
            "@type": MANAGER,
            "stat_prefix": name,
            "codec_type": codec,
            "use_remote_address": True,
            "normalize_path": True,
            "access_log": logs,
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
            "http_filters": [{"name": "router", "typed_config": {"@type": ROUTER}}],
        },
    }


def listener(name, port, codec, log, pem=None):
    """A listener; with a certificate: by TLS."""
    chain = {"filters": [manager(name, codec, log)]}
    if pem:
        certificate = {"certificate_chain": {"filename": str(pem)}, "private_key": {"filename": str(pem)}}
        parameters = {"tls_minimum_protocol_version": "TLSv1_3", "ecdh_curves": ["X25519"]}
        context = {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificates": [certificate],
            "tls_params": parameters,
        }
        chain["transport_socket"] = {
            "name": "tls",
            "typed_config": {"@type": TLS, "common_tls_context": context},
        }
    return {"name": name, "address": address(port), "tcp_backlog_size": 4096, "filter_chains": [chain]}


def cluster(origins):
    """The origins, in turn."""
    limits = {name: LIMIT for name in ("max_connections", "max_pending_requests", "max_requests")}
    endpoints = [{"endpoint": {"address": address(port)}} for port in origins]
    return {
        "name": "origin",
        "type": "STATIC",
        "lb_policy": "ROUND_ROBIN",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": "origin", "endpoints": [{"lb_endpoints": endpoints}]},
    }


def make(ask):
    """Envoy's setting."""
    ports = listeners()
    listening = [
        listener("http", ports["port"], "HTTP1", ask.log),
        listener("tls", ports["tls_port"], "AUTO", ask.log, ask.pem()),
        listener("h2c", ports["h2c_port"], "HTTP2", ask.log),
    ]
    config = json.dumps({"static_resources": {"listeners": listening, "clusters": [cluster(ask.origins)]}}, indent=1)
    path = ask.file("envoy", "json")
    path.write_text(config)
    binary = need("envoy")
    command = [binary, "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    version = re.search(r"/(\d+\.\d+\.\d+)/", first_line(binary, "--version"))
    return Setting("envoy", command, config, f"Envoy {version[1] if version else '?'}", log=ask.log, **ports)
