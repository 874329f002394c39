#!/usr/bin/env python3
"""h2spec, which checks a server against the RFCs of HTTP/2 and HPACK, set on the proxy: by TLS and in plain text.

Expected: every case passes, strict ones too, on both. Exit code 1 if not.

Another server shows what the script is worth: `--h2c-port` and `--tls-port` take one that runs already, such as
`nghttpd --no-tls -d FOLDER PORT`, of which one case is known to fail.
"""

import subprocess
import xml.etree.ElementTree

from stage import arguments, backend, certificate, folder, free_ports, need, vanne, verdict

CONFIG = """
[probe]
address = "127.0.0.1:{probe}"
[access_log]
to = "off"
[log]
level = "warn"
[listener.h2c]
address = "127.0.0.1:{h2c}"
protocols = ["h2"]
[listener.tls]
address = "127.0.0.1:{tls}"
protocols = ["h2", "http/1.1"]
tls = {{ certificates = ["site.pem"] }}
[pool.demo]
backends = ["127.0.0.1:{backend}"]
[[route]]
name = "all"
pool = "demo"
"""
# As many as the version that is known has with --strict: a tool that ran fewer has shown nothing.
CASES_MIN = 146


def cases(port, is_tls, scratch, given):
    """Runs h2spec: for each case its name, and what was wrong or None."""
    report = scratch / f"{port}.xml"
    command = [need("h2spec"), "--strict", "-j", str(report), "-h", "127.0.0.1", "-p", str(port), "-P", given.path]
    command += ["-o", str(given.timeout)] + (["-t", "-k"] if is_tls else [])
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if not report.exists():
        return [("h2spec", (run.stdout + run.stderr)[-2000:] or "wrote no report")]
    found = []
    for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
        name = f"{case.get('package')}: {case.get('classname')}"
        bad = case.find("failure") if case.find("failure") is not None else case.find("error")
        skipped = case.find("skipped") is not None
        why = None if bad is None else " ".join((bad.text or bad.get("message") or "failed").split())
        found.append((name, "skipped" if skipped else why))
    return found


def judge(way, found, given):
    """Prints what passed and what failed; the failures."""
    failed = [(name, why) for name, why in found if why is not None]
    print(f"{way}: {len(found) - len(failed)} of {len(found)} cases passed")
    for name, why in found:
        if why is not None or given.list:
            print(f"  {'passed' if why is None else 'FAILED'} {name}{'' if why is None else f': {why}'}")
    wrong = [f"{way}: {name}: {why}" for name, why in failed]
    if len(found) < CASES_MIN:
        wrong.append(f"{way}: only {len(found)} cases ran, at least {CASES_MIN} are known")
    return wrong


def main():
    parser = arguments(__doc__)
    parser.add_argument("--path", default="/", help="what is asked for; its answer needs a body")
    parser.add_argument("--timeout", type=int, default=2, help="seconds that h2spec waits for each answer")
    parser.add_argument("--list", action="store_true", help="print the cases that passed, too")
    parser.add_argument("--h2c-port", type=int, help="a server that runs already, in plain text")
    parser.add_argument("--tls-port", type=int, help="a server that runs already, by TLS")
    given = parser.parse_args()
    with folder() as scratch:
        if given.h2c_port or given.tls_port:
            return run_both(given.h2c_port, given.tls_port, scratch, given)
        certificate(scratch)
        h2c, tls, probe = free_ports(3)
        with backend(given.vanne, scratch) as port:
            config = CONFIG.format(h2c=h2c, tls=tls, probe=probe, backend=port)
            with vanne(given.vanne, config, scratch, [h2c, tls]):
                return run_both(h2c, tls, scratch, given)


def run_both(h2c, tls, scratch, given):
    wrong = []
    for way, port in (("h2c", h2c), ("tls", tls)):
        if port:
            wrong += judge(way, cases(port, way == "tls", scratch, given), given)
    return wrong


if __name__ == "__main__":
    verdict(main)
