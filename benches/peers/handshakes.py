"""CPU time per TLS handshake with one request: Vanne beside HAProxy and nginx, in one run.

Every proxy has one thread, pinned to one core, the same P-256 certificate and key, TLS 1.3 with X25519, and answers
from two origins. A client on the other core connects, 16 times at once, asks once for 1 KiB and closes: without a
ticket (a full handshake), or with the last one it got (a resumed one). Only the proxy's CPU time counts.
The same requests in plain text, each on a new connection, are measured too, so that it can be seen what is TLS.
Debian's HAProxy 2.6 and nginx use OpenSSL 3.0, which is slow at this: newer builds would look better.

    make bench ARGS=--handshakes
"""

import argparse
import statistics
import subprocess
import sys

from lab import HERE, LabError, Process, certificate, first_line, folder, free_ports, need, origins

MODES = ("plain", "full", "resumed")

HAPROXY = """\
global
    nbthread 1
    ssl-default-bind-curves X25519
defaults
    mode http
    timeout client 30s
    timeout connect 5s
    timeout server 30s
    http-reuse always
    option forwardfor
frontend plain
    bind 127.0.0.1:{plain} backlog 4096
    default_backend origin
frontend tls
    bind 127.0.0.1:{tls} backlog 4096 ssl crt {pem} ssl-min-ver TLSv1.3
    default_backend origin
backend origin
{servers}
"""

NGINX = """\
daemon off;
worker_processes 1;
master_process off;
pid {scratch}/nginx.pid;
error_log {scratch}/nginx.err;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {scratch};
    proxy_temp_path {scratch};
    fastcgi_temp_path {scratch};
    uwsgi_temp_path {scratch};
    scgi_temp_path {scratch};
    upstream origin {{ {servers} keepalive 64; }}
    ssl_certificate {pem};
    ssl_certificate_key {pem};
    ssl_protocols TLSv1.3;
    ssl_ecdh_curve X25519;
    ssl_session_cache shared:a:10m;
    server {{
        listen 127.0.0.1:{plain} backlog=4096;
        listen 127.0.0.1:{tls} ssl backlog=4096;
        location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""

VANNE = """\
[process]
workers = 1
[probe]
address = "127.0.0.1:{probe}"
[access_log]
to = "off"
[listener.plain]
address = "127.0.0.1:{plain}"
[listener.tls]
address = "127.0.0.1:{tls}"
tls = {{ certificates = ["{pem}"] }}
[pool.origin]
backends = [{servers}]
[[route]]
name = "all"
pool = "origin"
"""


def settings(ports, pem, scratch, vanne):
    """For each proxy: its command, its two ports and its version."""
    made = {}

    def write(name, text):
        path = scratch / name
        path.write_text(text)
        return str(path)

    plain, tls = free_ports(2)
    servers = "\n".join(f"    server o{at} 127.0.0.1:{port}" for at, port in enumerate(ports))
    config = write("haproxy.cfg", HAPROXY.format(plain=plain, tls=tls, pem=pem, servers=servers))
    binary = need("haproxy")
    made["haproxy"] = ([binary, "-db", "-f", config], plain, tls, first_line(binary, "-v"))
    plain, tls = free_ports(2)
    servers = " ".join(f"server 127.0.0.1:{port};" for port in ports)
    config = write("nginx.conf", NGINX.format(plain=plain, tls=tls, pem=pem, servers=servers, scratch=scratch))
    binary = need("nginx")
    made["nginx"] = ([binary, "-c", config], plain, tls, first_line(binary, "-v"))
    plain, tls, probe = free_ports(3)
    servers = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
    config = write("vanne.toml", VANNE.format(plain=plain, tls=tls, probe=probe, pem=pem, servers=servers))
    made["vanne"] = ([vanne, "run", "-c", config], plain, tls, first_line(vanne, "--version"))
    return made


def measure(process, client, mode, setting, given):
    """CPU microseconds of the proxy for each connection."""
    port = setting[1] if mode == "plain" else setting[2]
    command = [need("taskset"), "-c", str(given.client_core), client, mode, str(port)]
    begin = process.cpu_seconds()
    run = subprocess.run(
        [*command, str(given.seconds), str(given.workers)], capture_output=True, text=True, check=False
    )
    cost = process.cpu_seconds() - begin
    if run.returncode:
        raise LabError(run.stderr)
    made, resumed = map(int, run.stdout.split())
    if mode == "resumed" and resumed < 0.95 * made:
        raise LabError(f"only {resumed} of {made} were resumed")
    return cost * 1e6 / made


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vanne", required=True)
    parser.add_argument("--seconds", type=float, default=4, help="of each case in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=16, help="connections at once")
    parser.add_argument("--proxy-core", type=int, default=0)
    parser.add_argument("--client-core", type=int, default=1)
    given = parser.parse_args()
    found = {}
    with folder() as scratch, origins(scratch, given.client_core) as ports:
        client = str(scratch / "client")
        subprocess.run([need("go"), "build", "-o", client, str(HERE / "handshakes.go")], check=True)
        made = settings(ports, certificate(scratch), scratch, given.vanne)
        for turn in range(given.rounds):
            order = list(made)[turn % len(made):] + list(made)[: turn % len(made)]
            for name in order:
                setting = made[name]
                with Process(setting[0], given.proxy_core, scratch / f"{name}.log") as process:
                    process.wait_for_port(setting[1])
                    process.wait_for_port(setting[2])
                    for mode in MODES:
                        cost = measure(process, client, mode, setting, given)
                        found.setdefault((mode, name), []).append(cost)
            print(f"round {turn + 1} of {given.rounds} done", flush=True)
        for name, setting in made.items():
            print(f"{name}: {setting[3]}")
    print("| case | proxy | CPU µs per connection | × haproxy | min-max of rounds |")
    print("|---|---|---|---|---|")
    for case in MODES:
        base = found[case, "haproxy"]
        for name in made:
            costs = found[case, name]
            ratios = [cost / other for cost, other in zip(costs, base)]
            median = statistics.median(ratios)
            shown = f"{statistics.median(costs):.0f} | {median:.2f} | {min(ratios):.2f}-{max(ratios):.2f}"
            print(f"| {case} | {name} | {shown} |")


if __name__ == "__main__":
    try:
        main()
    except LabError as error:
        sys.exit(f"handshakes: {error}")
