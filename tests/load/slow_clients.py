#!/usr/bin/env python3
"""Slow clients, 400 at once, beside clients that behave.

slowhttptest sends heads that do not end, bodies that do not end, and reads answers slowly; then a client of our own
sends heads by one byte every 100 ms, and some that stop half-way. Beside each of these, 850 requests come at a steady
pace.

Expected: none of the 850 fails; whoever does not end its head is closed at the deadline, give or take a second, however
it sends.
"""

import asyncio
import contextlib
import csv
import pathlib
import re
import subprocess
import time

import stage
import traffic

SLOW = 400
REQUESTS = 850
RATE = 25
HEAD_SECONDS = 10
TOLERANCE_SECONDS = 1
BYTE_EVERY_SECONDS = 0.1
# Until all have connected, at slowhttptest's rate.
CONNECT_SECONDS = 4
CONNECT_RATE = 200
LARGE_BYTES = 1_000_000

ROUTES = """\
timeouts = {{ head = "{head}s" }}
[pool.demo]
backends = ["127.0.0.1:{backend}"]
[[route]]
name = "all"
pool = "demo"
"""
# Heads without end, bodies without end, answers read slowly.
MODES = {
    "headers": ["-H", "-i", "2"],
    "body": ["-B", "-i", "2", "-s", "8192"],
    "read": ["-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32", "-k", "3"],
}


async def beside(client, attack):
    """So many requests at a steady pace during an attack: their answers, and what the attack returned."""
    attacking = asyncio.create_task(attack)
    sent = traffic.request("/beside")
    answers = await traffic.on_schedule(RATE, REQUESTS, lambda _: client.ask(sent))
    return answers, await attacking


def note(findings, name, answers):
    """What became of the requests beside an attack."""
    lost = [answer.why for answer in answers if not answer.is_good]
    seconds = [answer.seconds for answer in answers]
    p50, p99 = (1000 * traffic.percentile(seconds, share) for share in (0.5, 0.99))
    why = f" ({', '.join(sorted(set(lost)))})" if lost else ""
    findings.note(not lost, f"{name}: {len(lost)} of {len(answers)} requests beside it failed{why}; p50 {p50:.1f} ms, "
                  f"p99 {p99:.1f} ms, slowest {1000 * max(seconds):.1f} ms")


async def slowhttptest(mode, http, scratch):
    """The tool's own count, second by second, and after how many it had no connection left, if so."""
    report = scratch / mode
    path = f"/bytes/{LARGE_BYTES}" if mode == "read" else "/"
    command = [stage.need("slowhttptest"), *MODES[mode], "-c", str(SLOW), "-r", str(CONNECT_RATE), "-g", "-o", str(report),
               "-l", str(REQUESTS // RATE - 2), "-p", "5", "-u", f"http://127.0.0.1:{http}{path}"]
    run = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    table = pathlib.Path(f"{report}.csv")
    if not table.exists():
        raise stage.StageError(f"slowhttptest wrote no report:\n{(run.stdout + run.stderr)[-2000:]}")
    with table.open() as file:
        rows = [{name.strip(): value.strip() for name, value in row.items() if name} for row in csv.DictReader(file)]
    # It ends early when it has no connection left.
    ended = re.search(r"Test ended on (\d+)\w\w second", run.stdout)
    is_alone = "No open connections left" in run.stdout
    return rows, int(ended[1]) if ended and is_alone else None


def judge_tool(findings, mode, rows, ended):
    """What the tool saw: that the service was there for it, and when its connections were closed."""
    away = [row["Seconds"] for row in rows if row["Service Available"] == "0"]
    most = max(int(row["Connected"]) for row in rows)
    is_met = not away and most > SLOW / 2
    if mode == "headers":
        is_met = is_met and ended is not None and ended <= HEAD_SECONDS + CONNECT_SECONDS + TOLERANCE_SECONDS
    text = "some to its end" if ended is None else f"none after {ended} s"
    away = f"the service was away at {' '.join(away)} s" if away else "the service was there"
    findings.note(is_met, f"{mode}: slowhttptest had {most} connections open, and {text}; {away}")


async def one_head(http, head, every):
    """Sends a head byte by byte (`every`) or up to its middle: how long until the connection was closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", http)
    began = time.monotonic()
    ended = asyncio.create_task(reader.read())
    if every:
        for byte in head:
            writer.write(bytes((byte,)))
            if (await asyncio.wait([ended], timeout=every))[0]:
                break
    else:
        writer.write(head[:20])
    with contextlib.suppress(OSError):
        await ended
    writer.close()
    return time.monotonic() - began


async def drip(http, findings, client):
    """The client of our own."""
    head = traffic.request("/slow", {"x-long": "l" * 1000})

    async def all_heads():
        async def one(number):
            # Not all at once: the kernel's queue of new connections is short.
            await asyncio.sleep(number / CONNECT_RATE)
            return await one_head(http, head, BYTE_EVERY_SECONDS if number % 4 else 0)

        return await asyncio.gather(*(one(number) for number in range(SLOW)))

    answers, took = await beside(client, all_heads())
    note(findings, "one byte every 100 ms", answers)
    for name, times in (("a byte every 100 ms", [one for number, one in enumerate(took) if number % 4]),
                        ("half a head, then nothing", took[::4])):
        off = max(abs(one - HEAD_SECONDS) for one in times)
        findings.note(off <= TOLERANCE_SECONDS, f"{name}: {len(times)} connections closed after {min(times):.2f} to "
                      f"{max(times):.2f} s; the deadline is {HEAD_SECONDS} s, give or take {TOLERANCE_SECONDS}")


async def main(args, scratch, findings):
    """The tool's modes, then our own."""
    http, probe = stage.free_ports(2)
    with stage.backend(args.vanne, scratch) as backend:
        config = stage.CONFIG.format(workers=args.workers, http=http, probe=probe)
        config += ROUTES.format(backend=backend, head=HEAD_SECONDS)
        with stage.vanne(args.vanne, config, scratch, [http]) as child, traffic.client(http) as client:
            for mode in MODES:
                answers, (rows, ended) = await beside(client, slowhttptest(mode, http, scratch))
                note(findings, mode, answers)
                judge_tool(findings, mode, rows, ended)
            await drip(http, findings, client)
            print(f"      resident memory: {stage.rss_mib(child):.1f} MiB")


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    parser.add_argument("--workers", type=int, default=4)
    stage.play(main, parser.parse_args())
