#!/usr/bin/env python3
"""Vanne beside HAProxy, nginx and Envoy, on this machine, in one run: `make bench`.

The proxy has one core and one thread; the load generator and two origins have another core. Each round runs every
case with every proxy in turn, without and with access logs, in an order that rotates:

    as much as it can       CPU time of the proxy's whole process per request, requests a second (wrk, h2load)
    at a fixed rate         p50 and p99, counted from when a request was due (client.c); the rate is half of what the
                            slowest of them could do in the first round, the same for all
    idle connections        PSS of a fresh process for each

Every figure is compared with HAProxy's of the same round: ratios hold on a noisy machine where absolute times do not.
What other processes took meanwhile is noted with each figure. A whole run writes RESULTS.md; one of chosen cases,
proxies, logs or rounds only prints.

    make bench                                                          everything, 15 minutes after `make release`
    make bench ARGS=--quick                                             about 3 minutes: one short round
    make bench ARGS="--cases h1-1k,h2-tls-1k --proxies haproxy,vanne"   some of it
    make bench ARGS=--instructions                                      count instructions and allocations instead
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import re
import sys
import tempfile

import count
import load
import memory
import report
from cases import CASES
from lab import HERE, LabError, Process, fetch, first_line, folder, need, origins
from proxies import PROXIES
from proxies.setting import Ask
from quiet import Watch

WHOLE = {"proxies": "haproxy,haproxy-even,nginx,envoy,vanne", "logs": "off,on", "rounds": 3, "seconds": 3}
WHOLE |= {"cases": ",".join(name for name in CASES if name != "h1-tls-64k"), "idle_connections": 2000}
QUICK = WHOLE | {"proxies": "haproxy,nginx,envoy,vanne", "rounds": 1, "seconds": 1}
# With --instructions; what is not there is as in WHOLE.
COUNTED = WHOLE | {"proxies": "haproxy,nginx,vanne", "cases": "h1-1k,h1-tls-1k,h2-tls-1k"}
BODIES = {"/1k": 1024, "/64k": 65536}
RATE_SHARE = 0.5


def arguments():
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vanne", default="target/dist/vanne", help="the binary: `make release`")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--proxies", help=f"some of: {', '.join(PROXIES)}")
    parser.add_argument("--cases", help=f"some of: {', '.join(CASES)}")
    parser.add_argument("--logs", help="off, on or off,on")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int, help="of load for each figure")
    parser.add_argument("--idle-connections", type=int, help="0: memory is not measured")
    parser.add_argument("--proxy-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    parser.add_argument("--json", default="bench-peers.json", help="where the raw figures go")
    parser.add_argument("--out", help="where the report goes; RESULTS.md if all is measured, else nowhere")
    parser.add_argument("--instructions", action="store_true", help="count instructions and allocations instead")
    parser.add_argument("--requests", type=int, default=2000, help="requests counted with --instructions")
    given = parser.parse_args()
    is_whole = not (given.quick or given.instructions)
    for name, value in (COUNTED if given.instructions else QUICK if given.quick else WHOLE).items():
        if getattr(given, name) is None:
            setattr(given, name, value)
        elif getattr(given, name) != value:
            is_whole = False
    given.out = given.out or (str(HERE / "RESULTS.md") if is_whole else None)
    given.paced_seconds = given.seconds
    given.proxies = chosen(given.proxies, PROXIES)
    given.cases = chosen(given.cases, CASES)
    given.logs = chosen(given.logs, ("off", "on"))
    if {given.proxy_core, given.load_core} - os.sched_getaffinity(0):
        raise LabError("two cores are needed: one for the proxy, one for the load and the origins")
    return given


def chosen(text, known):
    """Names of a comma-separated list; an error for one that is not known."""
    names = text.split(",")
    for name in names:
        if name not in known:
            raise LabError(f"unknown `{name}`: choose from {', '.join(known)}")
    return names


def facts(settings, given):
    """Machine, versions, and how it was measured."""
    model = re.search(r"(?m)^model name\s*: (.+)$", pathlib.Path("/proc/cpuinfo").read_text())
    cpu = f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores"
    found = {"machine": cpu, "kernel": f"{platform.system()} {platform.release()}"}
    found["wrk"] = first_line(need("wrk"), "-v").split(" Copyright")[0]
    found["h2load"] = first_line(need("h2load"), "--version")
    found["OpenSSL of nginx, HAProxy and the client"] = first_line(need("openssl"), "version")
    found["compiler of origin and client"] = first_line(need("cc"), "--version")
    found.update({setting.name: setting.version for setting in settings})
    found["binary of Vanne"] = f"{os.path.relpath(given.vanne)} (target/dist: `make release`, target/release: cargo's)"
    found["rounds"] = f"{given.rounds}, {given.seconds} s for each figure"
    for name, value in found.items():
        print(f"{name}: {value}", flush=True)
    return found


class Bench:
    """All proxies, running; only one is under load at a time."""

    def __init__(self, given, scratch, logs, client, origin_ports, running):
        self.given, self.client, self.scratch, self.origin_ports = given, client, scratch, origin_ports
        self.settings, self.processes, self.rates = {}, {}, {}
        self.lines, self.requests = {}, {}
        for name in given.proxies:
            for log in given.logs:
                path = logs / f"{name}.log" if log == "on" else None
                setting = PROXIES[name](Ask(origin_ports, scratch, given.vanne, path))
                self.settings[name, log] = setting
                output = path if setting.is_log_printed else None
                process = Process(setting.command, given.proxy_core, scratch / f"{name}-{log}.err", output)
                self.processes[name, log] = running.enter_context(process)
                self.start(name, log)

    def start(self, name, log):
        """Waits until it listens everywhere, and asks it for what it will be asked for."""
        setting = self.settings[name, log]
        for port in (setting.port, setting.tls_port, setting.h2c_port):
            self.processes[name, log].wait_for_port(port)
        for target, length in BODIES.items():
            if len(fetch(setting.port, target)) != length:
                raise LabError(f"{name} changed the body of {target}")
        warm = [self.client, "h1", str(setting.port), "/1k", "connections=64", "seconds=0.3"]
        asked = json.loads(load.run(self.given.load_core, warm))["requests"]
        self.trim(name, log, asked + len(BODIES))

    def watched(self, name, log, measure):
        """What `measure` returns, the proxy's CPU seconds meanwhile, and what others took, of a core."""
        process = self.processes[name, log]
        watch, before = Watch((self.given.proxy_core, self.given.load_core)), process.cpu_seconds()
        found = measure(self.settings[name, log])
        return found, process.cpu_seconds() - before, watch.share()

    def figures(self, case, log, order):
        """A figure for each proxy: first as much as it can, then all at the same rate."""
        found = {}
        for name in order:
            (requests, seconds), cpu, others = self.watched(
                name, log, lambda setting: load.closed(case, setting, self.given, self.client)
            )
            found[name] = {"us_per_request": cpu / requests * 1e6, "requests_per_second": requests / seconds}
            found[name] |= {"busy": cpu / seconds, "others": others}
            self.trim(name, log, requests)
        rate = self.rates.setdefault((case.name, log), self.rate(found))
        for name in order:
            seen, _, others = self.watched(
                name, log, lambda setting: load.paced(case, setting, self.given, self.client, rate)
            )
            found[name] |= {key: seen[key] for key in ("p50_us", "p99_us", "late_p50_us", "late_p99_us")}
            found[name] |= {"rate": rate, "others_paced": others}
            self.trim(name, log, seen["requests"])
        return found

    @staticmethod
    def rate(found):
        """Half of what the slowest can do, in two digits."""
        slowest = min(one["requests_per_second"] for one in found.values())
        return float(f"{slowest * RATE_SHARE:.2g}")

    def trim(self, name, log, requests=0):
        """Counts the lines of the log and empties it: all proxies append, and go on at the front."""
        path = self.settings[name, log].log
        if path is None:
            return
        with open(path, "rb+") as file:
            blocks = iter(lambda: file.read(1 << 20), b"")
            self.lines[name] = self.lines.get(name, 0) + sum(block.count(b"\n") for block in blocks)
            file.truncate(0)
        self.requests[name] = self.requests.get(name, 0) + requests

    def line_shares(self):
        """Lines of the log for each request, once all is written."""
        for (name, log), process in self.processes.items():
            process.stop()
            self.trim(name, log)
        return {name: self.lines[name] / count for name, count in self.requests.items() if count}


def rotated(items, by):
    """The items, starting `by` places later."""
    by %= len(items)
    return items[by:] + items[:by]


def progress(text):
    """One line of what has been done."""
    print(text, file=sys.stderr, flush=True)


def traffic(bench, given):
    """All figures of the cases."""
    figures = []
    for at in range(given.rounds):
        for case in rotated(given.cases, at):
            for log in given.logs:
                found = bench.figures(CASES[case], log, rotated(given.proxies, at))
                place = {"round": at, "case": case, "logs": log}
                figures += [{**place, "proxy": name, **one} for name, one in found.items()]
            progress(f"round {at + 1} of {given.rounds}: {case}")
    return figures


def idle(bench, given):
    """KiB for each idle connection."""
    figures = []
    for at in range(given.rounds if given.idle_connections else 0):
        for kind, way in memory.WAYS.items():
            for name in rotated(given.proxies, at):
                setting = PROXIES[name](Ask(bench.origin_ports, bench.scratch, given.vanne))
                kib = memory.per_connection(setting, way, given, bench.client, bench.scratch)
                figures.append({"round": at, "case": kind, "logs": "off", "proxy": name, "kib": kib})
            progress(f"round {at + 1} of {given.rounds}: {kind}")
    return figures


def measured(given):
    """Everything, as it goes into the JSON."""
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(folder())
        logs = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vanne-bench-", dir=shared)))
        ports = stack.enter_context(origins(scratch, given.load_core))
        client = load.compile_client(scratch)
        bench = Bench(given, scratch, logs, client, ports, stack)
        told = facts([bench.settings[name, given.logs[0]] for name in given.proxies], given)
        told["access logs"] = "written to memory (tmpfs)" if shared else "written to disk"
        watch = Watch((given.proxy_core, given.load_core))
        figures = traffic(bench, given)
        shares = bench.line_shares()
        return {
            "facts": told,
            "figures": figures,
            "memory": idle(bench, given),
            "idle_connections": given.idle_connections,
            "line_shares": shares,
            "others": watch.share(),
        }


def main():
    """Measures, prints, writes."""
    given = arguments()
    if given.instructions:
        result = count.compared(given)
        text = count.table(result)
    else:
        result = measured(given)
        text = report.markdown(result)
    pathlib.Path(given.json).write_text(json.dumps(result, indent=1), encoding="utf-8")
    print(text)
    if given.out:
        pathlib.Path(given.out).write_text(text, encoding="utf-8")
        progress(f"written: {given.out}")


if __name__ == "__main__":
    try:
        main()
    except LabError as error:
        sys.exit(f"bench: {error}")
