#!/usr/bin/env python3
"""All backends answer 503: retries must not make it worse.

So many requests a second, for so many seconds, to three backends that answer 503 to all, with 503 among what is tried
again, and as many further attempts as a config may ask for. The origins count attempts: at most 1.25 for each request.
Once with circuits off, so that the budget alone has to hold, and once with the defaults.
"""

import asyncio

import stage
import traffic

ATTEMPTS_MAX = 1.25
RETRIES = """\
retries = { attempts = 10, on = ["503"] }
"""
POOL = """\
[pool.storm]
backends = [{backends}]
{settings}[[route]]
name = "storm"
pool = "storm"
"""
CASES = {
    "circuits off": RETRIES + 'breaker = { failures = 0, failure_rate = "0%" }\n',
    "circuits as by default": RETRIES,
}


async def storm(args, scratch, settings):
    """Runs one case: what was answered, and how often the origins were asked."""
    http, probe = stage.free_ports(2)
    ports = stage.lasting_ports(3)
    backends = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
    config = stage.CONFIG.format(workers=4, http=http, probe=probe) + POOL.format(backends=backends, settings=settings)
    vanne = stage.vanne(args.vanne, config, scratch, [http])
    with stage.origins(ports, scratch), vanne, traffic.client(http) as client:
        await asyncio.gather(*(traffic.tell(port, status=503, delay_ms=5) for port in ports))
        sent = traffic.request()
        count = args.rate * args.seconds
        answers = await traffic.on_schedule(args.rate, count, lambda _: client.ask(sent))
        asked = [await traffic.seen(port) for port in ports]
        no_budget = await traffic.metric(probe, 'vanne_retries_total{[^}]*result="no_budget"[^}]*}')
    return answers, sum(one["requests"] for one in asked), int(no_budget)


async def main(args, scratch, findings):
    """Both cases."""
    print(f"{args.rate} requests/s for {args.seconds} s; three backends answer 503 after 5 ms; Vanne with 4 workers")
    for name, settings in CASES.items():
        print(f"\n{name}:\n{settings}", end="")
        answers, attempts, no_budget = await storm(args, scratch, settings)
        whys = sorted({answer.why for answer in answers})
        ratio = attempts / len(answers)
        took = answers[-1].began - answers[0].began
        findings.note(ratio <= ATTEMPTS_MAX, f"{attempts} attempts for {len(answers)} requests in {took:.1f} s: "
                      f"{ratio:.3f} each, at most {ATTEMPTS_MAX}; {no_budget} more were not made for want of budget")
        findings.note(whys == ["503"], f"answers: {', '.join(whys)}; only 503 is right")


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    parser.add_argument("--rate", type=int, default=1000, help="requests a second")
    parser.add_argument("--seconds", type=int, default=10)
    stage.play(main, parser.parse_args())
