#!/usr/bin/env python3
"""The gate of CI: instructions and allocations per request must be what `benches/gate.toml` says, within 3 %.

Counted, never timed (callgrind.py), for requests of 1 KiB over kept connections: HTTP/1.1, HTTP/1.1 by TLS and HTTP/2
by TLS, without and with an access log. A figure that became worse fails; so does one that became better, so that the
file follows. `make bench-gate ARGS=--bless` accepts what is measured; look at the diff and say why in the commit.

The figures hold for x86-64 with AVX2, which is the processor that valgrind shows there; elsewhere nothing is judged.
"""

import argparse
import pathlib
import platform
import statistics
import sys
import tomllib

import callgrind
import load
from lab import LabError, first_line, folder, need, origins
from proxies import PROXIES
from proxies.setting import Ask

FILE = pathlib.Path(__file__).resolve().parent.parent / "gate.toml"
MARGIN = 0.03
# So little may be chance where almost nothing is left: one allocation more in each request is above it.
SLACK = {"instructions": 0, "allocations": 0.5}
WAYS = {"h1": "h1", "h1-tls": "h1s", "h2-tls": "h2"}
KINDS = [f"{way}{log}" for log in ("", "-log") for way in WAYS]
FIGURES = ("instructions", "allocations")
HEAD = """\
# What a request of 1 KiB costs Vanne in user space: checked by `make bench-gate`, which CI runs, within 3 %.
# Written by `make bench-gate ARGS=--bless`; benches/peers/gate.py says how it is counted.
"""


def arguments():
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vanne", default="target/gate/vanne", help="the binary of the profile `gate`")
    parser.add_argument("--bless", action="store_true", help="write the file instead of comparing with it")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"some of: {', '.join(KINDS)}")
    parser.add_argument("--repeat", type=int, default=1, help="count so often, take medians, and print the spread")
    parser.add_argument("--requests", type=int, default=4000, help="that are counted")
    parser.add_argument("--out", default="target/callgrind", help="folder of callgrind's files")
    parser.add_argument("--proxy-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    given = parser.parse_args()
    given.kinds = given.kinds.split(",")
    for kind in given.kinds:
        if kind not in KINDS:
            raise LabError(f"unknown `{kind}`: choose from {', '.join(KINDS)}")
    return given


def is_comparable():
    """Whether this machine shows its programs the processor of the file's figures."""
    return platform.machine() == "x86_64" and " avx2 " in pathlib.Path("/proc/cpuinfo").read_text()


def made_with():
    """What the figures depend on beside the code."""
    return {
        "rustc": first_line("rustc", "--version"),
        "valgrind": first_line(need("valgrind"), "--version"),
        "libc": " ".join(platform.libc_ver()),
    }


def counted(given):
    """`{kind: {figure: value}}`: medians."""
    out = pathlib.Path(given.out)
    out.mkdir(parents=True, exist_ok=True)
    found = {}
    with folder() as scratch, origins(scratch, given.load_core) as ports:
        client = load.compile_client(scratch)
        for kind in given.kinds:
            way = WAYS[kind.removesuffix("-log")]
            log = scratch / "access.log" if kind.endswith("-log") else None
            each = []
            for _ in range(given.repeat):
                setting = PROXIES["vanne"](Ask(ports, scratch, given.vanne, log))
                each.append(callgrind.per_request(setting, way, "/1k", given, client, out / f"{kind}.out"))
            found[kind] = {}
            for figure in FIGURES:
                values = [getattr(one, figure) for one in each]
                found[kind][figure] = middle = statistics.median(values)
                spread = f", spread {(max(values) - min(values)) / max(middle, 1):.2%}" if len(values) > 1 else ""
                print(f"{kind}: {middle:,.1f} {figure}{spread}", flush=True)
    return found


def written(found, tools):
    """The text of the file."""
    lines = [HEAD, "[made_with]", *(f'{name} = "{version}"' for name, version in tools.items())]
    for kind, figures in found.items():
        lines += ["", f"[{kind}]", f"instructions = {figures['instructions']:.0f}"]
        lines += [f"allocations = {figures['allocations']:.1f}"]
    return "\n".join(lines) + "\n"


def moved(found, wanted):
    """A line for each figure that is not what the file says."""
    lines = []
    for kind, figures in found.items():
        for figure, value in figures.items():
            before = wanted.get(kind, {}).get(figure)
            if before is None:
                lines.append(f"{kind}: {value:,.1f} {figure} per request, none in the file")
                continue
            change = value - before
            if abs(change) > max(MARGIN * before, SLACK[figure]):
                word = "worse" if change > 0 else "better"
                now = f"{value:,.1f} {figure} per request, {before:,.1f} before"
                lines.append(f"{kind}: {word} by {abs(change):,.1f}: {now}")
    return lines


def main():
    """Counts, then compares or writes."""
    given = arguments()
    if not is_comparable():
        print("gate: nothing is judged here: the figures are for x86-64 with AVX2")
        return
    tools = made_with()
    wanted = tomllib.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    found = counted(given)
    if given.bless:
        kept = {kind: wanted[kind] for kind in KINDS if kind in wanted} | found
        FILE.write_text(written({kind: kept[kind] for kind in KINDS if kind in kept}, tools), encoding="utf-8")
        print(f"gate: written: benches/{FILE.name}")
        return
    lines = moved(found, wanted)
    if not lines:
        print(f"gate: met: all within {MARGIN:.0%} of benches/{FILE.name}")
        return
    others = [f"{name}: {wanted.get('made_with', {}).get(name)} then, {now} now" for name, now in tools.items()
              if wanted.get("made_with", {}).get(name) != now]
    if others:
        lines.append(f"the tools are not those of the file, which can be the cause: {'; '.join(others)}")
    lines.append(f"where it goes: callgrind_annotate {given.out}/KIND.out, beside that of the code before")
    lines.append("if it is meant: `make bench-gate ARGS=--bless`, and say why in the commit")
    sys.exit(f"gate: figures have moved by more than {MARGIN:.0%}:\n  " + "\n  ".join(lines))


if __name__ == "__main__":
    try:
        main()
    except LabError as error:
        sys.exit(f"gate: {error}")
