#!/usr/bin/env python3
"""Decisions over the Core Rule Set's own requests: what Coraza and libmodsecurity refuse, and whether Vanne's engine agrees.

`--write` runs the two over all stages in blocking mode, at paranoia 1, 2 and 4, and writes `consensus.txt`: a line for each
file of tests and paranoia with a letter for each stage, in the order of the file:

  b  both refuse it            c  only Coraza refuses it
  p  both let it pass          m  only libmodsecurity refuses it

`--ours COMMAND` compares Vanne's engine with that file. Expected: of the requests on which the two agree it decides
EQUAL_SHARE_MIN in the same way, and it refuses all that both refuse. Exit code 1 if not.
"""

import argparse
import collections
import pathlib
import sys

import crs
import engines

FILE = pathlib.Path(__file__).parent / "consensus.txt"
LEVELS = (1, 2, 4)
EQUAL_SHARE_MIN = 0.997
LETTERS = {(True, True): "b", (False, False): "p", (True, False): "c", (False, True): "m"}


def decisions(engine, stages):
    """Whether each is refused."""
    return [answer["interruption"] is not None for answer in engine.judge([stage.request for stage in stages])]


def write(stages):
    """Runs both engines and writes the file."""
    lines = [f"# {len(stages)} stages of the Core Rule Set 4.25.0; written by consensus.py --write, which says what the letters mean"]
    for level in LEVELS:
        options = crs.directives(level)
        pairs = zip(*(decisions(engine, stages) for engine in (engines.coraza(options), engines.modsecurity(options))))
        files = collections.defaultdict(str)
        for stage, pair in zip(stages, pairs):
            files[stage.rule] += LETTERS[pair]
        lines += [f"{level} {rule} {letters}" for rule, letters in sorted(files.items())]
        counts = collections.Counter("".join(files.values()))
        print(f"paranoia {level}: {dict(counts)}, equal {(counts['b'] + counts['p']) / len(stages):.2%}")
    FILE.write_text("\n".join(lines) + "\n")


def read(stages):
    """Letters by paranoia, one for each of the stages in their order."""
    found = {}
    for line in FILE.read_text().splitlines():
        if not line.startswith("#"):
            level, rule, letters = line.split(" ")
            found[int(level), int(rule)] = iter(letters)
    letters = {level: [next(found.get((level, stage.rule), iter(())), None) for stage in stages] for level in LEVELS}
    if any(None in of_level for of_level in letters.values()):
        raise crs.CrsError(f"{FILE.name} is of another version of the Core Rule Set: run with --write")
    return letters


def compare(command, stages):
    """What was not as expected, a line each."""
    letters = read(stages)
    for level in LEVELS:
        refused = decisions(engines.ours(command, crs.directives(level)), stages)
        agreed = [(stage.id, letter, own) for stage, letter, own in zip(stages, letters[level], refused) if letter in "bp"]
        differing = [(name, letter) for name, letter, own in agreed if own != (letter == "b")]
        share = 1 - len(differing) / len(agreed)
        print(f"paranoia {level}: {share:.2%} of {len(agreed)} decided as both others do")
        for name, letter in differing:
            print(f"  {name}: {'missed, both refuse it' if letter == 'b' else 'refused, both let it pass'}")
        if share < EQUAL_SHARE_MIN:
            yield f"paranoia {level}: {share:.2%} equal, at least {EQUAL_SHARE_MIN:.1%} is expected"
        missed = sum(letter == "b" for _, letter in differing)
        if missed:
            yield f"paranoia {level}: {missed} requests pass that both refuse"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true", help="run Coraza and libmodsecurity and write the file")
    what.add_argument("--ours", metavar="COMMAND", help="compare this engine with the file")
    arguments = parser.parse_args()
    stages = list(crs.stages())
    failures = [] if arguments.write else list(compare(arguments.ours, stages))
    if arguments.write:
        write(stages)
    for failure in failures:
        print(f"FAILED: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (crs.CrsError, engines.EngineError) as error:
        sys.exit(f"consensus: {error}")
