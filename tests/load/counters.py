#!/usr/bin/env python3
"""What Vanne counts, beside what the generator counts; and what a scrape of it costs.

1. A million requests over kept connections, half of them to each of two routes, some of them 404: requests by class,
   their sum over backends, attempts, durations and bytes to clients equal the generator's own numbers exactly.
2. With 1,000 backends (at least 20 series each) a scrape takes at most 30 ms, and p99 of traffic at a fixed rate is
   the same, within noise, with a scrape each second and without: rounds in turn.

The origins are another Vanne that answers by itself: fast, and as exact.
"""

import asyncio
import re
import statistics
import subprocess
import time
import urllib.request

import stage
import traffic

REQUESTS = 1_000_000
TARGETS = ["/a/", "/b/", "/a/", "/b/missing"]
SCRAPES = 30
SCRAPE_SECONDS_MAX = 0.030
ROUNDS = 5
ROUND_SECONDS = 4
RATE = 2000

ORIGIN_ROUTES = """\
[[route]]
name = "missing"
match.path = "/b/missing"
answer = { status = 404, body = "not here" }
[[route]]
name = "found"
answer = { status = 200, body = "found" }
"""

ROUTES = """\
[pool.a]
backends = [{a}]
[pool.b]
backends = [{b}]
[pool.many]
backends = [{many}]
[[route]]
name = "a"
match.path = "/a/"
pool = "a"
[[route]]
name = "b"
match.path = "/b/"
pool = "b"
[[route]]
name = "many"
match.path = "/many/"
pool = "many"
"""


def listed(addresses):
    return ", ".join(f'"{address}"' for address in addresses)


def scrape(probe):
    """`/metrics`, and how long it took."""
    began = time.perf_counter()
    with urllib.request.urlopen(f"http://127.0.0.1:{probe}/metrics") as answer:
        text = answer.read().decode()
    return text, time.perf_counter() - began


def total(text, name, **labels):
    """The sum of all series of this name with these labels."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    lines = re.findall(rf"^{name}(?:{{([^}}]*)}})? (\S+)$", text, re.M)
    return sum(float(value) for series, value in lines if all(one in series for one in wanted))


def load(*arguments):
    """What h2load says."""
    run = subprocess.run([stage.need("h2load"), "--h1", *map(str, arguments)], capture_output=True, text=True,
                         check=True)
    return run.stdout


def exact(http, probe, targets, findings, requests):
    said = load("-n", requests, "-c", 50, "-t", 1, *(f"http://127.0.0.1:{http}{target}" for target in targets))
    codes = {f"{k}xx": int(n) for n, k in re.findall(r"(\d+) (\d)xx", said)}
    bytes_got = int(re.search(r"^traffic: \S+ \((\d+)\) total", said, re.M).group(1))
    text, _ = scrape(probe)
    for name in ("2xx", "4xx"):
        routes = total(text, "vanne_requests_total", **{"class": name})
        backends = total(text, "vanne_backend_requests_total", **{"class": name})
        is_met = codes[name] > 0 and routes == backends == codes[name]
        findings.note(is_met, f"{name}: the generator got {codes[name]}, routes say {routes:.0f}, backends {backends:.0f}")
    each = {
        "attempts": total(text, "vanne_attempts_total", outcome="success"),
        "durations": total(text, "vanne_request_duration_seconds_count"),
        "times to the first byte": total(text, "vanne_pool_first_byte_seconds_count"),
        "requests of the listener": total(text, "vanne_listener_requests_total", protocol="http/1.1"),
    }
    for name, count in each.items():
        findings.note(count == requests, f"{name}: {count:.0f} of {requests}")
    sent = total(text, "vanne_sent_bytes_total")
    findings.note(sent == bytes_got, f"bytes to clients: the generator got {bytes_got}, Vanne says {sent:.0f}")


def scrape_time(probe, findings):
    texts, times = zip(*(scrape(probe) for _ in range(SCRAPES)))
    series = sum(not line.startswith("#") for line in texts[-1].splitlines())
    typical, worst = statistics.median(times), max(times)
    findings.note(typical <= SCRAPE_SECONDS_MAX and series >= 20_000, f"a scrape of {series} series, "
                  f"{len(texts[-1]) / 2**20:.1f} MiB: {typical * 1000:.1f} ms (at most {worst * 1000:.1f} ms)")


async def p99(http, scratch, probe=None):
    """p99 of requests at a fixed rate, in ms; with a scrape each second if there is a probe."""
    log = scratch / "times.tsv"
    log.unlink(missing_ok=True)
    count = RATE * ROUND_SECONDS
    work = asyncio.create_task(asyncio.to_thread(
        load, "-n", count, "-c", 20, "-t", 1, "--rps", RATE // 20, f"--log-file={log}", f"http://127.0.0.1:{http}/a/"))
    while not work.done():
        if probe:
            await asyncio.to_thread(scrape, probe)
        await asyncio.sleep(1)
    await work
    times = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
    return traffic.percentile(times, 0.99) / 1000


async def main(args, scratch, findings):
    """Both."""
    requests = min(args.requests, REQUESTS) if args.requests else REQUESTS
    http, probe, origin_http, origin_probe = stage.free_ports(4)
    origins = [f"127.0.0.{n}:{origin_http}" for n in range(1, 7)]
    head = stage.CONFIG.replace('socket = "admin.sock"', 'socket = "origin.sock"')
    origin = head.format(workers=1, http=origin_http, probe=origin_probe).replace(
        f'"127.0.0.1:{origin_http}"', f'"0.0.0.0:{origin_http}"') + ORIGIN_ROUTES
    many = [f"127.1.{n // 250}.{n % 250 + 1}:9" for n in range(1000)]
    config = stage.CONFIG.format(workers=2, http=http, probe=probe) + ROUTES.format(
        a=listed(origins[:3]), b=listed(origins[3:]), many=listed(many))
    with stage.vanne(args.vanne, origin, scratch, [origin_http], "origin"):
        with stage.vanne(args.vanne, config, scratch, [http, probe]):
            await asyncio.to_thread(exact, http, probe, TARGETS, findings, requests)
            await asyncio.to_thread(scrape_time, probe, findings)
            with_, without = [], []
            for _ in range(ROUNDS):
                without.append(await p99(http, scratch))
                with_.append(await p99(http, scratch, probe))
            noise = max(without) - min(without)
            more = statistics.median(with_) - statistics.median(without)
            findings.note(more <= max(noise, 0.5), f"p99 at {RATE}/s: {statistics.median(without):.2f} ms without scrapes "
                          f"(rounds differ by {noise:.2f}), {statistics.median(with_):.2f} ms with one each second")


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="how many (%(default)s)")
    stage.play(main, parser.parse_args())
