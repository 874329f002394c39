#!/usr/bin/env python3
"""Passwords under load: what others notice while passwords are hashed, which takes a quarter of a second of a core each.

Requests to an open route come on schedule; halfway, clients begin to guess passwords, each another one, so that none is
remembered: one client, and then two at once.

Judged: no request to the open route fails; the 99th percentile of them beside that of before; each guess is refused.
"""

import asyncio
import base64
import contextlib
import time

import stage
import traffic

RATE, SECONDS, GUESSED_FROM = 200, 14, 5
GUESSES_AT_ONCE = (1, 2)
NOISE_MS = 10
# bcrypt of cost 12.
HASH = "$2b$12$abcdefghijklmnopqrstuuT1Iwu6o8Wx7BoOyIMHfgVJq6JO/IJhW"

CONFIG = """\
[identity.people.basic]
file = "{users}"
[pool.app]
backends = ["127.0.0.1:{origin}"]
[[route]]
name = "inside"
pool = "app"
match = {{ path = "/inside" }}
identity.use = ["people"]
[[route]]
name = "open"
pool = "app"
"""


async def guess(client, answers, until):
    """One password after the other."""
    while time.monotonic() < until:
        login = base64.b64encode(f"ann:wrong{len(answers)}".encode()).decode()
        answers.append(await client.ask(traffic.request("/inside", {"authorization": f"Basic {login}"})))


async def played(at_once, args, scratch):
    """When it began, the answers of the open route, those to guesses, and what the machine was late by."""
    http, probe = stage.free_ports(2)
    (origin,) = stage.free_ports(1)
    users = scratch / "users"
    users.write_text(f"ann:{HASH}\n")
    with contextlib.ExitStack() as stack:
        stack.enter_context(stage.origins([origin], scratch))
        config = stage.CONFIG.format(workers=1, probe=probe, http=http) + CONFIG.format(users=users, origin=origin)
        child = stack.enter_context(stage.vanne(args.vanne, config, scratch, [http, probe]))
        client, guessing = (stack.enter_context(traffic.client(http)) for _ in range(2))
        await asyncio.sleep(1)
        lags = stack.enter_context(traffic.lags(child))
        answers, guesses, began = [], [], time.monotonic()

        async def ask(_number):
            answers.append(await client.ask(traffic.request("/open")))
            return answers[-1]

        load = asyncio.create_task(traffic.on_schedule(RATE, RATE * SECONDS, ask))
        await asyncio.sleep(began + GUESSED_FROM - time.monotonic())
        await asyncio.gather(*(guess(guessing, guesses, began + SECONDS) for _ in range(at_once)))
        await load
        return began, answers, guesses, lags


async def main(args, scratch, findings):
    """Few guesses, and many."""
    for at_once in GUESSES_AT_ONCE:
        folder = scratch / str(at_once)
        folder.mkdir()
        began, answers, guesses, lags = await played(at_once, args, folder)
        title = f"{at_once} at once"
        failed = sorted({one.why for one in answers if not one.is_good})
        before = [one for one in answers if 1 < one.began - began < GUESSED_FROM]
        during = [one for one in answers if one.began - began >= GUESSED_FROM]
        calm, busy = lags.p99_ms(before), lags.p99_ms(during)
        findings.note(not failed, f"{title}: {len(answers)} requests of others, failed: {failed}")
        said = sorted({one.why for one in guesses})
        findings.note(said in (["401"], ["401", "503"]), f"{title}: {len(guesses)} guesses, answered {said}")
        findings.note(busy <= calm + NOISE_MS, f"{title}: p99 of others {busy:.1f} ms, before {calm:.1f} ms (at most {NOISE_MS} ms more)")


if __name__ == "__main__":
    stage.play(main, stage.arguments(__doc__).parse_args())
