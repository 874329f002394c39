#!/usr/bin/env python3
"""The queue of a pool at ten times what its backends can take, and after thousands of cancelled requests.

1. Ten times the capacity of two backends with a limit of requests each, for 30 s, on schedule. The origins never have
   more than the limit (they count themselves); they see requests in the order in which they were sent, but for those
   sent within 50 ms of each other, or given places at once, which different workers serve; whoever would wait too long is refused at once, and who
   waited for nothing at its deadline, give or take 20 ms; memory does not grow once the queue is as long as it gets.
2. The same with a queue for 30: who finds it full is refused at once.
3. 10,000 requests leave while they wait, by FIN or RST, as others are being served. Then the queue is empty, nothing is
   counted as in flight, and the origins can be given as many requests at once as their limits say, all served.
"""

import asyncio
import itertools

import stage
import traffic

LIMIT = 4
DELAY_MS = 160
BACKENDS = 2
PLACES = LIMIT * BACKENDS
DEADLINE_SECONDS = 1.0
TOLERANCE_SECONDS = 0.020
ORDER_SECONDS = 0.050
SETTLE_SECONDS = 5
GROWTH_MAX_MIB = 8
CANCELS = 10_000
LEAVING_AT_ONCE = 400

POOL = """\
[pool.limited]
backends = [{backends}]
max_requests = {limit}
queue = {{ size = {size}, timeout = "{timeout:g}s" }}
[[route]]
name = "limited"
pool = "limited"
"""
IN_FLIGHT = "vanne_backend_requests_in_flight{[^}]*}"
REFUSED = 'vanne_refusals_total{{reason="{}"}}'


class Scene:
    """Origins, Vanne before them, and a client."""

    def __init__(self, ports, http, probe, child, client):
        self.ports, self.http, self.probe, self.child, self.client = ports, http, probe, child, client

    async def tell(self, **behaviour):
        """How all origins behave; their counts begin anew."""
        await asyncio.gather(*(traffic.tell(port, **behaviour) for port in self.ports))

    async def seen(self, name):
        """One of the counts of each origin."""
        return [(await traffic.seen(port))[name] for port in self.ports]

    async def idle(self, seconds=DEADLINE_SECONDS + 5):
        """Requests that Vanne counts as in flight at backends, once it has had time to end them."""
        return await traffic.settled(lambda: traffic.metric(self.probe, IN_FLIGHT), 0, seconds)


async def with_scene(play, args, scratch, findings, size, delay_ms=DELAY_MS):
    """Plays with a queue of this size."""
    http, probe = stage.free_ports(2)
    ports = stage.lasting_ports(BACKENDS)
    backends = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
    pool = POOL.format(backends=backends, limit=LIMIT, size=size, timeout=DEADLINE_SECONDS)
    print(f"\n{BACKENDS} origins that take {delay_ms} ms; Vanne with 4 workers and:\n{pool}", end="")
    config = stage.CONFIG.format(workers=4, http=http, probe=probe) + pool
    with stage.origins(ports, scratch), stage.vanne(args.vanne, config, scratch, [http]) as child:
        with traffic.client(http) as client:
            scene = Scene(ports, http, probe, child, client)
            await scene.tell(delay_ms=delay_ms)
            await play(scene, args, findings)


async def overloaded(scene, rate, seconds):
    """So many numbered requests a second: their answers, Vanne's memory second by second, and the machine's lags."""
    memory, lags = [], traffic.Lags(scene.child)

    async def watch():
        while True:
            memory.append(stage.rss_mib(scene.child))
            await asyncio.sleep(1)

    watching = [asyncio.create_task(lags.watch()), asyncio.create_task(watch())]
    send = lambda number: scene.client.ask(traffic.request(fields={"x-number": number}))
    answers = await traffic.on_schedule(rate, rate * seconds, send)
    for task in watching:
        task.cancel()
    return answers, memory, lags


def overtaken(numbers):
    """By how many of those that came a later one came at most before an earlier one."""
    turns = {number: turn for turn, number in enumerate(sorted(numbers))}
    came = [turns[number] for number in numbers]
    return max((latest - turn for latest, turn in zip(itertools.accumulate(came, max), came)), default=0)


def off(answer, seconds, lags):
    """How far from so many seconds the answer took, less what the machine was late."""
    error = abs(answer.seconds - seconds)
    begun, ended = answer.began, answer.began + answer.seconds
    return error - lags.during(begun, begun + error) - lags.during(ended - error, ended)


def milliseconds(seconds):
    """Smallest, median, 99 % and largest."""
    seconds, shares = list(seconds), (0, 0.5, 0.99, 1)
    return " / ".join(f"{1000 * traffic.percentile(seconds, share):.1f}" for share in shares) + " ms"


async def patient(scene, args, findings):
    """Part 1."""
    rate = 10 * int(PLACES / DELAY_MS * 1000)
    answers, memory, lags = await overloaded(scene, rate, args.seconds)
    most = await scene.seen("in_flight_max")
    findings.note(max(most) <= LIMIT, f"{rate} requests/s for {args.seconds} s, where {rate // 10}/s are possible: "
                  f"at most {most} in flight at the origins, limit {LIMIT}")
    back = overtaken(await traffic.order(scene.ports[0]))
    most_back = PLACES + int(rate / 10 * ORDER_SECONDS)
    findings.note(back <= most_back, f"order at the origins: at most {back} turns late (at most {most_back})")
    served = sum(answer.is_good for answer in answers)
    expected = rate // 10 * args.seconds
    findings.note(served >= 0.9 * expected, f"{served} served, the origins can do {expected}")
    refused = [answer for answer in answers if answer.status == 503]
    other = sorted({answer.why for answer in answers} - {"200", "503"})
    for reason, seconds in (("queue_too_long", 0), ("queue_timeout", DEADLINE_SECONDS)):
        late_ones = [answer for answer in refused if reason in answer.body.decode()]
        counted = await traffic.metric(scene.probe, REFUSED.format(reason))
        findings.note(counted == len(late_ones), f"{len(late_ones)} refused for {reason}; counted: {counted:.0f}")
        late = [error for answer in late_ones if (error := off(answer, seconds, lags)) > TOLERANCE_SECONDS]
        findings.note(not late, f"after {milliseconds(answer.seconds for answer in late_ones)} (0, 50, 99, 100 %), "
                      f"{len(late)} more than {1000 * TOLERANCE_SECONDS:.0f} ms off {seconds:g} s: at most "
                      f"{1000 * max(late, default=0):.0f}, less the machine's lag")
    too_long = sum("queue_too_long" in answer.body.decode() for answer in refused)
    findings.note(not other and too_long > len(refused) / 2, f"{too_long} of {len(refused)} refusals came at once; other "
                  f"answers: {', '.join(other) or 'none'}")
    settled = memory[min(SETTLE_SECONDS, len(memory) - 1) :]
    growth = max(settled) - settled[0]
    findings.note(growth <= GROWTH_MAX_MIB, f"memory: {memory[0]:.1f} MiB at the start, {settled[0]:.1f} after "
                  f"{SETTLE_SECONDS} s, then at most {max(settled):.1f} (growth at most {GROWTH_MAX_MIB})")
    in_flight = await scene.idle()
    findings.note(in_flight == 0, f"afterwards {in_flight:.0f} in flight")


async def full(scene, _, findings):
    """Part 2."""
    rate, seconds = 10 * int(PLACES / DELAY_MS * 1000), 5
    answers, _, lags = await overloaded(scene, rate, seconds)
    counted = await traffic.metric(scene.probe, REFUSED.format("queue_full"))
    refused = [answer for answer in answers if answer.status == 503 and answer.seconds < DEADLINE_SECONDS / 2]
    late = [error for answer in refused if (error := off(answer, 0, lags)) > TOLERANCE_SECONDS]
    findings.note(counted == len(refused) > 0 and not late, f"{len(refused)} refused at once: after "
                  f"{milliseconds(answer.seconds for answer in refused)}, {len(late)} after more than "
                  f"{1000 * TOLERANCE_SECONDS:.0f} ms, less the machine's lag; {counted:.0f} for queue_full")


async def cancelled(scene, args, findings):
    """Part 3."""
    sent, total = traffic.request(), args.cancels
    stop, gate = asyncio.Event(), asyncio.Semaphore(LEAVING_AT_ONCE)
    answered, broken = [], []

    async def leave(number):
        async with gate:
            link = await traffic.connect(scene.http)
            asking = asyncio.create_task(link.ask(sent))
            done, _ = await asyncio.wait([asking], timeout=0.02 + traffic.jitter(0.2))
            asking.cancel()
            answered.extend(one.result()[0] for one in done if one.exception() is None)
            link.transport.abort() if number % 2 else link.close()

    async def stay():
        while not stop.is_set():
            answer = await scene.client.ask(sent)
            # A place is wanted again by all who stay: there is always a queue.
            if not answer.is_good:
                broken.append(answer.why)

    staying = [asyncio.create_task(stay()) for _ in range(3 * PLACES)]
    await asyncio.gather(*(leave(number) for number in range(total)))
    longest = await traffic.metric(scene.probe, IN_FLIGHT)
    stop.set()
    await asyncio.gather(*staying)
    cut = sum(await scene.seen("cut"))
    in_flight = await scene.idle()
    print(f"      {total} left: {total - len(answered) - cut} in the queue, {cut} while an origin worked for them, "
          f"{len(answered)} were answered before; of those who stayed {len(broken)} were not served; "
          f"{longest:.0f} in flight at the end")
    findings.note(in_flight == 0, f"afterwards {in_flight:.0f} in flight")
    # Twice as many as there are places: these must all be taken.
    await scene.tell(delay_ms=500)
    answers = await traffic.one_after_other(2 * PLACES, 2 * PLACES, lambda _: scene.client.ask(sent))
    most = await scene.seen("in_flight_max")
    served = sum(answer.is_good for answer in answers)
    findings.note(most == [LIMIT] * BACKENDS and served == 2 * PLACES, f"{2 * PLACES} at once: {served} served, at "
                  f"most {most} in flight at the origins: the limit is {LIMIT} each")
    in_flight = await scene.idle()
    findings.note(in_flight == 0, f"afterwards {in_flight:.0f} in flight")


async def main(args, scratch, findings):
    """All three."""
    await with_scene(patient, args, scratch, findings, 10_000)
    await with_scene(full, args, scratch, findings, 30)
    # Fast origins: places come free as others leave, some of them for who has just left.
    await with_scene(cancelled, args, scratch, findings, 10_000, delay_ms=5)


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    parser.add_argument("--seconds", type=int, default=30, help="of overload")
    parser.add_argument("--cancels", type=int, default=CANCELS, help="requests that leave while they wait")
    stage.play(main, parser.parse_args())
