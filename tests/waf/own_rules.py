#!/usr/bin/env python3
"""What our own rules (`filters/rules/`) refuse: a table of 300 attacks and 1,000 benign requests.

Half of each are those of `attacks/` and `benign/`. The other half comes from the Core Rule Set's tests: of the stages that
expect only rules of paranoia 1 and that Coraza and libmodsecurity both refuse there, PER_CLASS for each class of attacks; of
those that only forbid rules and that both let pass even at paranoia 2 (what they refuse there is an attack that paranoia 1
misses), as many as ours. Of each, those with the lowest SHA-256 of their name are taken. Classes that have too few leave the
rest to `protocol`.

Expected: REFUSED_SHARE_MIN of the attacks are refused, and at most BENIGN_REFUSED_MAX benign requests. Exit code 1 if not.
`--all` shows beside it what becomes of all such stages, chosen or not.
"""

import argparse
import collections
import hashlib
import pathlib
import re
import sys

import consensus
import corpus
import crs
import engines

RULES = pathlib.Path(__file__).resolve().parents[2] / "filters/rules"
PER_CLASS = 15
REFUSED_SHARE_MIN = 0.98
BENIGN_REFUSED_MAX = 2
# As many as ours were when the rules were written: those by whose hash they come first.
BENIGN_OF_CRS = 500
# Classes by the first digits of a rule; the longest that fits counts.
CLASSES = {
    "911": "protocol", "913": "scanner", "920": "protocol", "921": "protocol", "922": "protocol", "943": "protocol",
    "930": "traversal", "931": "ssrf", "932": "command_injection", "933": "code_injection", "934": "code_injection",
    "93317": "deserialisation", "93318": "code_injection", "93411": "ssrf", "93412": "ssrf", "93419": "ssrf",
    "941": "xss", "942": "sql_injection", "944": "deserialisation", "94415": "lookup",
}


def options(mode="On"):
    """Options of an engine that load our rules."""
    found = ["-directive", crs.body_directives(mode)]
    for path in sorted(RULES.glob("*.conf")):
        found += ["-rules", str(path)]
    return found


def levels():
    """Paranoia of each rule of the Core Rule Set that has one."""
    found = ((rule, re.search(r"paranoia-level/(\d)", text)) for rule, text in crs.rules().items())
    return {rule: int(level[1]) for rule, level in found if level}


def by_hash(stages):
    return sorted(stages, key=lambda stage: hashlib.sha256(stage.id.encode()).digest())


def class_of(stage):
    return next((CLASSES[str(stage.rule)[:size]] for size in (5, 4, 3) if str(stage.rule)[:size] in CLASSES), None)


def candidates():
    """Attacks by class, and benign stages, all in the order of their hash."""
    stages, level = list(crs.stages()), levels()
    attacks, benign = collections.defaultdict(list), []
    read = consensus.read(stages)
    letters = {stage.id: pair for stage, *pair in zip(stages, read[1], read[2])}
    for stage in by_hash(stages):
        if not stage.expected and stage.forbidden and letters[stage.id] == ["p", "p"]:
            benign.append(stage)
        is_first = all(level.get(rule) == 1 for rule in stage.expected)
        if stage.expected and is_first and letters[stage.id][0] == "b" and class_of(stage):
            attacks[class_of(stage)].append(stage)
    return attacks, benign


def chosen(attacks):
    """PER_CLASS of each class; what a class lacks is taken from `protocol`."""
    lacking = sum(max(0, PER_CLASS - len(stages)) for stages in attacks.values())
    return [
        (name, stage)
        for name, stages in attacks.items()
        for stage in stages[: PER_CLASS + (lacking if name == "protocol" else 0)]
    ]


def judged(engine, named):
    """(class, id, interruption) for each."""
    answers = engine.judge([request for _, request in named])
    return [(name, answer["id"], answer["interruption"]) for (name, _), answer in zip(named, answers)]


def table(title, found, is_attack):
    """Prints numbers by class and names what was not decided as it should be; returns how many were refused."""
    total, refused = collections.Counter(), collections.Counter()
    for name, _, interruption in found:
        total[name] += 1
        refused[name] += interruption is not None
    print(f"{title}: {sum(refused.values())} of {len(found)} refused")
    for name in sorted(total):
        if is_attack or refused[name]:
            print(f"  {name}: {refused[name]} of {total[name]}")
    for name, request, interruption in found:
        if is_attack and interruption is None:
            print(f"  missed: {name}: {request}")
        if not is_attack and interruption is not None:
            print(f"  wrong: {name}: {request} by {interruption['id']}")
    return sum(refused.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", metavar="COMMAND", help="Vanne's engine; without it: Coraza")
    parser.add_argument("--all", action="store_true", help="also all stages of the Core Rule Set that could be chosen")
    arguments = parser.parse_args()
    engine = engines.ours(arguments.ours, options()) if arguments.ours else engines.coraza(options())
    attacks, negatives = candidates()
    own = list(corpus.requests("attacks"))
    others = [(name, stage.request) for name, stage in chosen(attacks)]
    refused = table("attacks, ours", judged(engine, own), True)
    refused += table("attacks of the Core Rule Set", judged(engine, others), True)
    own_benign = list(corpus.requests("benign"))
    other_benign = [(stage.family, stage.request) for stage in negatives[:BENIGN_OF_CRS]]
    wrong = table("benign, ours", judged(engine, own_benign), False)
    wrong += table("benign of the Core Rule Set", judged(engine, other_benign), False)
    share = refused / len(own + others)
    print(f"{refused} of {len(own + others)} attacks ({share:.1%}), {wrong} of {len(own_benign + other_benign)} benign requests refused")
    if arguments.all:
        every = [(name, stage.request) for name, stages in attacks.items() for stage in stages]
        table("all attacks of the Core Rule Set", judged(engine, every), True)
        table("all its benign", judged(engine, [(stage.family, stage.request) for stage in negatives]), False)
    is_met = share >= REFUSED_SHARE_MIN and wrong <= BENIGN_REFUSED_MAX
    print("as expected" if is_met else "FAILED")
    return 0 if is_met else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (crs.CrsError, engines.EngineError) as error:
        sys.exit(f"own_rules: {error}")
