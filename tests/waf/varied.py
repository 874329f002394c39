#!/usr/bin/env python3
"""What text costs that never comes twice: CPU for each KB of prose, source code, base64, records and random characters.

An engine that remembers what it has seen is fast with texts that repeat, as those of `speed.py` do; here each body is another.
An engine's process looks at some bodies, and another process at the same and as many more: the difference is what these
took, without the start. All engines get the same bodies, one process after the other, with the Core Rule Set in blocking mode.

Expected of `--ours`: less than the faster of the others takes, for each kind of text. Exit code 1 if not.
"""

import argparse
import base64
import json
import pathlib
import random
import resource
import string
import sys
import urllib.parse

import crs
import engines
import speed

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROSE = "".join(path.read_text() for path in sorted((ROOT / "src/manual").glob("*.md")))
CODE = "".join(path.read_text() for path in sorted((ROOT / "filters/src/waf").glob("*/*.rs")))
JSON = "application/json"


def prose(rng):
    at = rng.randrange(len(PROSE) - 16_000)
    return json.dumps({"text": PROSE[at : at + 12_000]}), JSON


def code(rng):
    at = rng.randrange(len(CODE) - 16_000)
    return json.dumps({"text": CODE[at : at + 12_000]}), JSON


def in_base64(rng):
    return json.dumps({"text": base64.b64encode(rng.randbytes(9_000)).decode()}), JSON


def records(rng):
    words = PROSE.split()
    return json.dumps([
        {"id": rng.randrange(10**9), "name": "".join(rng.choices(string.ascii_letters, k=12)), "note": " ".join(rng.choices(words, k=12))}
        for _ in range(75)
    ]), JSON


def at_random(rng):
    return "a=" + urllib.parse.quote_plus("".join(rng.choices(string.printable, k=8_000))), speed.FORM


KINDS = {"prose": prose, "source code": code, "base64": in_base64, "records": records, "random": at_random}


def cpu(engine, requests):
    """Milliseconds of CPU that its process takes for these."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    engine.lines(requests)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def bodies(kind, seed, count):
    """So many requests, and how many KB their bodies are."""
    rng = random.Random(seed)
    made = [KINDS[kind](rng) for _ in range(count)]
    return [speed.request(f"{kind} {at}", "/", body=body, kind=of) for at, (body, of) in enumerate(made)], sum(len(body) for body, _ in made) / 1024


def compare(makers, count):
    """A line for each kind of text; what is slower than others."""
    for level in (1, 2):
        for kind in KINDS:
            (known, _), (new, kilobytes) = bodies(kind, 1, count), bodies(kind, 2, count)
            costs = {}
            for make in makers:
                engine = make(["-directive", speed.ARGUMENTS, *crs.directives(level)])
                costs[engine.name] = (cpu(engine, known + new) - cpu(engine, known)) / kilobytes
            print(f"paranoia {level}  {kind:12}" + "".join(f"  {name} {cost:8.2f}" for name, cost in costs.items()) + "  ms/KB", flush=True)
            others = [cost for name, cost in costs.items() if name != "ours"]
            if others and costs.get("ours", 0) > min(others):
                yield f"paranoia {level}, {kind}: {costs['ours']:.2f} ms/KB, the faster of the others {min(others):.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", metavar="COMMAND", help="Vanne's engine")
    parser.add_argument("--count", type=int, default=20, help="bodies of each kind")
    parser.add_argument("--alone", action="store_true", help="without the others")
    arguments = parser.parse_args()
    makers = [] if arguments.alone else [engines.coraza, engines.modsecurity]
    if arguments.ours:
        makers.append(lambda options: engines.ours(arguments.ours, options))
    slow = list(compare(makers, arguments.count))
    print("\n".join(f"SLOW  {what}" for what in slow))
    return 1 if slow else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (crs.CrsError, engines.EngineError) as error:
        sys.exit(f"varied: {error}")
