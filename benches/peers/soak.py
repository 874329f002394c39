#!/usr/bin/env python3
"""Soak: one proxy under changing load for a bounded time; no request may fail, and nothing may grow.

The load alternates between kept and new connections, small and large answers. After each cycle the load pauses and
memory and open files are read. The first cycles are warm-up; after them the medians of the early and the late half of
the readings are compared, so that one odd reading decides nothing.
"""

import argparse
import statistics
import sys
import time

from lab import LabError, Process, folder, load, origins
from proxies import PROXIES

SLICE_SECONDS = 5
WARM_UP_CYCLES = 2
CYCLES_MIN = WARM_UP_CYCLES + 4
# (target, connections, keep-alive)
SLICES = [("/1k", 64, True), ("/64k", 64, True), ("/1k", 64, False), ("/1k", 1000, True)]
RSS_GROWTH_MAX = 1.10
RSS_SLACK_BYTES = 4 << 20
OPEN_FILES_SLACK = 64
SETTLE_SECONDS = 2


def cycle(setting, core):
    """Every kind of load once; the number of requests."""
    requests = 0
    for target, connections, keep_alive in SLICES:
        seen = load(setting.port, target, core, SLICE_SECONDS, connections, keep_alive)
        if seen.errors or not seen.requests:
            raise LabError(f"{target}, {connections} connections: {seen.errors} errors in {seen.requests} requests")
        requests += seen.requests
    return requests


def readings(process, setting, given):
    """`(memory, open files)` after each cycle, until the time is over."""
    found, requests = [], 0
    end = time.monotonic() + given.seconds
    while time.monotonic() < end or len(found) < CYCLES_MIN:
        requests += cycle(setting, given.load_core)
        time.sleep(SETTLE_SECONDS)
        found.append((process.rss_bytes(), process.open_files()))
        print(f"{requests:,} requests, {found[-1][0] >> 10:,} KiB, {found[-1][1]} files", flush=True)
    return found[WARM_UP_CYCLES:]


def judge(found):
    """An error when memory or open files grow from the early to the late half."""
    half = len(found) // 2
    early, late = found[:half], found[-half:]
    rss_early, rss_late = (statistics.median(rss for rss, _ in part) for part in (early, late))
    files_early, files_late = (statistics.median(files for _, files in part) for part in (early, late))
    if rss_late > rss_early * RSS_GROWTH_MAX + RSS_SLACK_BYTES:
        raise LabError(f"memory grew from {rss_early / 2**20:.1f} to {rss_late / 2**20:.1f} MiB")
    if files_late > files_early + OPEN_FILES_SLACK:
        raise LabError(f"open files grew from {files_early} to {files_late}")
    print(f"soak passed: {rss_early / 2**20:.1f} → {rss_late / 2**20:.1f} MiB, {files_early} → {files_late} files")


def main():
    """Runs the soak; a reason and exit 1 when it fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vanne", default="target/release/vanne", help="the release binary")
    parser.add_argument("--proxy", default="vanne", choices=list(PROXIES), help="what is soaked")
    parser.add_argument("--seconds", type=int, default=300, help=f"at least {CYCLES_MIN} cycles run all the same")
    parser.add_argument("--proxy-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    given = parser.parse_args()
    with folder() as scratch, origins(scratch, given.load_core) as ports:
        setting = PROXIES[given.proxy](ports, scratch, {"vanne": given.vanne})
        with Process(setting.command, given.proxy_core, scratch / "proxy.log") as process:
            process.wait_for_port(setting.port)
            judge(readings(process, setting, given))
            process.stop()
            if process.child.returncode != 0 and given.proxy == "vanne":
                raise LabError(f"ended with {process.child.returncode}:\n{process.log()[-2000:]}")


if __name__ == "__main__":
    try:
        main()
    except LabError as error:
        sys.exit(f"soak: {error}")
