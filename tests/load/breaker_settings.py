"""Settings of `breaker_peers.py`: Vanne, HAProxy and Envoy, as alike as their words let them be.

The same for all: checks each second, limits of 1 s for a connection and of 3 s for an answer, one retry when there was no
answer (not after a 500), no limits on how many backends may be out, and a page with 503 when nobody is left.

What opens a circuit, or comes nearest to it: Vanne's breaker with a window of 20 calls, half a second of one backend's (by
default it is 100, which takes five times as long to be half full of failures; its other rules are the defaults);
HAProxy's `observe layer7`, which marks down after 5 errors in a row until a check passes; Envoy's outlier detection by 5
answers of 5xx in a row, or half of them in a second. Vanne and Envoy leave a backend out for 5 s; a check that passes does
not bring it back to Envoy earlier, as it does by default: there a backend whose checks pass would be back each second.
"""

import json
import subprocess

import faults
import stage

# The field of the page with 503.
MARK = "x-sorry"

VANNE = """\
[page.sorry]
status = 503
html = "sorry"
headers = {{ x-sorry = "1" }}
[pool.faults]
algorithm = "%ALGORITHM%"
backends = [{servers}]
health = {{ type = "http", path = "/health", interval = "1s", timeout = "1s", rise = 1, fall = 1 }}
breaker = {{ window = 20, slow_call = {{ longer_than = "500ms" }}, open_for = "5s" }}
retries = {{ attempts = 1, on = ["reset", "timeout"] }}
timeouts = {{ connect = "1s", first_byte = "3s" }}
fallback = ["static:sorry"]
[[route]]
name = "faults"
pool = "faults"
"""
HAPROXY = """\
global
    nbthread 2
defaults
    mode http
    timeout http-request 10s
    timeout client 30s
    timeout connect 1s
    timeout server 3s
    timeout check 1s
    retries 1
    option redispatch 1
    retry-on conn-failure empty-response response-timeout
    option httpchk GET /health
    http-check expect status 200-399
    default-server check inter 1s rise 1 fall 1 observe layer7 error-limit 5 on-error mark-down
frontend http
    bind 127.0.0.1:{http}
    http-error status 503 content-type text/plain string sorry hdr x-sorry 1
    default_backend faults
backend faults
    balance %ALGORITHM%
{servers}
"""
ENVOY = """\
{"static_resources": {
 "listeners": [{"name": "http",
  "address": {"socket_address": {"address": "127.0.0.1", "port_value": %HTTP%}},
  "filter_chains": [{"filters": [{"name": "http", "typed_config": {
   "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
   "stat_prefix": "http", "codec_type": "HTTP1",
   "http_filters": [{"name": "router", "typed_config":
    {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
   "local_reply_config": {"mappers": [{
    "filter": {"status_code_filter": {"comparison": {"op": "EQ",
     "value": {"default_value": 503, "runtime_key": "sorry"}}}},
    "headers_to_add": [{"header": {"key": "x-sorry", "value": "1"}}],
    "body": {"inline_string": "sorry"}}]},
   "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"},
    "route": {"cluster": "faults", "timeout": "30s", "retry_policy": {
     "retry_on": "connect-failure,reset", "num_retries": 1, "per_try_timeout": "3s",
     "retry_host_predicate": [{"name": "envoy.retry_host_predicates.previous_hosts", "typed_config":
      {"@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}],
     "host_selection_retry_max_attempts": 3}}}]}]}}}]}]}],
 "clusters": [{"name": "faults", "type": "STATIC", "lb_policy": "%ALGORITHM%", "connect_timeout": "1s",
  "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
  "health_checks": [{"interval": "1s", "no_traffic_interval": "1s", "timeout": "1s", "unhealthy_threshold": 1,
   "healthy_threshold": 1, "http_health_check": {"path": "/health"}}],
  "outlier_detection": {"interval": "1s", "base_ejection_time": "5s", "max_ejection_time": "5s",
   "max_ejection_percent": 100, "consecutive_5xx": 5,
   "failure_percentage_threshold": 50, "enforcing_failure_percentage": 100,
   "failure_percentage_minimum_hosts": 3, "failure_percentage_request_volume": 10,
   "successful_active_health_check_uneject_host": false},
  "load_assignment": {"cluster_name": "faults", "endpoints": [{"lb_endpoints": [%SERVERS%]}]}}]}}
"""
ENVOY_SERVER = '{{"endpoint": {{"address": {{"socket_address": {{"address": "127.0.0.1", "port_value": {port}}}}}}}}}'

# How each calls the choice by turns, and that of who has least to do; Vanne also looks at how fast they answer.
BY_TURNS = {"vanne": "round-robin", "haproxy": "roundrobin", "envoy": "ROUND_ROBIN"}
BY_LOAD = {"vanne": "least-response-time", "haproxy": "leastconn", "envoy": "LEAST_REQUEST"}


class Envoy(faults.Proxy):
    """Its config is JSON, whose braces stay as they are."""

    def write(self, scratch, http, ports):
        servers = self.separator.join(self.server.format(port=port) for port in ports)
        text = self.config.replace("%HTTP%", str(http)).replace("%SERVERS%", servers)
        path = scratch / self.file
        path.write_text(json.dumps(json.loads(text), indent=1))
        return self.command(path)


def proxies(binary, algorithms):
    """All three, which choose so; the first is judged."""
    def config(text, name):
        return text.replace("%ALGORITHM%", algorithms[name])

    return [
        faults.Proxy("vanne", stage.CONFIG + config(VANNE, "vanne"), '"127.0.0.1:{port}"', "vanne.toml",
                     lambda path: [stage.need(binary), "run", "-c", str(path), *stage.RUN_OPTIONS], ", "),
        faults.Proxy("haproxy", config(HAPROXY, "haproxy"), "    server o{port} 127.0.0.1:{port}", "haproxy.cfg",
                     lambda path: [stage.need("haproxy"), "-db", "-f", str(path)]),
        Envoy("envoy", config(ENVOY, "envoy"), ENVOY_SERVER, "envoy.json",
              lambda path: [stage.need("envoy"), "-c", str(path), "--concurrency", "2", "--disable-hot-restart",
                            "--log-level", "error"], ", "),
    ]


def versions(binary):
    """What runs, a line each."""
    commands = ([stage.need(binary), "--version"], [stage.need("haproxy"), "-v"], [stage.need("envoy"), "--version"])
    for command in commands:
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        yield next(line.strip() for line in (run.stdout + run.stderr).splitlines() if line.strip())
