#!/usr/bin/env python3
"""Faults of backends under load, beside HAProxy and nginx with the same settings.

120 requests a second for 16 s, each sent on schedule, to three backends; from second 4 to 10 something is wrong with
one of them, with two, or with all. Each proxy has backends of its own, each a process; all proxies are loaded at the
same time. Checks every second, one retry, limits of one second. nginx has no active checks: it leaves a backend out
for a second after a failure.

Says how many requests failed (anything but a 200), when a healed backend had its share back (the start of the first
second in which it served four fifths of it), and until when requests failed after all were restarted. Judged is Vanne.
"""

import asyncio
import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time

import stage
import traffic

RATE = 120
SECONDS, FAULTY_FROM, FAULTY_UNTIL = 16, 4, 10
DELAY_MS = 20
BACK_SECONDS_MAX = 2.0
SERVED_SECONDS_MAX = 1.5

POOL = """\
[pool.faults]
algorithm = "round-robin"
backends = [{servers}]
health = {{ type = "http", path = "/health", interval = "1s", timeout = "1s", rise = 1, fall = 1 }}
breaker = {{ open_for = "1s" }}
retries = {{ attempts = 1, on = ["reset", "timeout", "500", "502", "503", "504"] }}
timeouts = {{ connect = "1s", first_byte = "1s" }}
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
    timeout server 1s
    timeout check 1s
    retries 1
    option redispatch 1
    retry-on all-retryable-errors
    option httpchk GET /health
    http-check expect status 200-399
    default-server check inter 1s rise 1 fall 1
frontend http
    bind 127.0.0.1:{http}
    default_backend faults
backend faults
    balance roundrobin
{servers}
"""
NGINX = """\
daemon off;
worker_processes 2;
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
    upstream faults {{
        zone faults 64k;
{servers}
        keepalive 16;
    }}
    server {{
        listen 127.0.0.1:{http};
        location / {{
            proxy_pass http://faults;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_connect_timeout 1s;
            proxy_read_timeout 1s;
            proxy_next_upstream error timeout http_500 http_502 http_503 http_504;
            proxy_next_upstream_tries 2;
        }}
    }}
}}
"""


@dataclasses.dataclass
class Proxy:
    """How one of them is set up. `server` is how its config names a backend."""

    name: str
    config: str
    server: str
    file: str
    command: object
    separator: str = "\n"

    def write(self, scratch, http, ports):
        """Its config, written; and the command that runs it."""
        servers = self.separator.join(self.server.format(port=port) for port in ports)
        (probe,) = stage.free_ports(1)
        text = self.config.format(http=http, probe=probe, workers=2, servers=servers, scratch=scratch)
        path = scratch / self.file
        path.write_text(text)
        return self.command(path)


def proxies(binary):
    """All of them; the first is judged."""
    return [
        Proxy("vanne", stage.CONFIG + POOL, '"127.0.0.1:{port}"', "vanne.toml",
              lambda path: [stage.need(binary), "run", "-c", str(path)], ", "),
        Proxy("haproxy", HAPROXY, "    server o{port} 127.0.0.1:{port}", "haproxy.cfg",
              lambda path: [stage.need("haproxy"), "-db", "-f", str(path)]),
        Proxy("nginx", NGINX, "        server 127.0.0.1:{port} max_fails=1 fail_timeout=1s;", "nginx.conf",
              lambda path: [stage.need("nginx"), "-c", str(path)]),
    ]


class Origin:
    """A backend that can be killed, stopped and told to fail."""

    def __init__(self, port):
        self.port, self.child = port, None

    async def start(self):
        """Runs it; done when it listens."""
        self.child = subprocess.Popen([sys.executable, "-S", str(stage.HERE / "origin.py"), str(self.port)])
        while True:
            with contextlib.suppress(OSError):
                return await traffic.tell(self.port, delay_ms=DELAY_MS)
            await asyncio.sleep(0.005)

    def end(self):
        """Ends it, whatever its state."""
        os.kill(self.child.pid, signal.SIGKILL)
        self.child.wait()

    async def kill(self):
        """kill -9."""
        self.end()

    async def stop(self):
        """SIGSTOP."""
        os.kill(self.child.pid, signal.SIGSTOP)

    async def go_on(self):
        """SIGCONT."""
        os.kill(self.child.pid, signal.SIGCONT)

    async def reset(self):
        """Resets connections once a request was read; its checks pass."""
        await traffic.tell(self.port, delay_ms=DELAY_MS, status=0)

    async def fail(self):
        """Answers 500, to checks too."""
        await traffic.tell(self.port, delay_ms=DELAY_MS, status=500, health=500)

    async def heal(self):
        """As it was."""
        await traffic.tell(self.port, delay_ms=DELAY_MS)


@dataclasses.dataclass
class Scenario:
    """What happens to how many backends, and what ends it."""

    name: str
    fault: object
    heal: object
    backends: int = 1
    # None: not judged.
    failed_max: int | None = 0


SCENARIOS = {
    "kill": Scenario("kill -9", Origin.kill, Origin.start),
    "stop": Scenario("SIGSTOP", Origin.stop, Origin.go_on),
    "reset": Scenario("reset after the request, checks pass", Origin.reset, Origin.heal),
    "500": Scenario("500 to requests and checks", Origin.fail, Origin.heal, failed_max=5),
    "kill-two": Scenario("kill -9 of two of three", Origin.kill, Origin.start, backends=2, failed_max=2),
    "kill-all": Scenario("kill -9 of all", Origin.kill, Origin.start, backends=3, failed_max=None),
}


class Result:
    """What one proxy made of a scenario."""

    def __init__(self, scenario, answers, healed, ports):
        self.failed = [answer for answer in answers if not answer.is_good]
        self.slowest = max(answer.seconds for answer in answers)
        last = max((answer.began + answer.seconds for answer in self.failed), default=healed)
        self.failed_until = max(0.0, last - healed)
        backs = [back(answers, healed, port) for port in ports[: scenario.backends]]
        self.back = None if None in backs else max(backs)

    def cells(self):
        """Its part of a table's row."""
        back = "never" if self.back is None else f"{self.back:.2f}"
        return f"{len(self.failed):>6} {back:>6} {self.failed_until:>7.2f} {self.slowest:>8.2f}"


def back(answers, healed, port):
    """Seconds until the backend's share was back."""
    for step in range(20 * (SECONDS - FAULTY_UNTIL - 1)):
        start = healed + step / 20
        within = [answer.origin for answer in answers if start <= answer.began < start + 1]
        if within.count(port) >= 0.8 * RATE / 3:
            return step / 20
    return None


@dataclasses.dataclass
class Played:
    """What came of a scenario with one proxy: its answers, when the backends were healed, and their ports."""

    answers: list
    healed: float
    ports: list
    # When the machine was late.
    lags: traffic.Lags


async def played(scenario, proxy, scratch):
    """One scenario with one proxy."""
    scratch = scratch / proxy.name
    scratch.mkdir(exist_ok=True)
    (http,) = stage.free_ports(1)
    ports = stage.lasting_ports(3)
    all_origins = [Origin(port) for port in ports]
    with contextlib.ExitStack() as stack:
        for origin in all_origins:
            await origin.start()
            stack.callback(origin.end)
        child = stack.enter_context(stage.running(proxy.write(scratch, http, ports), scratch / "log", [http]))
        client = stack.enter_context(traffic.client(http))
        await asyncio.sleep(1.5)
        lags = stack.enter_context(traffic.lags(child))
        sent, began = traffic.request(), time.monotonic()
        load = asyncio.create_task(traffic.on_schedule(RATE, RATE * SECONDS, lambda _: client.ask(sent)))
        faulty = all_origins[: scenario.backends]
        await asyncio.sleep(began + FAULTY_FROM - time.monotonic())
        await asyncio.gather(*(scenario.fault(origin) for origin in faulty))
        await asyncio.sleep(began + FAULTY_UNTIL - time.monotonic())
        await asyncio.gather(*(scenario.heal(origin) for origin in faulty))
        healed = time.monotonic()
        return Played(await load, healed, ports, lags)


def judge(scenario, result, findings):
    """What is asked of Vanne."""
    whys = ", ".join(sorted({answer.why for answer in result.failed}))
    if scenario.failed_max is None:
        findings.note(result.failed_until <= SERVED_SECONDS_MAX, f"{scenario.name}: requests failed until "
                      f"{result.failed_until:.2f} s after the restart (at most {SERVED_SECONDS_MAX})")
    else:
        findings.note(len(result.failed) <= scenario.failed_max, f"{scenario.name}: {len(result.failed)} failed "
                      f"(at most {scenario.failed_max}) {whys}")
    findings.note(result.back is not None and result.back <= BACK_SECONDS_MAX, f"{scenario.name}: share back after "
                  f"{result.back} s (at most {BACK_SECONDS_MAX})")


async def main(args, scratch, findings):
    """All scenarios, each with all proxies at once."""
    them = proxies(args.vanne)
    for proxy in them:
        print(f"--- {proxy.name}\n{proxy.config.replace('{{', '{').replace('}}', '}')}    (a server: {proxy.server})\n")
    print(f"{RATE * SECONDS} requests at {RATE}/s over {SECONDS} s; fault from second {FAULTY_FROM} to {FAULTY_UNTIL}; "
          f"a backend takes {DELAY_MS} ms\n\nfailed: requests; back: seconds until the healed backends had their share "
          "back;\nuntil: seconds after healing that requests still failed; slowest: the longest answer in seconds\n")
    columns = f"{'failed':>6} {'back':>6} {'until':>7} {'slowest':>8}"
    print(" " * 38 + "".join(f" | {proxy.name:<30}" for proxy in them))
    print(f"{'scenario':<38}" + f" | {columns}" * len(them))
    judged = []
    for name in args.scenarios.split(","):
        scenario = SCENARIOS[name]
        all_played = await asyncio.gather(*(played(scenario, proxy, scratch) for proxy in them))
        results = [Result(scenario, one.answers, one.healed, one.ports) for one in all_played]
        print(f"{scenario.name:<38}" + "".join(f" | {result.cells()}" for result in results), flush=True)
        judged.append((scenario, results[0]))
    print()
    for scenario, result in judged:
        judge(scenario, result, findings)


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help="some of them (%(default)s)")
    stage.play(main, parser.parse_args())
