#!/usr/bin/env python3
"""A split of a route's requests, over all workers of a running proxy.

1. 90/10 over 100,000 requests: within 0.3 % of the requests.
2. 5,000 clients (by a header) never change sides while the weights stand, over three rounds; when they are moved to
   75/25 by a reload, 15 % of the clients change, give or take 1, all of them from the first pool to the second.
"""

import asyncio

import stage
import traffic

WORKERS = 4
LANES = 32
REQUESTS = 100_000
CLIENTS = 5000

ROUTE = """\
[pool.stable]
backends = ["127.0.0.1:{stable}"]
[pool.canary]
backends = ["127.0.0.1:{canary}"]
[[route]]
name = "requests"
split = {{ pools = {{ stable = {weights[0]}, canary = {weights[1]} }} }}
[[route]]
name = "clients"
match.path = "/clients"
split = {{ pools = {{ stable = {weights[0]}, canary = {weights[1]} }}, by = "header:x-client" }}
"""


async def main(args, scratch, findings):
    """Both."""
    http, probe = stage.free_ports(2)
    stable, canary = stage.lasting_ports(2)

    def config(weights):
        head = stage.CONFIG.format(workers=WORKERS, http=http, probe=probe)
        return head + ROUTE.format(stable=stable, canary=canary, weights=weights)

    print(f"Vanne with {WORKERS} workers:\n{ROUTE.replace('{{', '{').replace('}}', '}')}")
    with stage.origins([stable], scratch, "stable"), stage.origins([canary], scratch, "canary"):
        with stage.vanne(args.vanne, config((90, 10)), scratch, [http]), traffic.client(http) as client:
            sent = traffic.request()
            answers = await traffic.one_after_other(LANES, args.requests, lambda _: client.ask(sent))
            share = sum(answer.origin == canary for answer in answers) / args.requests
            failed = sum(not answer.is_good for answer in answers)
            findings.note(abs(share - 0.1) <= 0.003 and failed == 0, f"90/10 over {args.requests} requests: "
                          f"{share:.3%} to the second pool, {failed} failed")

            async def sides():
                each = [traffic.request("/clients", {"x-client": f"client-{n}"}) for n in range(CLIENTS)]
                got = await traffic.one_after_other(LANES, CLIENTS, lambda n: client.ask(each[n]))
                return [answer.origin for answer in got]

            first = await sides()
            flipped = 0
            for _ in range(2):
                flipped += sum(a != b for a, b in zip(first, await sides()))
            findings.note(flipped == 0, f"{CLIENTS} clients, three rounds: {flipped} changed sides")
            stage.reload(args.vanne, scratch, config((75, 25)))
            after = await sides()
            moved = [(a, b) for a, b in zip(first, after) if a != b]
            share = len(moved) / CLIENTS
            wrong = sum(pair != (stable, canary) for pair in moved)
            findings.note(abs(share - 0.15) <= 0.01 and wrong == 0, f"moved to 75/25: {share:.1%} of the clients "
                          f"changed sides, {wrong} of them the wrong way")


if __name__ == "__main__":
    parser = stage.arguments(__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="requests that are shared one by one")
    stage.play(main, parser.parse_args())
