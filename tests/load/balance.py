#!/usr/bin/env python3
"""How even the algorithms are, over all workers of a running proxy.

1. Round robin: 10,000 requests over 32 connections; the origins' counts differ by at most one. Weighted 5:1:1: the
   same, exact within one; and of requests one after the other, over connections to several workers, each cycle of 7.
2. ip-hash by client address (from a trusted proxy's X-Forwarded-For) and by header, at 10 and at 100 backends: a reload
   takes one backend away and another one brings it back. Of 5,000 clients at most 1.5/n move, all of them its own, and
   each comes back to where it was.
3. 32 connections, each with one request after the other, to origins that take 5, 5 and 55 ms: by least-connections and
   by least-response-time the slow one gets less than 10 %. It becomes as fast as the others: within 5 s it has an equal
   share, give or take 15 %.
"""

import asyncio
import collections
import contextlib
import time

import stage
import traffic

WORKERS = 4
LANES = 32
CLIENTS = 5000
CYCLE = 7
SLOW_SHARE_MAX = 0.10
UNEVEN_MAX = 0.15
RECOVERY_SECONDS_MAX = 5
# How long the share has to stay equal from then on.
AFTERWARDS_SECONDS = 3

POOL = """\
[pool.{name}]
algorithm = "{algorithm}"
backends = [{backends}]
{settings}[[route]]
name = "{name}"
pool = "{name}"
match.host = "{name}"
"""


def pool(name, algorithm, backends, settings=""):
    """A pool and the route of its name."""
    backends = ", ".join(f'"127.0.0.1:{backend}"' for backend in backends)
    return POOL.format(name=name, algorithm=algorithm, backends=backends, settings=settings)


def get(name, **fields):
    """A request for this pool."""
    return traffic.request(fields={"host": name, **fields})


def span(numbers):
    """Smallest and largest."""
    return f"{min(numbers)} to {max(numbers)}"


class Proxy:
    """Vanne with pools, and a client of it."""

    def __init__(self, args, scratch):
        self.binary, self.scratch = args.vanne, scratch
        self.http, self.probe = stage.free_ports(2)

    def config(self, *pools):
        """A whole config."""
        head = stage.CONFIG.format(workers=WORKERS, http=self.http, probe=self.probe)
        trusted = 'trusted_proxies = ["127.0.0.1"]\n'
        return head + trusted + "".join(pools)

    @contextlib.contextmanager
    def running(self, *pools):
        """The proxy with these pools until the end of the block; yields a client."""
        with stage.vanne(self.binary, self.config(*pools), self.scratch, [self.http]):
            with traffic.client(self.http) as client:
                yield client

    def reload(self, *pools):
        """Has other pools used."""
        stage.reload(self.binary, self.scratch, self.config(*pools))


async def turns(proxy, scratch, findings):
    """Round robin and weighted."""
    ports = stage.lasting_ports(3)
    weights = [5, 1, 1]
    weighted = [f"{port} weight={weight}" for port, weight in zip(ports, weights)]
    pools = pool("even", "round-robin", ports), pool("weighted", "weighted", weighted)
    print("\n".join(("", *pools)), end="")
    with stage.origins(ports, scratch), proxy.running(*pools) as client:
        for name, shares in (("even", [1, 1, 1]), ("weighted", weights)):
            await asyncio.gather(*(traffic.tell(port) for port in ports))
            count, sent = 10_000, get(name)
            answers = await traffic.one_after_other(LANES, count, lambda _: client.ask(sent))
            counts = [(await traffic.seen(port))["requests"] for port in ports]
            exact = [count * share / sum(shares) for share in shares]
            is_even = all(abs(one - ideal) <= 1 for one, ideal in zip(counts, exact))
            is_good = all(answer.is_good for answer in answers)
            findings.note(is_even and is_good, f"{name}: {count} requests over {LANES} connections: {counts}, exact "
                          f"would be {[round(one, 1) for one in exact]}, give or take 1")
        # A client for each connection: they are used in turn, so that all workers are.
        async with lanes(proxy.http, 8) as clients:
            sent = get("weighted")
            origins = [(await clients[n % 8].ask(sent)).origin for n in range(1000 * CYCLE)]
        cycles = [collections.Counter(origins[at : at + CYCLE]) for at in range(0, len(origins), CYCLE)]
        wrong = sum(any(abs(cycle[port] - weight) > 1 for port, weight in zip(ports, weights)) for cycle in cycles)
        exact = sum(all(cycle[port] == weight for port, weight in zip(ports, weights)) for cycle in cycles)
        findings.note(wrong == 0 and longest(origins) < 5, f"weighted: of {len(cycles)} cycles, one request after the "
                      f"other over 8 connections, {exact} are exact, {wrong} off by more than one; at most "
                      f"{longest(origins)} in a row to one backend")


@contextlib.asynccontextmanager
async def lanes(port, count):
    """Clients with a connection each."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(traffic.client(port)) for _ in range(count)]


def longest(values):
    """How often one value comes in a row."""
    best = run = 1
    for before, value in zip(values, values[1:]):
        run = run + 1 if before == value else 1
        best = max(best, run)
    return best


async def hashes(proxy, scratch, findings, count):
    """ip-hash at so many backends: one leaves and comes back."""
    ports = stage.lasting_ports(count)
    gone = ports[count // 2]
    less = [port for port in ports if port != gone]

    def pools(backends):
        by_header = pool("header", "ip-hash", backends, 'hash.on = "header:x-client"\n')
        return pool("address", "ip-hash", backends), by_header

    fields = {
        "address": lambda n: {"x-forwarded-for": f"198.{18 + n // 2500}.{n % 2500 // 50}.{n % 50 + 1}"},
        "header": lambda n: {"x-client": f"client-{n}"},
    }
    with stage.origins(ports, scratch), proxy.running(*pools(ports)) as client:

        async def homes(name):
            sent = [get(name, **fields[name](n)) for n in range(CLIENTS)]
            answers = await traffic.one_after_other(LANES, CLIENTS, lambda n: client.ask(sent[n]))
            return [answer.origin for answer in answers]

        before = {name: await homes(name) for name in fields}
        proxy.reload(*pools(less))
        without = {name: await homes(name) for name in fields}
        proxy.reload(*pools(ports))
        after = {name: await homes(name) for name in fields}
    for name in fields:
        pairs = list(zip(before[name], without[name]))
        moved = sum(old != new for old, new in pairs)
        needless = sum(old != new and old != gone for old, new in pairs)
        away = sum(old != new for old, new in zip(before[name], after[name]))
        limit = 1.5 / count * CLIENTS
        is_met = 0 < moved <= limit and needless == 0 and away == 0 and None not in before[name]
        spread = collections.Counter(before[name])
        findings.note(is_met, f"ip-hash by {name}, {count} backends, {CLIENTS} clients ({span(spread.values())} each): "
                      f"one leaves, {moved} move (at most {limit:.0f}), {needless} of them needlessly; it is back, "
                      f"{away} are elsewhere")


async def loads(proxy, scratch, findings, algorithm, seconds):
    """Origins of unlike speed, which become alike."""
    ports = stage.lasting_ports(3)
    slow = ports[2]
    with contextlib.ExitStack() as stack:
        for port in ports:
            stack.enter_context(stage.origins([port], scratch, f"origin-{port}"))
        client = stack.enter_context(proxy.running(pool("load", algorithm, ports)))
        await asyncio.gather(*(traffic.tell(port, delay_ms=55 if port == slow else 5) for port in ports))
        answers, sent, stop = [], get("load"), asyncio.Event()

        async def lane():
            while not stop.is_set():
                answers.append(await client.ask(sent))

        began = time.monotonic()
        tasks = [asyncio.create_task(lane()) for _ in range(LANES)]
        await asyncio.sleep(seconds)
        healed = time.monotonic()
        await traffic.tell(slow, delay_ms=5)
        await asyncio.sleep(RECOVERY_SECONDS_MAX + AFTERWARDS_SECONDS)
        stop.set()
        await asyncio.gather(*tasks)

    def share(start, end):
        within = [answer.origin for answer in answers if start <= answer.began < end]
        return within.count(slow) / max(1, len(within))

    def is_even(start, end):
        return abs(share(start, end) * 3 - 1) <= UNEVEN_MAX

    failed = sum(not answer.is_good for answer in answers)
    rate = len(answers) / (answers[-1].began - began)
    whole = share(began, healed)
    findings.note(whole < SLOW_SHARE_MAX and failed == 0, f"{algorithm}: the slow one gets {whole:.1%} of the requests "
                  f"in {seconds} s (less than {SLOW_SHARE_MAX:.0%}); {rate:.0f} requests/s, {failed} failed")
    steps = [step / 4 for step in range(4 * RECOVERY_SECONDS_MAX + 1)]
    equal = next((step for step in steps if is_even(healed + step, healed + step + 1)), None)
    late = healed + RECOVERY_SECONDS_MAX
    seconds = range(RECOVERY_SECONDS_MAX + AFTERWARDS_SECONDS)
    parts = ", ".join(f"{share(healed + second, healed + second + 1):.1%}" for second in seconds)
    when = "never" if equal is None else f"after {equal:g} s"
    is_met = equal is not None and is_even(late, late + AFTERWARDS_SECONDS)
    findings.note(is_met, f"{algorithm}: it is fast: an equal share, give or take {UNEVEN_MAX:.0%}, {when} (at most "
                  f"{RECOVERY_SECONDS_MAX}); second by second {parts}")


async def main(args, scratch, findings):
    """All three."""
    print(f"Vanne with {WORKERS} workers; pools:")
    proxy = Proxy(args, scratch)
    await turns(proxy, scratch, findings)
    for count in (10, 100):
        await hashes(proxy, scratch, findings, count)
    for algorithm in ("least-connections", "least-response-time"):
        await loads(proxy, scratch, findings, algorithm, args.seconds)


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    parser.add_argument("--seconds", type=int, default=8, help="of load before the slow origin becomes fast")
    stage.play(main, parser.parse_args())
