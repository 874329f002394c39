#!/usr/bin/env python3
"""What a release learns from, of what other loads leave out: the firewall with our own rules, limits, and a list of blocks.

Sends all attacks and benign requests of this folder ROUNDS times, some at once. Expected: every one is answered, attacks
with 403 and others with something else. Exit code 1 if not. `make release` runs it.
"""

import asyncio
import base64
import itertools
import pathlib
import sys

import corpus
import reflecting

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "load"))

import stage  # noqa: E402 - beside the load scripts

ROUNDS = 20
AT_ONCE = 8
# Some of each may be seen otherwise: `own_rules.py` says which.
AS_EXPECTED_SHARE_MIN = 0.95
CONFIG = """\
profile = "production"
[process]
workers = 1
drain_delay = "10ms"
drain_deadline = "5s"
[log]
level = "error"
[access_log]
to = "{scratch}/access.log"
[waf_log]
to = "{scratch}/waf.log"
[probe]
address = "127.0.0.1:{probe}"
[listener.http]
address = "127.0.0.1:{http}"
[blocklist]
files = ["{scratch}/deny"]
[rate_limit.each]
key = "ip"
rate = "100000/s"
burst = 100000
tell = "always"
[rate_limit.all]
key = "global"
rate = "100000/s"
burst = 100000
[pool.reflecting]
backends = ["127.0.0.1:{backend}"]
[[route]]
name = "all"
pool = "reflecting"
rate_limits = ["each", "all"]
"""


def wire(request):
    """A request as bytes."""
    lines = [f"{request['method']} {request['uri']} HTTP/1.1", *(": ".join(header) for header in request["headers"]), "", ""]
    return "\r\n".join(lines).encode("latin-1") + base64.b64decode(request.get("body", ""))


async def status_of(port, sent):
    """Status of the answer to one request on a connection of its own; none if there is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        return int((await reader.readuntil(b"\r\n")).split(b" ")[1])
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    finally:
        writer.close()


async def main(args, scratch, findings):
    """All requests, some at once."""
    server, backend = await reflecting.start()
    probe, http = stage.free_ports(2)
    networks = (f"10.{high}.{low}.0/24" for high, low in itertools.product(range(64), range(0, 256, 4)))
    (scratch / "deny").write_text("\n".join(networks))
    config = CONFIG.format(scratch=scratch, probe=probe, http=http, backend=backend)
    async with server:
        with stage.vanne(args.vanne, config, scratch, [probe, http]):
            for kind in ("attacks", "benign"):
                requests = [wire(request) for _, request in corpus.requests(kind)] * ROUNDS
                places = asyncio.Semaphore(AT_ONCE)

                async def one(sent, places=places):
                    async with places:
                        return await status_of(http, sent)

                seen = await asyncio.gather(*map(one, requests))
                expected = sum((status == 403) == (kind == "attacks") and status is not None for status in seen)
                share = expected / len(seen)
                findings.note(share >= AS_EXPECTED_SHARE_MIN, f"{kind}: {expected} of {len(seen)} are as expected")


if __name__ == "__main__":
    stage.play(main, stage.arguments(__doc__).parse_args())
