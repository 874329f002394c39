#!/usr/bin/env python3
"""What breakers keep from clients, beside HAProxy and Envoy with the same settings (breaker_settings.py).

120 requests a second for 16 s, each sent on schedule, to three backends; from second 4 to 10 something is wrong with one
of them, or with all. Its checks see nothing of it, but where its process stands still or is gone. Each proxy has backends
of its own, each a process; all proxies are loaded at the same time. Said is the median of the rounds, and the best and
the worst of them; judged is Vanne's median.

failed: requests without a whole 200. p99, slowest: of all answers, in milliseconds. back: seconds until the healed
backends had their share again (see faults.py). sorry: the slowest of the answers that are the page for when nobody is
left, less what the machine was late; other: failures that are not; until: seconds after the restart that requests still
failed.
"""

import asyncio
import dataclasses

import breaker_settings as settings
import faults
import stage
import traffic
from faults import DELAY_MS, FAULTY_FROM, FAULTY_UNTIL, RATE, SECONDS

ROUNDS = 5
LATE_MS = 1500


class Origin:
    """The faults that `faults.Origin` has not: checks pass."""

    async def fail(self):
        """Answers 500."""
        await traffic.tell(self.port, delay_ms=DELAY_MS, status=500)

    async def fail_half(self):
        """Answers 500 to half of the requests, as chance says."""
        await traffic.tell(self.port, delay_ms=DELAY_MS, status=500, status_share=0.5)

    async def cut(self):
        """Ends its answers in the middle of their bodies."""
        await traffic.tell(self.port, delay_ms=DELAY_MS, is_cut=True)

    async def be_late(self):
        """Takes so much longer for each request."""
        await traffic.tell(self.port, delay_ms=DELAY_MS + LATE_MS)


@dataclasses.dataclass
class Scenario(faults.Scenario):
    """What happens, how backends are chosen, and what is asked: name of a number, and the most that it may be."""

    algorithms: dict = dataclasses.field(default_factory=lambda: settings.BY_TURNS)
    most: dict = dataclasses.field(default_factory=dict)


HEAL, LOAD = faults.Origin.heal, settings.BY_LOAD
SCENARIOS = {
    "500": Scenario("500s", Origin.fail, HEAL, most={"failed": 10}),
    "half": Scenario("half of them 500s", Origin.fail_half, HEAL, most={"failed": 20}),
    "cut": Scenario("bodies cut short", Origin.cut, HEAL, most={"failed": 8}),
    "late": Scenario(f"{LATE_MS} ms later", Origin.be_late, HEAL, algorithms=LOAD, most={"p99": 400}),
    "stop": Scenario("SIGSTOP", faults.Origin.stop, faults.Origin.go_on, algorithms=LOAD, most={"p99": 600}),
    "dead": Scenario("kill -9 of all", faults.Origin.kill, faults.Origin.start, backends=3,
                     most={"sorry": 50, "other": 0, "until": 1.5}),
}
NAMES = ("failed", "p99", "slowest", "back", "sorry", "other", "until")


def own_seconds(answer, lags):
    """How long it took, but for what the machine was late: starting processes keeps everybody from a core."""
    return answer.seconds - lags.during(answer.began, answer.began + answer.seconds)


def numbers(scenario, played):
    """What a round came to, by name."""
    answers, healed = played.answers, played.healed
    failed = [answer for answer in answers if not answer.is_good]
    sorry = [own_seconds(answer, played.lags) for answer in failed if settings.MARK in answer.fields]
    times = [answer.seconds for answer in answers]
    backs = [faults.back(answers, healed, port) for port in played.ports[: scenario.backends]]
    last = max((answer.began + answer.seconds for answer in failed), default=healed)
    return {
        "failed": len(failed),
        "p99": 1000 * traffic.percentile(times, 0.99),
        "slowest": 1000 * max(times),
        "back": max(float("inf") if back is None else back for back in backs),
        "sorry": 1000 * max(sorry, default=0),
        "other": len(failed) - len(sorry),
        "until": max(0.0, last - healed),
    }


def shown(name, values):
    """Median, and from best to worst."""
    digits = 2 if name in ("back", "until") else 0
    low, middle, high = (f"{traffic.percentile(values, share):.{digits}f}" for share in (0, 0.5, 1))
    return f"{middle} ({low}–{high})"


def print_row(scenario, rounds, names):
    """A scenario's part of the table: a line for each proxy."""
    for at, name in enumerate(names):
        cells = (shown(key, [results[at][key] for results in rounds]) for key in NAMES)
        print(f"{scenario.name if at == 0 else '':<18} {name:<8}" + "".join(f" {cell:>16}" for cell in cells), flush=True)


def judge(scenario, rounds, findings):
    """What is asked of Vanne."""
    for name, most in scenario.most.items():
        middle = traffic.percentile([results[0][name] for results in rounds], 0.5)
        findings.note(middle <= most, f"{scenario.name}: {name} {middle:.4g} (at most {most})")


async def main(args, scratch, findings):
    """All scenarios, each with all proxies at once, so many times."""
    print("\n".join(settings.versions(args.vanne)))
    for proxy in settings.proxies(args.vanne, settings.BY_TURNS):
        algorithms = (each[proxy.name] for each in (settings.BY_TURNS, settings.BY_LOAD))
        print(f"--- {proxy.name}: {', or '.join(algorithms)} where it is late or stands still\n{proxy.config}")
    print(f"{RATE * SECONDS} requests at {RATE}/s over {SECONDS} s; fault from second {FAULTY_FROM} to {FAULTY_UNTIL}; "
          f"a backend takes {DELAY_MS} ms; {args.rounds} rounds: median (best–worst)\n")
    print(f"{'':<18} {'':<8}" + "".join(f" {name:>16}" for name in NAMES))
    judged = []
    for key in args.scenarios.split(","):
        scenario = SCENARIOS[key]
        them = settings.proxies(args.vanne, scenario.algorithms)
        rounds = []
        for _ in range(args.rounds):
            played = await asyncio.gather(*(faults.played(scenario, proxy, scratch) for proxy in them))
            rounds.append([numbers(scenario, one) for one in played])
        print_row(scenario, rounds, [proxy.name for proxy in them])
        judged.append((scenario, rounds))
    print()
    for scenario, rounds in judged:
        judge(scenario, rounds, findings)


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each scenario (%(default)s)")
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help="some of them (%(default)s)")
    stage.play(main, parser.parse_args())
