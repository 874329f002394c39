#!/usr/bin/env python3
"""The Core Rule Set's tests through the running proxy, over HTTP: what its reference runner does.

Vanne runs with all rules in detection, at paranoia 4, before a backend that answers as the tests ask (`reflecting.py`). Each
stage is sent as bytes on a connection of its own; what rules logged is read from the firewall's log by the request's id, and
the ids, the status and the texts that a test names are judged.

Some tests cannot hold for every server; the Core Rule Set has lists of such tests for Apache, nginx and Coraza. Ours is
`wire.txt`: the status and the rules that are expected of a stage instead, and why. Most are requests that HTTP itself refuses
before any rule sees them. With `--no-answers` answers are not looked at, and stages that expect it are left out.

Expected: SHARE_MIN of the stages are as expected, those in `wire.txt` as it says; all others are as the tests say. Exit code 1
if not.
"""

import asyncio
import collections
import dataclasses
import json
import os
import pathlib
import re
import sys

import crs
import reflecting

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "load"))

import stage as lab  # noqa: E402 - beside the load scripts

KNOWN = HERE / "wire.txt"
SHARE_MIN = 0.996
# Longer than any inspection takes; a request that is not whole is never answered.
ANSWER_SECONDS_MAX = 20
LOG_SECONDS_MAX = 30
AT_ONCE = 8
# Phases of rules about answers, and those that run when all is over.
ANSWER_PHASES = (3, 4, 5)
CONFIG = """\
[process]
workers = 1
drain_delay = "10ms"
drain_deadline = "5s"
watch_config = false
[log]
level = "warn"
[access_log]
to = "{scratch}/access.log"
[waf_log]
to = "{scratch}/waf.log"
[probe]
address = "127.0.0.1:{probe}"
[listener.http]
paths.unsafe_characters = "encode"
address = "127.0.0.1:{http}"
[waf.main]
crs = "{scratch}/crs"
mode = "detect"
paranoia = 4
# The tests' largest bodies have 64 KiB; how long an inspection takes is not asked here.
body.max = "1MiB"
time_budget = "30s"
answers = true
[pool.reflecting]
backends = ["127.0.0.1:{backend}"]
breaker = {{ failures = 0, failure_rate = "0%" }}
[[route]]
name = "all"
pool = "reflecting"
waf = "main"
"""


@dataclasses.dataclass
class Seen:
    """What came of a stage."""

    port: int  # of the client
    status: int | None = None  # of the answer; none: there was none that could be read
    id: str | None = None  # of the request, as the answer has it


async def answer(reader, method):
    """Status and fields of an answer, once it is whole."""
    while True:
        line, *rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(line.split(" ")[1])
        if status >= 200:
            break
    fields = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in rest)}
    if method != "HEAD" and status not in (204, 304):
        await reflecting.body_of(reader, fields)
    return status, fields


async def send(port, stage):
    """Sends one stage on a new connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=reflecting.HEAD_BYTES_MAX)
    seen = Seen(writer.get_extra_info("sockname")[1])
    try:
        writer.write(stage.wire)
        told = asyncio.wait_for(answer(reader, stage.request["method"]), ANSWER_SECONDS_MAX)
        seen.status, fields = await told
        seen.id = fields.get("x-request-id")
    except (asyncio.IncompleteReadError, TimeoutError, ConnectionError, ValueError, IndexError):
        pass
    finally:
        writer.close()
    return seen


async def send_all(port, stages):
    """All stages, some at once: what came of each, in their order. Without an answer, once more: something was paused."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(stage):
        async with places:
            seen = await send(port, stage)
            return seen if seen.status is not None else await send(port, stage)

    return await asyncio.gather(*map(one, stages))


def lines(path):
    """A log's lines."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.endswith("\n")]


async def logs(scratch, seen):
    """Lines of both logs, once all requests are in them: what came of each, and what rules say of each, by ids."""
    answered = {one.id for one in seen if one.id}
    for _ in range(LOG_SECONDS_MAX * 10):
        access = {line["request_id"]: line for line in lines(scratch / "access.log")}
        if answered <= access.keys():
            break
        await asyncio.sleep(0.1)
    else:
        raise lab.StageError(f"{len(answered - access.keys())} requests are not in the access log")
    # A request's lines are written before the one of the access log, but to another file.
    await asyncio.sleep(1)
    rules = collections.defaultdict(list)
    for line in lines(scratch / "waf.log"):
        rules[line["request_id"]].append(line)
    return access, rules


def as_modsecurity(line):
    """A line of the log as ModSecurity writes it, as far as tests look at it."""
    text = f'[id "{line["rule"]}"] [msg "{line["message"]}"] [data "{line["data"]}"]'
    return re.sub(r"[\x00-\x1f]", lambda found: f"\\x{ord(found[0]):02x}", text)


def faults(stage, seen, told):
    """What was not as the stage expects."""
    if stage.expects_error:
        if seen.status is not None:
            yield f"answered with {seen.status}, though no answer is expected"
        return
    if seen.status is None:
        yield "no answer"
    if stage.status and seen.status is not None and seen.status not in stage.status:
        yield f"status {seen.status} instead of {' or '.join(map(str, stage.status))}"
    matched = {line["rule"] for line in told}
    for rule in stage.expected:
        if rule not in matched:
            yield f"{rule} does not match"
    for rule in stage.forbidden:
        if rule in matched:
            yield f"{rule} matches"
    written = [as_modsecurity(line) for line in told]
    for text, is_wanted in stage.texts:
        if any(re.search(text, line) for line in written) != is_wanted:
            yield f"the log {'does not say' if is_wanted else 'says'} {text!r}"


def phases():
    """The phase of each rule of the Core Rule Set."""
    found = ((rule, re.search(r"\bphase:(\d)", text)) for rule, text in crs.rules().items())
    return {rule: int(phase[1]) for rule, phase in found if phase}


def is_about_answers(stage, phase):
    """Whether it expects what only rules about answers can do."""
    if any(phase.get(rule) in ANSWER_PHASES for rule in stage.expected):
        return True
    return stage.family.startswith("RESPONSE-") and any(is_wanted for _, is_wanted in stage.texts)


def known():
    """Stages of which something else is expected: (stage as it is expected, why) by their names."""
    found = {}
    for line in KNOWN.read_text().splitlines():
        if line and not line.startswith("#"):
            name, status, rules, why = line.split(" ", 3)
            expected = () if rules == "-" else tuple(map(int, rules.split(",")))
            found[name] = ({"status": (int(status),), "expected": expected}, why)
    return found


def config(args, scratch, ports, backend):
    """Vanne's config, and the folder of rules with a setup file of the tests."""
    (scratch / "crs").mkdir()
    (scratch / "crs/rules").symlink_to(os.path.abspath(crs.root() / "rules"))
    setup = (crs.root() / "crs-setup.conf.example").read_text()
    (scratch / "crs/crs-setup.conf").write_text(setup + crs.LIMITS.strip() + "\n")
    probe, http = ports
    made = CONFIG.format(scratch=scratch, probe=probe, http=http, backend=backend)
    return made.replace("answers = true\n", "") if args.no_answers else made


@dataclasses.dataclass
class Verdict:
    """What was not as a stage expects, and not as `wire.txt` has it."""

    stage: crs.Stage
    faults: list
    faults_instead: list | None  # None: it is not named there
    why: str  # it was expected so, or how it ended


def judged(stages, seen, access, rules):
    """A verdict for each stage."""
    by_port = {line["client"].rpartition(":")[2]: line for line in access.values()}
    others = known()
    for stage, one in zip(stages, seen):
        line = access.get(one.id) or by_port.get(str(one.port), {})
        told = rules.get(line.get("request_id"), [])
        instead, why = others.get(stage.id, (None, line.get("end", "not in the log")))
        wanted = instead and dataclasses.replace(stage, forbidden=(), texts=(), expects_error=False, **instead)
        yield Verdict(stage, list(faults(stage, one, told)), wanted and list(faults(wanted, one, told)), why)


def report(verdicts, apart):
    """Prints what was found; returns what is wrong."""
    wrong, families = [], collections.defaultdict(collections.Counter)
    for verdict in verdicts:
        name, said = verdict.stage.id, f"{verdict.stage.id}: {'; '.join(verdict.faults)}"
        if name in apart:
            continue
        outcome = "passed" if not verdict.faults else "listed" if verdict.faults_instead == [] else "failed"
        families[verdict.stage.family][outcome] += 1
        if verdict.faults:
            print(f"  {outcome}: {said} ({verdict.why})")
        if outcome == "failed":
            wrong.append(said)
        elif outcome == "passed" and verdict.faults_instead is not None:
            wrong.append(f"{name} is as the test expects, though {KNOWN.name} names it: {verdict.why}")
    for family, counts in sorted(families.items()):
        print(f"{family}: {counts['passed']} of {counts.total()}, and {counts['listed']} as {KNOWN.name} has them")
    total = sum(families.values(), collections.Counter())
    share = (total["passed"] + total["listed"]) / total.total()
    print(f"{total['passed']} passed ({total['passed'] / total.total():.2%}), {total['listed']} as {KNOWN.name} has them, {total['failed']} failed")
    print(f"{share:.2%} as expected" + (f"; {len(apart)} stages about answers are left out" if apart else ""))
    if share < SHARE_MIN:
        wrong.append(f"{share:.2%} of the stages are as expected, at least {SHARE_MIN:.1%} is expected")
    return wrong


async def played(args, scratch, stages):
    """What came of each stage."""
    server, backend = await reflecting.start()
    ports = lab.free_ports(2)
    with lab.vanne(args.vanne, config(args, scratch, ports, backend), scratch, ports[:1]):
        seen = await send_all(ports[1], stages)
        access, rules = await logs(scratch, seen)
    server.close()
    return list(judged(stages, seen, access, rules))


def run(args):
    """Everything; what is wrong."""
    phase = phases()
    pattern = re.compile(args.only or "")
    stages = [stage for stage in crs.stages() if pattern.search(stage.id)]
    apart = {stage.id for stage in stages if args.no_answers and is_about_answers(stage, phase)}
    with lab.folder() as scratch:
        return report(asyncio.run(played(args, scratch, stages)), apart)


def main():
    parser = lab.arguments(__doc__)
    parser.add_argument("--no-answers", action="store_true", help="answers are not looked at")
    parser.add_argument("--only", metavar="EXPRESSION", help="stages with such names only, like ^920")
    args = parser.parse_args()
    lab.verdict(lambda: run(args))


if __name__ == "__main__":
    try:
        main()
    except crs.CrsError as error:
        sys.exit(f"through_proxy: {error}")
