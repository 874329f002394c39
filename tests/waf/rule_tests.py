#!/usr/bin/env python3
"""Tests of our own rules (`rules/*/*.yaml`, in the format of the Core Rule Set's tests): each rule alone must match what it is
there for, and not what looks like it.

Expected: every stage matches the ids it expects and none that it forbids, and every rule of `filters/rules/` that refuses
something has at least one stage of each kind. Exit code 1 if not.
"""

import argparse
import collections
import pathlib
import re
import sys

import crs
import engines
import own_rules

TESTS = pathlib.Path(__file__).parent / "rules"


def failures(stages, answers):
    """What was not as expected, a line each."""
    for stage, answer in zip(stages, answers):
        matched = set(answer["matched"])
        for rule in stage.expected:
            if rule not in matched:
                yield f"{stage.family}: {stage.id}: {rule} does not match"
        for rule in stage.forbidden:
            if rule in matched:
                yield f"{stage.family}: {stage.id}: {rule} matches"


def untested(stages):
    """Rules without a stage that they match or without one that they do not."""
    refusing = re.compile(r"\bid:(\d+),phase:\d,deny\b")
    rules = {int(rule) for path in own_rules.RULES.glob("*.conf") for rule in refusing.findall(path.read_text())}
    expected = {rule for stage in stages for rule in stage.expected}
    forbidden = {rule for stage in stages for rule in stage.forbidden}
    for rule in sorted(rules):
        if rule not in expected or rule not in forbidden:
            yield f"{rule} has no test of what it {'matches' if rule not in expected else 'leaves alone'}"
    for rule in sorted((expected | forbidden) - rules):
        yield f"there is no rule {rule}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", metavar="COMMAND", help="Vanne's engine; without it: Coraza")
    arguments = parser.parse_args()
    options = own_rules.options("DetectionOnly")
    engine = engines.ours(arguments.ours, options) if arguments.ours else engines.coraza(options)
    stages = list(crs.stages(TESTS))
    failed = [*failures(stages, engine.judge([stage.request for stage in stages])), *untested(stages)]
    for failure in failed:
        print(f"FAILED: {failure}")
    counts = collections.Counter(stage.family for stage in stages)
    print(f"{len(stages)} stages ({', '.join(f'{count} {family}' for family, count in sorted(counts.items()))}), {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (crs.CrsError, engines.EngineError) as error:
        sys.exit(f"rule_tests: {error}")
