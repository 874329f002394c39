#!/usr/bin/env python3
"""Swaps of the firewall's rules under load: no request may fail, none may be judged by no rules, and memory stays.

Runs `vanne` in front of a demo backend with the Core Rule Set (`VANNE_CRS_DIR`, or Debian's) and a file of rules of its
own. So many requests a second go over kept connections, one in ten of them an attack that both the Core Rule Set and the
file refuse at all times. Meanwhile the file is written anew again and again, and each time the config in use is waited
for, as its watch finds it. Each file has a rule that no other has: a request right after the swap must be refused by it.

Expected: all attacks get 403 and all else 200; every swap is used; in the end no old rules are alive and memory is not
more than --grow-max-mib above what it was after the first five swaps. Exit code 1 if not.
"""

import asyncio
import os
import pathlib
import time

import stage
import traffic
from drain import Load

DEBIAN = "/usr/share/modsecurity-crs"
WAF = """
[waf.main]
crs = "{crs}"
rules = ["own.conf"]
[pool.app]
backends = ["127.0.0.1:{backend}"]
[[route]]
name = "all"
pool = "app"
waf = "main"
"""
RULE = """
SecRule ARGS:q "@contains attack" "id:1001,phase:1,deny,log"
SecRule ARGS:swap "@streq {number}" "id:{id},phase:1,deny,log"
"""
HEADERS = (
    "Host: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0\r\n"
    "Accept: text/html,*/*;q=0.8\r\nAccept-Language: en\r\nCookie: sid=0123456789abcdef\r\n\r\n"
)
ATTACK = "/bytes/1000?q=an+attack+1%27%20UNION%20SELECT%20password%20FROM%20users--"
ATTACK_EVERY = 10
# What is made once is there after these: caches of each worker, buffers.
SWAPS_WARM = 5
SWAP_SECONDS_MAX = 60


class SwapLoad(Load):
    """Requests that pass and attacks, over kept connections."""

    def __init__(self, http, probe):
        super().__init__(http, probe)
        self.sent = 0

    async def ask(self, streams, target):
        reader, writer = streams
        writer.write(f"GET {target} HTTP/1.1\r\n{HEADERS}".encode())
        status, fields = await self.head(reader)
        await self.body(reader, fields)
        return status

    async def keep_asking(self, interval):
        """At a fixed pace, on one connection; what goes wrong is noted and a new one is opened."""
        streams, due = None, time.monotonic()
        while not self.stop.is_set():
            self.sent += 1
            is_attack = self.sent % ATTACK_EVERY == 0
            target, expected = (ATTACK, 403) if is_attack else (f"/bytes/1000?page={self.sent}", 200)
            try:
                streams = streams or await self.connect()
                status = await self.ask(streams, target)
                if status != expected:
                    self.fail(target, status)
                self.done("attacks" if is_attack else "requests")
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                self.fail(target, error)
                streams = None
            due += interval
            await asyncio.sleep(max(0, due - time.monotonic()))

    async def is_in_use(self, number):
        """Whether the rule of swap `number` refuses."""
        streams = await self.connect()
        status = await self.ask(streams, f"/bytes/1000?swap={number}")
        streams[1].close()
        return status == 403


async def swap(scratch, number, probe):
    """Writes rules `number` in place of the last, and waits until they are in use; the seconds that took."""
    began = time.monotonic()
    write(scratch, number)
    generation = await traffic.settled(
        lambda: traffic.metric(probe, r"vanne_config_generation\b"), number + 1, SWAP_SECONDS_MAX
    )
    if generation != number + 1:
        raise stage.StageError(f"rules {number} were not used within {SWAP_SECONDS_MAX} s")
    return time.monotonic() - began


def write(scratch, number):
    new = scratch / "own.new"
    new.write_text(RULE.format(number=number, id=2000 + number))
    new.rename(scratch / "own.conf")


async def main(args, scratch, findings):
    crs = os.environ.get("VANNE_CRS_DIR", DEBIAN)
    if not pathlib.Path(crs, "rules").is_dir():
        raise stage.StageError(f"there is no Core Rule Set at {crs}: VANNE_CRS_DIR says where")
    http, probe = stage.free_ports(2)
    write(scratch, 0)
    with stage.backend(args.vanne, scratch) as backend:
        config = stage.CONFIG.format(workers=args.workers, probe=probe, http=http)
        config = config.replace("watch_config = false\n", "") + WAF.format(crs=crs, backend=backend)
        with stage.vanne(args.vanne, config, scratch, [http, probe]) as child:
            await under_load(args, scratch, findings, SwapLoad(http, probe), child)


async def under_load(args, scratch, findings, load, child):
    pace = args.connections / args.rate
    tasks = [asyncio.create_task(load.keep_asking(pace)) for _ in range(args.connections)]
    memory, took, unused = [], [], []
    for number in range(1, args.swaps + 1):
        took.append(await swap(scratch, number, load.probe))
        if not await load.is_in_use(number):
            unused.append(number)
        memory.append(stage.rss_mib(child))
    await asyncio.sleep(args.settle)
    last = stage.rss_mib(child)
    load.stop.set()
    await asyncio.wait(tasks, timeout=60)
    old = r'vanne_generations_alive{held_by="requests"}'
    alive = await traffic.settled(lambda: traffic.metric(load.probe, old), 0, 10)
    warm = memory[min(SWAPS_WARM, len(memory)) - 1]
    findings.note(not load.failed, f"{load.ended}; failed or judged otherwise: {len(load.failed)} {load.failed[:3]}")
    findings.note(not unused, f"{args.swaps} swaps, {max(took):.1f} s at most until in use; not in use: {unused}")
    findings.note(
        max(memory[SWAPS_WARM:] + [last]) - warm <= args.grow_max_mib,
        f"RSS after swap 1, {SWAPS_WARM}, the most, in the end: "
        f"{memory[0]:.1f}, {warm:.1f}, {max(memory):.1f}, {last:.1f} MiB",
    )
    findings.note(alive == 0, f"old configs alive: {alive:g}")


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--rate", type=int, default=500, help="requests a second")
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--settle", type=float, default=5, help="seconds of load after the last swap")
    parser.add_argument("--grow-max-mib", type=float, default=15)
    stage.play(main, parser.parse_args())
