#!/usr/bin/env python3
"""The wire corpus (tests/wire/) beside HAProxy and nginx, each set up as an operator would.

The runner of the corpus plays every case against each proxy in turn, one after the other, with the same backend and the
same judge. How many cases are dangerous and how many are against our policy is counted; policy is ours, and asks for
more than these promise; what a proxy does in time with the client's pieces may differ by a few from run to run. Each gets the fields of forwarding and of request ids that Vanne sets by itself, and nginx the
lines for WebSocket that its documentation gives. Judged is Vanne: 0 and 0, in each lane that is asked for.
"""

import dataclasses
import os
import pathlib
import subprocess

import stage

ROOT = stage.HERE.parent.parent
POOL = """\
[pool.wire]
backends = ["127.0.0.1:{origin}"]
# The only backend answers wrongly on purpose.
breaker = {{ failures = 0, failure_rate = "0%" }}
[[route]]
name = "wire"
pool = "wire"
"""
HAPROXY = """\
defaults
    mode http
    timeout http-request 10s
    timeout http-keep-alive 60s
    timeout client 30s
    timeout connect 5s
    timeout server 30s
    timeout tunnel 1h
    option forwardfor
frontend http
    bind 127.0.0.1:{http}
    unique-id-format %{{+X}}o%ci:%cp_%fi:%fp_%Ts_%rt:%pid
    http-request set-header X-Request-ID %[unique-id]
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Real-IP %[src]
    default_backend wire
backend wire
    server origin 127.0.0.1:{origin}
"""
NGINX = """\
daemon off;
master_process off;
pid {scratch}/nginx.pid;
error_log {scratch}/nginx.err;
events {{ worker_connections 1000; }}
http {{
    access_log off;
    client_body_temp_path {scratch};
    proxy_temp_path {scratch};
    fastcgi_temp_path {scratch};
    uwsgi_temp_path {scratch};
    scgi_temp_path {scratch};
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    upstream wire {{ server 127.0.0.1:{origin}; keepalive 16; }}
    server {{
        listen 127.0.0.1:{http};
        location / {{
            proxy_pass http://wire;
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Request-ID $request_id;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
        }}
    }}
}}
"""


@dataclasses.dataclass
class Proxy:
    """How one of them is set up; `command` gets the path of its config."""

    name: str
    config: str
    file: str
    command: object
    is_judged: bool = False


def proxies(args):
    """Vanne in each lane, then its peers."""

    def vanne(lane):
        more = ["--lane", lane] if lane else []
        return Proxy(f"vanne {lane}".strip(), stage.CONFIG + POOL, "vanne.toml",
                     lambda path: [stage.need(args.vanne), "run", *more, "-c", path], is_judged=True)

    return [
        *map(vanne, args.lanes.split(",")),
        Proxy("haproxy", HAPROXY, "haproxy.cfg", lambda path: [stage.need("haproxy"), "-db", "-f", path]),
        Proxy("nginx", NGINX, "nginx.conf", lambda path: [stage.need("nginx"), "-c", path]),
    ]


def rows(report):
    """Class → (cases, dangerous, against policy), from what the runner prints."""
    found = {}
    for line in report.split("against policy\n", 1)[-1].splitlines():
        words = line.rsplit(None, 3)
        if len(words) == 4 and all(word.isdigit() for word in words[1:]):
            found[words[0].strip()] = tuple(map(int, words[1:]))
    return found


def played(proxy, scratch):
    """What the runner counts for one proxy. Its report is kept beside the configs."""
    scratch = scratch / proxy.name.replace(" ", "-")
    scratch.mkdir()
    http, origin, probe = stage.free_ports(3)
    path = scratch / proxy.file
    path.write_text(proxy.config.format(http=http, origin=origin, probe=probe, workers=2, scratch=scratch))
    addresses = {"VANNE_WIRE_PROXY": f"127.0.0.1:{http}", "VANNE_WIRE_ORIGIN": f"127.0.0.1:{origin}"}
    command = ["cargo", "test", "--quiet", "--test", "wire", "nothing_on_the_wire", "--", "--nocapture"]
    with stage.running(proxy.command(str(path)), scratch / "log", [http]):
        run = subprocess.run(command, cwd=ROOT, env=os.environ | addresses, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise stage.StageError(f"the runner failed with {proxy.name}:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    return run.stdout


async def main(args, scratch, findings):
    """All proxies in turn, then one table."""
    reports = {}
    them = proxies(args)
    for proxy in them:
        reports[proxy.name] = played(proxy, scratch)
        if args.reports:
            folder = pathlib.Path(args.reports)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{proxy.name.replace(' ', '-')}.txt").write_text(reports[proxy.name])
    counts = {name: rows(report) for name, report in reports.items()}
    print("dangerous / against policy\n\n" + f"{'class':<40} {'cases':>5}" + "".join(f" {name:>15}" for name in counts))
    for kind in counts[them[0].name]:
        cells = (counts[name][kind] for name in counts)
        cells = "".join(f" {f'{dangerous} / {against}':>15}" for _, dangerous, against in cells)
        print(f"{kind:<40} {counts[them[0].name][kind][0]:>5}{cells}")
    print()
    for proxy in filter(lambda proxy: proxy.is_judged, them):
        _, dangerous, against = counts[proxy.name]["all"]
        findings.note(dangerous + against == 0, f"{proxy.name}: {dangerous} dangerous, {against} against policy")


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    parser.add_argument("--lanes", default="", help="lanes of Vanne, like lean,pingora; else as it comes")
    parser.add_argument("--reports", help="a folder for the runner's reports, with each case that is not good")
    stage.play(main, parser.parse_args())
