#!/usr/bin/env python3
"""CPU per request of Vanne beside HAProxy, on this machine, in one run.

The proxy has one core and one thread; the load generator and two origins have another core. Each round runs every
case with every proxy, in an order that rotates; the figure is the CPU time of the proxy's process per request, and
its ratio to HAProxy's of the same round. Ratios hold on a noisy machine where absolute times do not.
Cases by TLS or HTTP/2 run when asked for, all with as many requests at once: eight streams on an eighth of the
connections where it is HTTP/2. `--cases h1-tls-1k,h2-tls-1k,h2c-1k --proxies haproxy,nginx,vanne`
`haproxy` only adds X-Forwarded-For; `haproxy-even` does all the header work that Vanne does.

`--instructions` counts instead (count.py): user-space instructions and allocations per request.
"""

import argparse
import json
import os
import platform
import statistics
import sys

import count
from lab import LabError, Process, fetch, first_line, folder, load, need, origins, stream_load
from proxies import PROXIES

# name: (target, bytes of its body, keep-alive). HTTP/1 in plain text, by wrk.
PLAIN_CASES = {
    "keep-alive-1k": ("/1k", 1024, True),
    "keep-alive-64k": ("/64k", 65536, True),
    "new-connection-1k": ("/1k", 1024, False),
}
# name: (target, bytes of its body, protocol, by TLS, connections for one of --connections, streams on each), by h2load.
STREAM_CASES = {
    "h1-tls-1k": ("/1k", 1024, "http/1.1", True, 1, 1),
    "h1-tls-64k": ("/64k", 65536, "http/1.1", True, 1, 1),
    "h2-tls-1k": ("/1k", 1024, "h2", True, 1 / 8, 8),
    "h2-tls-64k": ("/64k", 65536, "h2", True, 1 / 8, 8),
    "h2c-1k": ("/1k", 1024, "h2", False, 1 / 8, 8),
}
CASES = PLAIN_CASES | STREAM_CASES
REFERENCE = "haproxy"
TIMED = "haproxy,haproxy-even,vanne"
COUNTED = "haproxy,vanne,vanne-system-allocator"


def arguments():
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vanne", default="target/release/vanne", help="the release binary")
    parser.add_argument("--vanne-system-allocator", help="a build whose allocations valgrind can count")
    parser.add_argument("--proxies", help=f"some of: {', '.join(PROXIES)}")
    parser.add_argument("--cases", default=",".join(PLAIN_CASES), help=f"some of: {', '.join(CASES)}; else %(default)s")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of load for each case, proxy and round")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--proxy-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    parser.add_argument("--json", default="bench-peers.json", help="where the raw figures go")
    parser.add_argument("--instructions", action="store_true", help="count instructions and allocations instead")
    parser.add_argument("--requests", type=int, default=2000, help="requests counted with --instructions")
    given = parser.parse_args()
    given.proxies = chosen(given.proxies or (COUNTED if given.instructions else TIMED), PROXIES)
    given.cases = chosen(given.cases, CASES)
    return given


def chosen(text, known):
    """Names of a comma-separated list; an error for one that is not known."""
    names = text.split(",")
    for name in names:
        if name not in known:
            raise LabError(f"unknown `{name}`: choose from {', '.join(known)}")
    return names


def settings_of(given, origin_ports, scratch):
    """The chosen proxies, configured."""
    binaries = {"vanne": given.vanne, "vanne-system-allocator": given.vanne_system_allocator}
    return [PROXIES[name](origin_ports, scratch, binaries) for name in given.proxies]


def describe(settings, given):
    """Versions and settings, as a reader needs them to repeat the run."""
    facts = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "kernel": platform.release()}
    facts["wrk"] = first_line(need("wrk"), "-v")
    if any(case in STREAM_CASES for case in given.cases):
        facts["h2load"] = first_line(need("h2load"), "--version")
    facts["origin"] = first_line(need("cc"), "--version")
    facts.update({setting.name: setting.version for setting in settings})
    for name, value in facts.items():
        print(f"{name}: {value}")
    for setting in settings:
        print(f"\n--- settings of {setting.name}\n{setting.config.rstrip()}")
    print(flush=True)
    return facts


def measure(process, setting, case, given):
    """One figure: CPU seconds and requests of one case."""
    target, length = CASES[case][:2]
    if len(fetch(setting.port, target)) != length:
        raise LabError(f"{setting.name} changed the body of {target}")
    before = process.cpu_seconds()
    seen = loaded(setting, case, given)
    cpu = process.cpu_seconds() - before
    if seen.errors or not seen.requests:
        raise LabError(f"{setting.name}, {case}: {seen.errors} errors in {seen.requests} requests")
    return {
        "proxy": setting.name,
        "case": case,
        "requests": seen.requests,
        "cpu_seconds": round(cpu, 3),
        "us_per_request": cpu / seen.requests * 1e6,
        "requests_per_second": seen.requests / seen.seconds,
        "busy": cpu / seen.seconds,
    }


def loaded(setting, case, given):
    """The case's load, once."""
    if case in PLAIN_CASES:
        target, _, keep_alive = PLAIN_CASES[case]
        return load(setting.port, target, given.load_core, given.seconds, given.connections, keep_alive)
    target, _, protocol, is_tls, share, streams = STREAM_CASES[case]
    origin = f"https://127.0.0.1:{setting.tls_port}" if is_tls else f"http://127.0.0.1:{setting.h2c_port}"
    connections = max(1, round(given.connections * share))
    return stream_load(origin + target, given.load_core, given.seconds, connections, streams, protocol)


def rotated(items, by):
    """The items, starting `by` places later."""
    by %= len(items)
    return items[by:] + items[:by]


def rounds(settings, given, scratch):
    """All figures. Every proxy runs during the whole measurement; only one is under load at a time."""
    figures = []
    processes = {}
    try:
        for setting in settings:
            process = Process(setting.command, given.proxy_core, scratch / f"{setting.name}.log")
            processes[setting.name] = process
            process.wait_for_port(setting.port)
            load(setting.port, "/1k", given.load_core, 1, given.connections)  # warm, not counted
        for at in range(given.rounds):
            for case in rotated(given.cases, at):
                for setting in rotated(settings, at):
                    figure = measure(processes[setting.name], setting, case, given)
                    figures.append({"round": at, **figure})
            print(f"round {at + 1} of {given.rounds} done", file=sys.stderr, flush=True)
    finally:
        for process in processes.values():
            process.stop()
    return figures


def summary(figures, given):
    """A row for each case and proxy: medians over the rounds."""
    found = {(one["round"], one["case"], one["proxy"]): one for one in figures}
    rows = []
    for case in given.cases:
        for proxy in given.proxies:
            of_rounds = [found[at, case, proxy] for at in range(given.rounds)]
            row = {"case": case, "proxy": proxy}
            for key in ("us_per_request", "requests_per_second", "busy"):
                row[key] = statistics.median(one[key] for one in of_rounds)
            if REFERENCE in given.proxies:
                base = [found[at, case, REFERENCE]["us_per_request"] for at in range(given.rounds)]
                ratios = [one["us_per_request"] / other for one, other in zip(of_rounds, base)]
                row.update(ratio=statistics.median(ratios), ratio_min=min(ratios), ratio_max=max(ratios))
            rows.append(row)
    return rows


def table(rows):
    """The summary as a Markdown table."""
    lines = [
        f"| case | proxy | CPU µs/req | × {REFERENCE} | min–max of rounds | req/s | core busy |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ratio = f"{row['ratio']:.2f} | {row['ratio_min']:.2f}–{row['ratio_max']:.2f}" if "ratio" in row else "– | –"
        figures = f"{row['requests_per_second']:,.0f} | {row['busy']:.0%}"
        lines.append(f"| {row['case']} | {row['proxy']} | {row['us_per_request']:.1f} | {ratio} | {figures} |")
    return "\n".join(lines)


def main():
    """Measures, prints, writes the JSON."""
    given = arguments()
    with folder() as scratch, origins(scratch, given.load_core) as origin_ports:
        settings = settings_of(given, origin_ports, scratch)
        facts = describe(settings, given)
        if given.instructions:
            rows = count.rows(settings, given, scratch)
            print(count.table(rows))
            result = {"facts": facts, "counts": rows}
        else:
            figures = rounds(settings, given, scratch)
            rows = summary(figures, given)
            print(table(rows))
            result = {"facts": facts, "summary": rows, "figures": figures}
    with open(given.json, "w", encoding="utf-8") as output:
        json.dump(result, output, indent=1)


if __name__ == "__main__":
    try:
        main()
    except LabError as error:
        sys.exit(f"bench: {error}")
