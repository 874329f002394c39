#!/usr/bin/env python3
"""Fairness between the streams of one HTTP/2 connection, by TLS and in plain text.

Over one connection 99 streams ask for little again and again: alone, beside a download of 100 MB, and beside one that
its client does not read. The download is measured alone too.

Expected: every stream gets answers all the while; beside a download p99 stays below P99_MS_MAX and no small request
takes longer than SLOWEST_MS_MAX; the download arrives whole, in DOWNLOAD_SLOWER_MAX times the time it takes alone at
most. Exit code 1 if not. The limits leave room for a slow machine: what starves waits for the whole download.
"""

import json
import pathlib
import subprocess

from stage import NAME, StageError, arguments, backend, certificate, folder, free_ports, need, vanne, verdict

CONFIG = """
[probe]
address = "127.0.0.1:{probe}"
[access_log]
to = "off"
[log]
level = "warn"
[listener.h2c]
address = "127.0.0.1:{h2c}"
protocols = ["h2"]
[listener.tls]
address = "127.0.0.1:{tls}"
tls = {{ certificates = ["site.pem"] }}
[pool.demo]
backends = ["127.0.0.1:{backend}"]
[[route]]
name = "all"
pool = "demo"
"""
LARGE_BYTES = 100_000_000
P99_MS_MAX = 100
SLOWEST_MS_MAX = 1000
DOWNLOAD_SLOWER_MAX = 20
RUN_SECONDS_MAX = 120
PHASES = ("alone", "beside_download", "beside_held_download")


def build(scratch):
    """Compiles the client."""
    binary = scratch / "h2_fairness"
    source = pathlib.Path(__file__).resolve().parent / "h2_fairness"
    command = [need("go"), "build", "-buildvcs=false", "-o", str(binary), "."]
    run = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise StageError(f"the client does not build (Go 1.24 or newer):\n{run.stderr}")
    return binary


def measure(binary, url, options):
    """The client's report."""
    command = [str(binary), "-url", url, *map(str, options), "-large", f"/bytes/{LARGE_BYTES}"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired:
        return None, [f"did not end in {RUN_SECONDS_MAX} s"]
    return (json.loads(run.stdout), []) if run.returncode == 0 else (None, [run.stderr.strip()])


def judge(found):
    """What was not as expected."""
    if found["downloaded_bytes"] != LARGE_BYTES:
        yield f"{found['downloaded_bytes']} bytes arrived of {LARGE_BYTES}"
    if found["connections"] != 1:
        yield f"{found['connections']} connections were used, one was meant"
    for name in PHASES:
        phase = found[name]
        if phase["fewest_of_one_stream"] < 2:
            yield f"{name}: a stream got {phase['fewest_of_one_stream']} answers"
        if phase["p99_ms"] > P99_MS_MAX:
            yield f"{name}: p99 is {phase['p99_ms']:.1f} ms, at most {P99_MS_MAX} ms is expected"
        if phase["max_ms"] > SLOWEST_MS_MAX:
            yield f"{name}: one took {phase['max_ms']:.1f} ms, at most {SLOWEST_MS_MAX} ms is expected"
    slower = found["download_beside_seconds"] / found["download_alone_seconds"]
    if slower > DOWNLOAD_SLOWER_MAX:
        yield f"the download took {slower:.1f} times as long as alone, at most {DOWNLOAD_SLOWER_MAX} is expected"


def show(way, found):
    """The figures as a table."""
    for name in PHASES:
        phase = found[name]
        print(f"{way} {name}: {phase['requests']} small requests, {phase['fewest_of_one_stream']} or more on each, "
              f"p50 {phase['p50_ms']:.1f} p99 {phase['p99_ms']:.1f} slowest {phase['max_ms']:.1f} ms")
    print(f"{way} download: {found['download_alone_seconds']:.2f} s alone, "
          f"{found['download_beside_seconds']:.2f} s beside the small requests", flush=True)


def main():
    parser = arguments(__doc__)
    parser.add_argument("--streams", type=int, default=99)
    parser.add_argument("--rate", type=float, default=0, help="bytes a second that the client's line brings at most")
    parser.add_argument("--url", help="a server that runs already, with /bytes/N")
    given = parser.parse_args()
    wrong = []
    with folder() as scratch:
        binary = build(scratch)
        ca, _, _ = certificate(scratch)
        h2c, tls, probe = free_ports(3)
        ways = {"h2c": (f"http://127.0.0.1:{h2c}", []), "tls": (f"https://127.0.0.1:{tls}", ["-ca", ca, "-name", NAME])}
        if given.url:
            ways = {"given": (given.url, [])}
        with backend(given.vanne, scratch) as port:
            config = CONFIG.format(h2c=h2c, tls=tls, probe=probe, backend=port)
            with vanne(given.vanne, config, scratch, [h2c, tls]):
                for way, (url, options) in ways.items():
                    found, why = measure(binary, url, ["-streams", given.streams, "-rate", given.rate, *options])
                    if found:
                        show(way, found)
                        why = list(judge(found))
                    wrong += [f"{way}: {one}" for one in why]
    return wrong


if __name__ == "__main__":
    verdict(main)
