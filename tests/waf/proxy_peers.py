#!/usr/bin/env python3
"""Vanne beside nginx with ModSecurity, both as proxies that refuse by the Core Rule Set: what a browser's GET costs each.

Both have all of the Core Rule Set at paranoia 1, the same setup, one worker on one core, and no logs; the load (wrk, the
request of `speed.py`) and the backend have another core. Answers are looked at by neither: nginx has no access to their bodies,
and for `nginx-requests` the rules about answers are left out too, which it runs otherwise. `…-off` are both without rules.
Each round measures all in turn, in an order that rotates; the CPU time is that of the whole process.

Expected: of the same core, Vanne gets RATIO_MIN times the requests a second of nginx (median of the rounds), and both refuse
the same attack. Exit code 1 if not. Needs Debian's `nginx` and `libnginx-mod-http-modsecurity`, and `wrk`.
"""

import argparse
import contextlib
import http.client
import pathlib
import re
import statistics
import subprocess
import sys

import crs
import speed

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "benches/peers"))

import lab  # noqa: E402 - beside the other measurements
from quiet import Watch  # noqa: E402

RATIO_MIN = 8
ATTACK = "/shop/list?q=%3Cscript%3Ealert(1)%3C/script%3E"
CONNECTIONS = 16
WARM_SECONDS = 1
MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules")
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
[pool.origin]
backends = [{backends}]
[waf.main]
crs = "{crs}"
mode = "{mode}"
paranoia = 1
[[route]]
name = "all"
pool = "origin"
waf = "main"
"""
NGINX = """\
load_module {module};
daemon off;
worker_processes 1;
master_process off;
pid {scratch}/nginx-{port}.pid;
error_log {scratch}/nginx-{port}.err crit;
events {{ worker_connections 1000; }}
http {{
    access_log off;
    client_body_temp_path {scratch};
    proxy_temp_path {scratch};
    fastcgi_temp_path {scratch};
    uwsgi_temp_path {scratch};
    scgi_temp_path {scratch};
    keepalive_requests 1000000000;
    upstream origin {{ {servers} keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        modsecurity {mode};
        modsecurity_rules_file {rules};
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
        }}
    }}
}}
"""
NAMES = ("vanne", "nginx", "nginx-requests", "vanne-off", "nginx-off")


def nginx_module():
    """The module that Debian has for ModSecurity."""
    for folder in MODULES:
        path = pathlib.Path(folder) / "ngx_http_modsecurity_module.so"
        if path.exists():
            return path
    raise lab.LabError("nginx has no module for ModSecurity: install libnginx-mod-http-modsecurity")


def modsecurity_rules(path, files):
    """What `crs.directives` says, as a file of rules, with these files of the Core Rule Set."""
    options = crs.directives(1)
    read = {"-directive": lambda text: text, "-rules": lambda text: f"Include {text}"}
    text = "\n".join(read[kind](value) for kind, value in zip(options[::2], options[1::2]))
    text = text.replace("SecResponseBodyAccess On", "SecResponseBodyAccess Off").replace("rules/*.conf", f"rules/{files}")
    path.write_text(f"{text}\nSecAuditEngine Off\n")
    return path


def command(name, given, scratch, origins, port):
    """How a proxy is started."""
    kind, _, how = name.partition("-")
    mode = "off" if how == "off" else "block" if kind == "vanne" else "on"
    if kind == "vanne":
        (probe,) = lab.free_ports(1)
        backends = ", ".join(f'"127.0.0.1:{origin}"' for origin in origins)
        text = VANNE.format(probe=probe, port=port, backends=backends, crs=crs.root().resolve(), mode=mode)
        path = scratch / f"{name}.toml"
        path.write_text(text)
        return [lab.need(given.vanne), "run", "-c", str(path)]
    rules = modsecurity_rules(scratch / f"{name}.rules", "REQUEST-*.conf" if how == "requests" else "*.conf")
    servers = " ".join(f"server 127.0.0.1:{origin};" for origin in origins)
    text = NGINX.format(module=nginx_module(), scratch=scratch, port=port, mode=mode, rules=rules, servers=servers)
    path = scratch / f"{name}.conf"
    path.write_text(text)
    return [lab.need("nginx"), "-c", str(path)]


def status(port, target):
    """Status of a browser's GET."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
        for name, value in speed.BROWSER:
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status


def check(name, port):
    """An error unless it lets the request pass, and refuses an attack if it has rules."""
    expected = {speed.PAGE: 200, ATTACK: 200 if name.endswith("-off") else 403}
    for target, wanted in expected.items():
        seen = status(port, target)
        if seen != wanted:
            raise lab.LabError(f"{name} answers {target} with {seen} instead of {wanted}")


def requests(port, seconds, core):
    """Requests that were answered, in so many seconds."""
    fields = [part for name, value in speed.BROWSER for part in ("-H", f"{name}: {value}")]
    load = [lab.need("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", *fields, f"http://127.0.0.1:{port}{speed.PAGE}"]
    run = subprocess.run([lab.need("taskset"), "-c", str(core), *load], capture_output=True, text=True, check=False)
    found = re.search(r"(\d+) requests in ", run.stdout)
    if found is None or "Non-2xx" in run.stdout or "Socket errors" in run.stdout:
        raise lab.LabError(f"wrk failed:\n{run.stdout}{run.stderr}")
    return int(found[1])


def rotated(names, by):
    """The names, starting `by` places later."""
    by %= len(names)
    return names[by:] + names[:by]


def measured(given):
    """(CPU microseconds of a request, share of a core that others took) by name, one for each round."""
    found = {name: [] for name in given.proxies}
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(lab.folder())
        origins = stack.enter_context(lab.origins(scratch, given.load_core))
        ports = dict(zip(given.proxies, lab.free_ports(len(given.proxies))))
        running = {}
        for name, port in ports.items():
            process = lab.Process(command(name, given, scratch, origins, port), given.proxy_core, scratch / f"{name}.log")
            running[name] = stack.enter_context(process)
            process.wait_for_port(port)
            check(name, port)
            requests(port, WARM_SECONDS, given.load_core)
        for at in range(given.rounds):
            for name in rotated(given.proxies, at):
                watch, before = Watch((given.proxy_core, given.load_core)), running[name].cpu_seconds()
                count = requests(ports[name], given.seconds, given.load_core)
                cost = (running[name].cpu_seconds() - before) / count * 1e6
                found[name].append((cost, watch.share()))
                print(f"round {at + 1}: {name:15} {cost:9.1f} us, others took {watch.share():.1%} of a core", flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vanne", default="target/release/vanne", help="the release binary")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of load for each figure")
    parser.add_argument("--proxies", default=",".join(NAMES), help="some of %(default)s; vanne and nginx are judged")
    parser.add_argument("--proxy-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    given = parser.parse_args()
    given.proxies = given.proxies.split(",")
    unknown = set(given.proxies) - set(NAMES)
    if unknown or not {"vanne", "nginx"} <= set(given.proxies):
        parser.error(f"--proxies: vanne, nginx and some of {', '.join(NAMES)}")
    found = measured(given)
    cost = {name: statistics.median(cost for cost, _ in rows) for name, rows in found.items()}
    print(f"\n{'CPU of a request, median':26} {'us':>9} {'requests/s of a core':>21} {'vanne is faster by':>19}")
    for name, one in cost.items():
        print(f"{name:26} {one:9.1f} {1e6 / one:21.0f} {one / cost['vanne']:18.1f}x")
    ratio = cost["nginx"] / cost["vanne"]
    is_met = ratio >= RATIO_MIN
    print(f"{ratio:.1f} times nginx with ModSecurity, {RATIO_MIN} are expected: {'met' if is_met else 'NOT MET'}")
    return 0 if is_met else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (crs.CrsError, lab.LabError) as error:
        sys.exit(f"proxy_peers: {error}")
