#!/usr/bin/env python3
"""What a request costs each engine: CPU of a transaction in microseconds, on one thread, with the Core Rule Set in blocking mode.

All engines get the same requests in one run, one after the other, so that their ratio holds on any machine. Ours is timed by
the clock: the machine must be quiet. Instead:
`--worst` measures bodies that are hostile to regular expressions, of 1 to 64 KB at paranoia 2, and `--load` what rules take
before the first request: CPU until it is answered, and memory beside a process without rules, with what the allocator keeps.

Expected of `--ours`: it is RATIO_MIN times faster than the faster of the others on each request that has a limit; a KB costs at
most KILOBYTE_US_MAX, and one of 64 at most LINEAR_MAX times one of 4; rules are loaded within LOAD_MS_MAX. Exit code 1 if not.
"""

import argparse
import base64
import collections
import json
import sys
import urllib.parse

import crs
import engines

RATIO_MIN = 15
KILOBYTE_US_MAX = 500
LINEAR_MAX = 2
LOAD_MS_MAX = 150
KILOBYTES = (1, 4, 16, 64)
# What takes the others minutes is not asked of them.
KILOBYTES_OTHERS_MAX = 16
# All look at all of them, whatever each would do by itself.
ARGUMENTS = "SecArgumentsLimit 10000"
PAGE = "/shop/list?category=books&sort=price_asc&page=2&q=blue+shirt"
FORM = "application/x-www-form-urlencoded"
WORST = {"spaces": " ", "select(": "select(", "((((": "(", '{"a":': '{"a":', "<a ": "<a ", ";x$": ";x$", "text": "lorem ipsum dolor ", "JSON": '{"a":'}
BROWSER = [
    ["Host", "www.example.com"],
    ["User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"],
    ["Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
    ["Accept-Language", "en-GB,en;q=0.5"],
    ["Accept-Encoding", "gzip, deflate, br, zstd"],
    ["Referer", "https://www.example.com/"],
    ["Connection", "keep-alive"],
    ["Cookie", "session=eyJ1c2VyIjoxMjM0NX0.Z0Bf2A.k9QmZ3vTq0Xy1r7o; theme=dark"],
    ["Upgrade-Insecure-Requests", "1"],
    ["Sec-Fetch-Mode", "navigate"],
    ["Sec-Fetch-Site", "same-origin"],
]


def request(name, uri="/", headers=BROWSER, body=None, kind=None):
    made = {"id": name, "method": "GET" if body is None else "POST", "uri": uri, "version": "HTTP/1.1", "headers": list(headers)}
    if body is not None:
        made["headers"] = [*headers, ["Content-Type", kind], ["Content-Length", str(len(body))]]
        made["body"] = base64.b64encode(body.encode()).decode()
    return made


def objects(count):
    """A benign body of JSON."""
    return json.dumps({"items": [
        {"id": number, "name": f"Blue shirt {number}", "price": 19.99, "tags": ["cotton", "size L"], "available": True}
        for number in range(count)
    ]})


def ordinary():
    """(request, paranoia, transactions of which the mean is taken, microseconds that ours may take or None)."""
    form = urllib.parse.urlencode({f"field_{number}": "a plain value of some length, as people type it, here" for number in range(16)})
    parts = "".join(
        f'--b\r\nContent-Disposition: form-data; name="part{number}"\r\n\r\n{"plain text of a part " * 48}\r\n' for number in range(4)
    )
    yield request("GET minimal", headers=BROWSER[:3]), 1, 200, 28
    yield request("GET browser", PAGE), 1, 100, 100
    yield request("form 1 KB", body=form, kind=FORM), 1, 50, 250
    yield request("JSON 2.3 KB", body=objects(22), kind="application/json"), 1, 20, 700
    yield request("JSON 65 KB", body=objects(630), kind="application/json"), 1, 1, 20_000
    yield request("GET browser, paranoia 2", PAGE), 2, 100, 160
    yield request("multipart 4 KB", body=parts + "--b--\r\n", kind="multipart/form-data; boundary=b"), 1, 50, None
    yield request("SQL injection", "/item?id=1%27%20or%201%3D1%20--%20"), 1, 50, None
    yield request("form 1 KB, paranoia 2", body=form, kind=FORM), 2, 20, None


def worst():
    """(name, size in KB, request) of hostile bodies: an argument of a form, or JSON."""
    for name, piece in WORST.items():
        for kilobytes in KILOBYTES:
            text = (piece * (kilobytes * 1024 // len(piece) + 1))[: kilobytes * 1024]
            is_json = name == "JSON"
            body = text if is_json else "a=" + urllib.parse.quote_plus(text)
            yield name, kilobytes, request(f"{name} {kilobytes} KB", body=body, kind="application/json" if is_json else FORM)


def costs_of(makers, made, level, rounds):
    """Microseconds of each engine, by name."""
    made_with_rules = (make(["-directive", ARGUMENTS, *crs.directives(level)]) for make in makers)
    return {engine.name: engine.cost([made], rounds)[0] for engine in made_with_rules}


def row(name, costs, rest=""):
    """One line of figures."""
    print(f"{name:26}" + "".join(f"  {engine} {cost:12.1f}" for engine, cost in costs.items()) + rest, flush=True)


def compare(makers):
    """Ordinary requests; what is too slow."""
    for made, level, rounds, limit_us in ordinary():
        costs = costs_of(makers, made, level, rounds)
        if "ours" not in costs:
            row(made["id"], costs)
            continue
        ratio = min(cost for name, cost in costs.items() if name != "ours") / costs["ours"]
        row(made["id"], costs, f"  {ratio:6.1f} x" + (f", limit {limit_us} us" if limit_us else ""))
        if limit_us and ratio < RATIO_MIN:
            yield f"{made['id']}: {ratio:.1f} times faster, {RATIO_MIN} are expected"


def compare_worst(makers):
    """Hostile bodies; what is too slow, or grows too fast."""
    ours = collections.defaultdict(dict)
    for name, kilobytes, made in worst():
        asked = makers if kilobytes <= KILOBYTES_OTHERS_MAX else makers[2:]
        if not asked:
            continue
        costs = costs_of(asked, made, 2, 1)
        kilobyte = costs.get("ours", 0) / kilobytes
        row(made["id"], costs, f"  {kilobyte:6.1f} us/KB" if "ours" in costs else "")
        ours[name][kilobytes] = kilobyte
        if kilobyte > KILOBYTE_US_MAX:
            yield f"{made['id']}: {kilobyte:.0f} us for each KB, {KILOBYTE_US_MAX} are the limit"
    for name, found in ours.items():
        if found.get(64, 0) > LINEAR_MAX * found[4]:
            yield f"{name}: a KB of 64 costs {found[64] / found[4]:.1f} times one of 4, {LINEAR_MAX} are the limit"


def compare_load(makers):
    """What rules take; what is too slow."""
    made = request("GET minimal", headers=BROWSER[:3])
    for level in (1, 4):
        for make in makers:
            engine, bare = make(crs.directives(level)), make(["-directive", "SecRuleEngine On"])
            (seconds, mib), (_, bare_mib) = engine.start_up(made), bare.start_up(made)
            print(f"paranoia {level}  {engine.name:12} {seconds * 1000:7.0f} ms  {mib - bare_mib:6.1f} MiB, {mib:6.1f} MiB in all", flush=True)
            if engine.name == "ours" and seconds * 1000 > LOAD_MS_MAX:
                yield f"paranoia {level}: rules are loaded in {seconds * 1000:.0f} ms, {LOAD_MS_MAX} are the limit"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", metavar="COMMAND", help="Vanne's engine")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--worst", action="store_true", help="hostile bodies")
    what.add_argument("--load", action="store_true", help="the rules themselves")
    arguments = parser.parse_args()
    makers = [engines.coraza, engines.modsecurity]
    if arguments.ours:
        makers.append(lambda options: engines.ours(arguments.ours, options))
    measure = compare_worst if arguments.worst else compare_load if arguments.load else compare
    failures = list(measure(makers))
    for failure in failures:
        print(f"FAILED: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (crs.CrsError, engines.EngineError) as error:
        sys.exit(f"speed: {error}")
