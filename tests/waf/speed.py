#!/usr/bin/env python3
"""What a request costs each engine: CPU of a transaction in microseconds, on one thread, with the Core Rule Set in blocking mode.

All engines get the same requests in one run, one after the other, so that their ratio holds on any machine. `--worst` measures
arguments that are hostile to regular expressions instead, of 1, 16 and 64 KB at paranoia 2.

Expected with `--ours`: it is RATIO_MIN times faster than the faster of the others on each. Exit code 1 if not.
"""

import argparse
import base64
import json
import sys
import urllib.parse

import crs
import engines

RATIO_MIN = 15
WORST = {"spaces": " ", "select(": "select(", "((((": "(", '{"a":': '{"a":', "<a ": "<a ", ";x$": ";x$", "text": "lorem ipsum dolor "}
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
    """(request, paranoia, transactions of which the mean is taken)."""
    form = urllib.parse.urlencode({f"field_{number}": "a plain value of some length, as people type it, here" for number in range(16)})
    parts = "".join(
        f'--b\r\nContent-Disposition: form-data; name="part{number}"\r\n\r\n{"plain text of a part " * 48}\r\n' for number in range(4)
    )
    pages = "/shop/list?category=books&sort=price_asc&page=2&q=blue+shirt"
    yield request("GET minimal", headers=BROWSER[:3]), 1, 200
    yield request("GET browser", pages), 1, 100
    yield request("form 1 KB", body=form, kind="application/x-www-form-urlencoded"), 1, 50
    yield request("JSON 2.3 KB", body=objects(22), kind="application/json"), 1, 20
    yield request("multipart 4 KB", body=parts + "--b--\r\n", kind="multipart/form-data; boundary=b"), 1, 50
    yield request("JSON 65 KB", body=objects(630), kind="application/json"), 1, 1
    yield request("SQL injection", "/item?id=1%27%20or%201%3D1%20--%20"), 1, 50
    yield request("GET browser, paranoia 2", pages), 2, 100
    yield request("form 1 KB, paranoia 2", body=form, kind="application/x-www-form-urlencoded"), 2, 20


def worst():
    """The same of hostile arguments."""
    for name, piece in WORST.items():
        for kilobytes in (1, 16, 64):
            text = (piece * (kilobytes * 1024 // len(piece) + 1))[: kilobytes * 1024]
            body = "a=" + urllib.parse.quote_plus(text)
            yield request(f"{name} {kilobytes} KB", body=body, kind="application/x-www-form-urlencoded"), 2, 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", metavar="COMMAND", help="Vanne's engine")
    parser.add_argument("--worst", action="store_true", help="hostile arguments")
    arguments = parser.parse_args()
    makers = [engines.coraza, engines.modsecurity]
    if arguments.ours:
        makers.append(lambda options: engines.ours(arguments.ours, options))
    too_slow = []
    for made, level, rounds in worst() if arguments.worst else ordinary():
        costs = {engine.name: engine.cost([made], rounds)[0] for engine in (make(crs.directives(level)) for make in makers)}
        line = "".join(f"  {name} {cost:12.1f}" for name, cost in costs.items())
        if "ours" in costs:
            ratio = min(cost for name, cost in costs.items() if name != "ours") / costs["ours"]
            line += f"  {ratio:6.1f} x"
            if ratio < RATIO_MIN:
                too_slow.append(made["id"])
        print(f"{made['id']:26}{line}", flush=True)
    for name in too_slow:
        print(f"FAILED: {name}: less than {RATIO_MIN} times faster")
    return 1 if too_slow and not arguments.worst else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (crs.CrsError, engines.EngineError) as error:
        sys.exit(f"speed: {error}")
