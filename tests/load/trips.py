#!/usr/bin/env python3
"""A thousand circuits that open at once, and what the requests to another pool notice of it.

A quiet pool gets 200 requests a second on schedule. A crowd of 1,000 backends, one request each, is asked by another
process; it answers all of them a second later, as fast as it can: with 500s, so that each circuit opens, or with 200s, so
that none does. Rounds with and without take turns, each with a Vanne of its own with 4 workers; nothing else differs.
Said is p99 of the quiet pool while the crowd is answered and for two seconds more, in milliseconds.

All circuits open; p99 with the trips, the median of the rounds, is no more than the worst of those without; and the log
has at most 20 lines a second about circuits, and one that says how many were left out.
"""

import asyncio
import concurrent.futures
import time

import stage
import traffic

CROWD = 1_000
RATE, SECONDS, CROWD_AT = 200, 6, 2
DELAY_MS = 1_000
WATCHED_SECONDS = 3
LINES_PER_SECOND_MAX = 21
ROUNDS = 5

POOLS = """\
[pool.quiet]
backends = ["127.0.0.1:{quiet}"]
[pool.crowd]
backends = [{crowd}]
guard = "0%"
breaker = {{ failures = 1 }}
[[route]]
name = "quiet"
pool = "quiet"
[[route]]
name = "crowd"
match = {{ path = "/crowd" }}
pool = "crowd"
"""
OPENED = 'vanne_circuit_changes_total{[^}]*cause="failures_in_a_row"[^}]*}'


def ask_crowd(port):
    """One request for each of the crowd, all under way at once: how many got which answer. In a process of its own."""
    async def ask():
        with traffic.client(port) as client:
            sent = traffic.request("/crowd")
            answers = await asyncio.gather(*(client.ask(sent) for _ in range(CROWD)))
        whys = [answer.why for answer in answers]
        return {why: whys.count(why) for why in sorted(set(whys))}
    return asyncio.run(ask())


class Round:
    """What came of a round."""

    def __init__(self, answers, crowd, opened, log):
        self.crowd, self.opened = crowd, int(opened)
        self.failed = sum(not answer.is_good for answer in answers)
        begin = answers[0].began + CROWD_AT + DELAY_MS / 1000
        times = [answer.seconds for answer in answers if begin <= answer.began < begin + WATCHED_SECONDS]
        self.p50, self.p99 = (1000 * traffic.percentile(times, share) for share in (0.5, 0.99))
        lines = [line for line in log.splitlines() if "circuit" in line]
        self.lines, self.left_out = len(lines), sum("more circuits" in line for line in lines)


async def played(args, scratch, has_trips):
    """One round."""
    http, probe = stage.free_ports(2)
    quiet, *crowd = stage.lasting_ports(CROWD + 1)
    listed = ", ".join(f'"127.0.0.1:{port}"' for port in crowd)
    config = stage.CONFIG.format(workers=4, http=http, probe=probe) + POOLS.format(quiet=quiet, crowd=listed)
    loop = asyncio.get_running_loop()
    with (stage.origins([quiet], scratch), stage.origins(crowd, scratch, "crowd"),
          stage.vanne(args.vanne, config, scratch, [http]), traffic.client(http) as client,
          concurrent.futures.ProcessPoolExecutor(1) as other):
        await asyncio.gather(*(traffic.tell(port, delay_ms=DELAY_MS, status=500 if has_trips else 200)
                               for port in crowd))
        await loop.run_in_executor(other, time.time)
        sent = traffic.request()
        load = asyncio.create_task(traffic.on_schedule(RATE, RATE * SECONDS, lambda _: client.ask(sent)))
        await asyncio.sleep(CROWD_AT)
        answered = await loop.run_in_executor(other, ask_crowd, http)
        answers = await load
        opened = await traffic.metric(probe, OPENED)
    return Round(answers, answered, opened, (scratch / "vanne.log").read_text(errors="replace"))


async def main(args, scratch, findings):
    """Rounds with trips and without, in turn."""
    print(f"{'':<8} {'p50':>7} {'p99':>7} {'failed':>7} {'opened':>7} {'lines':>6}  the crowd's answers")
    rounds = {True: [], False: []}
    for number in range(2 * args.rounds):
        has_trips = number % 2 == 1
        one = await played(args, scratch, has_trips)
        rounds[has_trips].append(one)
        print(f"{'trips' if has_trips else 'none':<8} {one.p50:>7.1f} {one.p99:>7.1f} {one.failed:>7} {one.opened:>7} "
              f"{one.lines:>6}  {one.crowd}", flush=True)
    trips, none = rounds[True], rounds[False]
    middle = traffic.percentile([one.p99 for one in trips], 0.5)
    worst = max(one.p99 for one in none)
    findings.note(middle <= worst, f"p99 of the quiet pool with trips {middle:.1f} ms (at most {worst:.1f}, the worst "
                  "without)")
    findings.note(all(one.failed == 0 for one in trips + none), "no request of the quiet pool failed")
    findings.note({one.opened for one in trips} == {CROWD} and not any(one.opened for one in none),
                  f"{[one.opened for one in trips]} circuits opened, each of {CROWD}")
    most = LINES_PER_SECOND_MAX * (SECONDS - CROWD_AT)
    findings.note(all(0 < one.left_out and one.lines <= most for one in trips),
                  f"{[one.lines for one in trips]} lines about circuits (at most {most}), one of them with what was "
                  "left out")


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="with trips, and as many without (%(default)s)")
    stage.play(main, parser.parse_args())
