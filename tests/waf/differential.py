#!/usr/bin/env python3
"""Vanne's engine beside Coraza on requests that nobody wrote: the same rules must match, with the same scores and decision.

Requests are those of the Core Rule Set's tests and ours, changed at random: pieces of others are put in, bytes are encoded,
doubled, cut and replaced, bodies get another type, headers another's value. A seed gives the same requests each time. Each
request that the engines see differently is made as small as it stays different, and shown with both answers.

Expected: no difference. Exit code 1 if there is one.
"""

import argparse
import base64
import collections
import contextlib
import json
import random
import subprocess
import sys

import corpus
import crs
import engines
import own_rules

BATCH = 500
# Differences that are shrunk and shown, of those that are not alike.
SHOWN_MAX = 20
# What one shrinking may ask at most.
QUESTIONS_MAX = 600
FORM = "application/x-www-form-urlencoded"
TYPES = (
    FORM, FORM, "application/json", "application/json", "application/xml", "text/xml", "text/plain", "application/octet-stream",
    "multipart/form-data; boundary=b", "application/soap+xml; charset=utf-8", "application/vnd.api+json",
)
PIECES = (
    b"'", b'"', b"`", b"\\", b"%", b"%00", b"%2527", b"%u0027", b"+", b"&", b"=", b";", b"#", b"--", b"/*", b"*/", b"/*!50000", b"<", b">",
    b"<script>", b"javascript:", b"onerror=", b"${", b"}", b"{{", b"}}", b"$(", b")", b"../", b"..\\", b"\x00", b"\xff", b"\xc0\xaf", b"\r\n",
    b"\n", b"\t", b" ", b"[]", b"[$ne]", b'{"a":', b"null", b"1e9", b"0x", b"&#x27;", b"&lt;", b"\\u003c", b"\\x3c", b"%c0%ae", b"union select",
    b" or 1=1", b"sleep(5)", b"|id", b";ls", b"/etc/passwd", b"http://127.0.0.1", b"<?php", b"--b\r\n", b"Content-Disposition: form-data; name=x",
    "é".encode(), "ı".encode(), "\uff1c".encode(), "\u212a".encode(),
)


def parts_of(request):
    """The parts of a request that may be changed: a list of [kind, bytes]."""
    found = [["uri", request["uri"].encode("latin-1")]]
    if "body" in request:
        found.append(["body", base64.b64decode(request["body"])])
    found += [[name, value.encode("latin-1")] for name, value in request["headers"]]
    return found


def with_part(request, index, data):
    """The request with another value of one part, numbered as in `parts_of`."""
    made = {**request, "headers": [list(header) for header in request["headers"]]}
    first = 2 if "body" in request else 1
    if index == 0:
        # What would end the request line, or does not start with a slash, never reaches an engine.
        made["uri"] = "/" + data.translate(None, b" \r\n\x00").decode("latin-1").removeprefix("/")
    elif index < first:
        made["body"] = base64.b64encode(data).decode()
    else:
        made["headers"][index - first][1] = data.translate(None, b"\r\n\x00").strip().decode("latin-1")
    return made


def encoded(data, rng):
    """The bytes in one of the ways in which clients and attackers write them."""
    way = rng.randrange(5)
    if way == 0:
        return "".join(f"%{byte:02x}" for byte in data).encode()
    if way == 1:
        return "".join(f"%25{byte:02X}" for byte in data).encode()
    if way == 2:
        return "".join(f"&#{byte};" for byte in data).encode()
    if way == 3:
        return base64.b64encode(data)
    return "".join(f"\\u{byte:04x}" for byte in data).encode()


def changed(data, others, rng):
    """One change of a part."""
    at = rng.randrange(len(data) + 1)
    end = min(len(data), at + rng.randrange(1, 12))
    match rng.randrange(8):
        case 0 | 1 | 2:
            return data[:at] + rng.choice(PIECES) + data[at:]
        case 3:
            other = rng.choice(others)
            start = rng.randrange(len(other) + 1)
            return data[:at] + other[start : start + rng.randrange(1, 60)] + data[at:]
        case 4:
            return data[:at] + data[end:]
        case 5:
            return data[:at] + encoded(data[at:end], rng) + data[end:]
        case 6:
            return data[:at] + data[at:end].swapcase() + data[end:]
        case _:
            return data[:at] + bytes([rng.randrange(256)]) + data[end:]


def with_type(request, rng):
    """The request with another content type, so that another reader gets its body."""
    kept = [header for header in request["headers"] if header[0].lower() != "content-type"]
    return {**request, "headers": [*kept, ["Content-Type", rng.choice(TYPES)]]}


def requests(bases, seed, count):
    """As many requests, each with one to six changes."""
    rng = random.Random(seed)
    others = [data for base in bases for kind, data in parts_of(base) if kind in ("uri", "body") and data]
    for number in range(count):
        made = rng.choice(bases)
        if "body" in made and rng.random() < 0.15:
            made = with_type(made, rng)
        for _ in range(rng.randrange(1, 7)):
            parts = parts_of(made)
            # Headers are many; most attacks are elsewhere.
            index = rng.randrange(min(2, len(parts))) if rng.random() < 0.75 else rng.randrange(len(parts))
            made = with_part(made, index, changed(parts[index][1], others, rng))
        yield {**made, "id": f"{seed}-{number}"}


def difference(theirs, ours, ignored):
    """What is not equal: ids with the engine that alone has them, and what else; empty when all is."""
    pair = [set(answer["matched"]) - ignored for answer in (theirs, ours)]
    found = {f"{rule} only by Coraza" for rule in pair[0] - pair[1]} | {f"{rule} only by ours" for rule in pair[1] - pair[0]}
    if not found and theirs["scores"] != ours["scores"]:
        found.add("scores")
    if not found and theirs["interruption"] != ours["interruption"]:
        found.add("decision")
    return frozenset(found)


class Session:
    """An engine that is asked one request at a time."""

    def __init__(self, engine):
        self.process = subprocess.Popen(engine.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")

    def ask(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def smaller(request):
    """Requests with a little less: without a header, without the body, with a shorter part; the largest steps first."""
    for index in range(len(request["headers"])):
        yield {**request, "headers": request["headers"][:index] + request["headers"][index + 1 :]}
    if "body" in request:
        yield {key: value for key, value in request.items() if key != "body"}
    if "response" in request:
        yield {key: value for key, value in request.items() if key != "response"}
    for index, (_, data) in enumerate(parts_of(request)):
        size = (len(data) + 1) // 2
        while size:
            for start in range(0, len(data), size):
                yield with_part(request, index, data[:start] + data[start + size :])
            size //= 2


def shrunk(request, differs):
    """The smallest request found that still differs."""
    left = QUESTIONS_MAX
    while True:
        for candidate in smaller(request):
            left -= 1
            if left == 0:
                return request
            if candidate != request and differs(candidate):
                request = candidate
                break
        else:
            return request


def show(request, theirs, ours):
    """A difference, for people."""
    print(f"    {request['method']} {request['uri']!a}")
    for name, value in request["headers"]:
        print(f"    {name}: {value!a}")
    if "body" in request:
        print(f"    {base64.b64decode(request['body'])!r}")
    for name, answer in (("Coraza", theirs), ("ours", ours)):
        print(f"    {name}: scores {answer['scores']}, {answer['interruption']}")


def compared(pair, made, ignored):
    """Requests that are seen differently, by what is different."""
    found = collections.defaultdict(list)
    for start in range(0, len(made), BATCH):
        batch = made[start : start + BATCH]
        for request, theirs, ours in zip(batch, *(engine.judge(batch) for engine in pair)):
            what = difference(theirs, ours, ignored)
            if what:
                found[what].append(request)
    return found


def explain(pair, found, ignored):
    """Prints each kind of difference with its smallest request."""
    with contextlib.ExitStack() as stack:
        sessions = [Session(engine) for engine in pair]
        for session in sessions:
            stack.callback(session.close)
        for what, requests_ in sorted(found.items(), key=lambda item: -len(item[1]))[:SHOWN_MAX]:
            print(f"--- {len(requests_)} x {', '.join(sorted(what))}, as in {requests_[0]['id']}:")
            # A smaller request may show less of it, but nothing else.
            small = shrunk(
                requests_[0],
                lambda one, what=what: bool(now := difference(*(session.ask(one) for session in sessions), ignored)) and now <= what,
            )
            show(small, *(session.ask(small) for session in sessions))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", metavar="COMMAND", required=True, help="Vanne's engine")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--rules", choices=("crs", "own"), default="crs")
    parser.add_argument("--paranoia", type=int, default=4, help="of the Core Rule Set")
    parser.add_argument("--ignore", type=int, nargs="+", default=[], metavar="ID", help="rules that may differ")
    parser.add_argument("--block", action="store_true", help="refuse, instead of running every rule")
    arguments = parser.parse_args()
    mode = "On" if arguments.block else "DetectionOnly"
    options = crs.directives(arguments.paranoia, mode) if arguments.rules == "crs" else own_rules.options(mode)
    pair = engines.coraza(options), engines.ours(arguments.ours, options)
    bases = [stage.request for stage in crs.stages()]
    bases += [request for kind in ("attacks", "benign") for _, request in corpus.requests(kind)]
    made = list(requests(bases, arguments.seed, arguments.count))
    found = compared(pair, made, set(arguments.ignore))
    if found:
        explain(pair, found, set(arguments.ignore))
    different = sum(map(len, found.values()))
    print(f"{different} of {len(made)} requests of seed {arguments.seed} are seen differently, in {len(found)} ways")
    return 1 if found else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (crs.CrsError, engines.EngineError) as error:
        sys.exit(f"differential: {error}")
