#!/usr/bin/env python3
"""Vanne's engine beside Coraza on requests that nobody wrote: the same rules must match, with the same scores and decision.

Requests are those of the Core Rule Set's tests and ours, changed at random: pieces of others are put in, bytes are encoded,
doubled, cut and replaced, bodies get another type, headers another's value. A seed gives the same requests each time.

What the engines see differently is put down to its causes (`causes.py`): without the cause there must be no difference.
libmodsecurity, the engine that the Core Rule Set is written for, is asked whose answer it shares, of the rules that log. A
table shows all by cause. What has none is made as small as it stays different, and shown with both answers.

Expected: no difference without a known cause. Exit code 1 if there is one.
"""

import argparse
import base64
import collections
import concurrent.futures
import contextlib
import itertools
import json
import os
import random
import subprocess
import sys
import time

import causes
import corpus
import crs
import engines
import own_rules

BATCH = 1000
# Rules that only steer others and that engines report differently without effect: README.md says why.
STEERING = {901400, 951100}
# Rules that add up what others have found.
SUMS = ("949", "959", "980")
# Rules of a cause that are named, those first that differ most often.
NAMED_MAX = 6
# Differences that are shrunk and shown, of those that are not alike.
SHOWN_MAX = 20
# What one shrinking may ask at most.
QUESTIONS_MAX = 600
# Of a request that is changed, in base64: a larger one takes as long as a hundred others.
BODY_CHARS_MAX = 16_384
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
    print(f"    {request['method']} {request['uri']!a} {request['version']}")
    for name, value in request["headers"]:
        print(f"    {name}: {value!a}")
    if "body" in request:
        print(f"    {base64.b64decode(request['body'])!r}")
    for name, answer in (("Coraza", theirs), ("ours", ours)):
        print(f"    {name}: scores {answer['scores']}, {answer['interruption']}")


class Trio:
    """Both engines, and libmodsecurity as the one who decides; batches of requests, some at once."""

    def __init__(self, options, command, ignored, jobs):
        self.pair = engines.coraza(options), engines.ours(command, options)
        self.judge = engines.modsecurity(options)
        self.ignored, self.pool = ignored, concurrent.futures.ThreadPoolExecutor(jobs)
        self.jobs = jobs

    def batches(self, ask, requests_):
        """What `ask` says of each batch, in order; never more than a few batches are under way."""
        batches, under_way = iter(lambda: list(itertools.islice(requests_, BATCH)), []), collections.deque()
        for batch in batches:
            under_way.append(self.pool.submit(ask, batch))
            if len(under_way) > self.jobs:
                yield from under_way.popleft().result()
        for one in under_way:
            yield from one.result()

    def differences(self, requests_):
        """(request, what is not equal, ids of ours, ids of Coraza) of each request."""

        def ask(batch):
            answers = zip(batch, *(engine.judge(batch) for engine in self.pair))
            return [(request, difference(theirs, ours, self.ignored), set(ours["matched"]), set(theirs["matched"]))
                    for request, theirs, ours in answers]

        yield from self.batches(ask, iter(requests_))

    def votes(self, rows, logging):
        """With whom libmodsecurity agrees on each request, of the rules that log: ours, Coraza, neither, or ? without any."""

        def ask(batch):
            return [set(answer["matched"]) for answer in self.judge.judge(batch)]

        for (_, _, ours, theirs), seen in zip(rows, self.batches(ask, iter([row[0] for row in rows]))):
            rules = {rule for rule in (ours ^ theirs) - self.ignored if rule in logging and not is_sum(rule)}
            sides = {"ours" if (rule in seen) == (rule in ours) else "Coraza" for rule in rules}
            yield sides.pop() if len(sides) == 1 else "neither" if sides else "?"


def is_sum(rule):
    return str(rule).startswith(SUMS)


def by_cause(trio, rows):
    """Rows by the cause of their difference; under None those without a known one."""
    found, left = {}, rows
    several = causes.Cause("several of these", lambda request: causes.without_any(request) != request, causes.without_any)
    for cause in (*causes.CAUSES, several):
        may = [row for row in left if cause.applies(row[0])]
        asked = trio.differences(cause.without(row[0]) for row in may)
        gone = {row[0]["id"] for row, (_, what, *_) in zip(may, asked) if not what}
        found[cause.name] = [row for row in may if row[0]["id"] in gone]
        left = [row for row in left if row[0]["id"] not in gone]
    return {**found, None: left}


def table(trio, causes_, logging):
    """Prints how many requests have each cause, with whom libmodsecurity agrees, and the rules that differ most."""
    print(f"{'cause':18} {'requests':>8}   {'as ours':>7} {'Coraza':>7} {'neither':>7} {'?':>5}   rules (times)")
    for cause, rows in causes_.items():
        votes = collections.Counter(trio.votes(rows, logging))
        rules = collections.Counter(
            rule for _, _, ours, theirs in rows for rule in (ours ^ theirs) - trio.ignored if not is_sum(rule)
        )
        named = ", ".join(f"{rule} ({count})" for rule, count in rules.most_common(NAMED_MAX))
        print(f"{cause or 'NOT KNOWN':18} {len(rows):8}   {votes['ours']:7} {votes['Coraza']:7} {votes['neither']:7} {votes['?']:5}   {named}")


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


def seen_differently(trio, made):
    """Requests that the engines see differently, with what; tells how far it is."""
    rows, number = [], 0
    for number, row in enumerate(trio.differences(made), 1):
        if row[1]:
            rows.append(row)
        if number % (10 * BATCH) == 0:
            print(f"{number} requests, {len(rows)} seen differently", file=sys.stderr, flush=True)
    return rows, number


def logging_rules():
    """Rules of the Core Rule Set that are in ModSecurity's log when they match."""
    return {rule for rule, text in crs.rules().items() if "nolog" not in text}


def bases():
    """Requests that are changed. What has no version is none of HTTP/1.1."""
    found = [stage.request for stage in crs.stages()]
    found += [request for kind in ("attacks", "benign") for _, request in corpus.requests(kind)]
    return [request for request in found if len(request.get("body", "")) <= BODY_CHARS_MAX and request["version"]]


def within(seconds, made):
    """What is made in so many seconds, without them all."""
    end = time.monotonic() + seconds if seconds else float("inf")
    return itertools.takewhile(lambda _: time.monotonic() < end, made)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", metavar="COMMAND", required=True, help="Vanne's engine")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seconds", type=int, help="no new requests after this time; then come the causes of what was found")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="batches at once")
    parser.add_argument("--rules", choices=("crs", "own"), default="crs")
    parser.add_argument("--paranoia", type=int, default=4, help="of the Core Rule Set")
    parser.add_argument("--ignore", type=int, nargs="+", default=[], metavar="ID", help="rules that may differ, besides those that steer")
    parser.add_argument("--block", action="store_true", help="refuse, instead of running every rule")
    arguments = parser.parse_args()
    mode = "On" if arguments.block else "DetectionOnly"
    options = crs.directives(arguments.paranoia, mode) if arguments.rules == "crs" else own_rules.options(mode)
    trio = Trio(options, arguments.ours, STEERING | set(arguments.ignore), arguments.jobs)
    made = within(arguments.seconds, requests(bases(), arguments.seed, arguments.count))
    rows, count = seen_differently(trio, made)
    found = by_cause(trio, rows)
    unknown = collections.defaultdict(list)
    for request, what, *_ in found[None]:
        unknown[what].append(request)
    explain(trio.pair, unknown, trio.ignored)
    print(f"{len(rows)} of {count} requests of seed {arguments.seed} are seen differently ({len(rows) / max(1, count):.1%})")
    table(trio, found, logging_rules())
    return 1 if unknown else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (crs.CrsError, engines.EngineError) as error:
        sys.exit(f"differential: {error}")
