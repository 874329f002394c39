#!/usr/bin/env python3
"""Two scanners of TLS set on the proxy: testssl.sh and sslyze, with TLS 1.3 alone and with TLS 1.2 allowed.

sslyze compares with what Mozilla recommends: "modern" for TLS 1.3 alone, "intermediate" with TLS 1.2. testssl.sh rates
each finding; from LOW on it counts.

Expected: no finding, but those in EXCUSED, each with its reason. Exit code 1 if not. About two minutes.

Another server shows what the script is worth: `--port` takes one that runs already (`--ca` is then its authority).
"""

import json
import subprocess

from stage import NAME, StageError, arguments, backend, certificate, folder, free_ports, need, vanne, verdict

CONFIG = """
[probe]
address = "127.0.0.1:{probe}"
[access_log]
to = "off"
[log]
level = "off"
[listener.tls]
address = "127.0.0.1:{tls}"
tls = {{ certificates = ["site.pem"], min_version = "{oldest}" }}
[security_headers.strict]
strict_transport_security = "max-age=63072000"
[pool.demo]
backends = ["127.0.0.1:{backend}"]
[[route]]
name = "all"
pool = "demo"
security_headers = "strict"
"""
# Oldest version → what sslyze compares with.
RECOMMENDED = {"1.3": "modern", "1.2": "intermediate"}
BAD = ("LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL")
# (tool, what it calls the finding) → why it is no fault of the proxy's.
EXCUSED = {
    ("sslyze", "certificate_path_validation"): "the authority is the test's own",
    ("testssl", "cert_chain_of_trust"): "the authority is the test's own",
    ("testssl", "cert_revocation"): "the authority is the test's own and revokes nothing",
    ("testssl", "cipher_order"): "all suites of TLS 1.2 are good (sslyze checks), so Mozilla lets the client choose",
}
# Fewer findings, good ones too, mean that the scan was broken off.
FINDINGS_MIN = 80
SCAN_SECONDS_MAX = 600


def run(command):
    """What the tool printed."""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=SCAN_SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired:
        raise StageError(f"`{command[0]}` did not end in {SCAN_SECONDS_MAX} s") from None
    return ended.stdout + ended.stderr


def read(path, said):
    """A report in JSON; an error with what the tool said when there is none."""
    if not path.exists():
        raise StageError(f"the scanner wrote no report:\n{said[-2000:]}")
    return json.loads(path.read_text())


def testssl(port, ca, _oldest, scratch):
    """Findings of testssl.sh, `(its name of it, what it says)`."""
    report = scratch / f"testssl-{port}.json"
    command = [need("testssl"), "--quiet", "--color", "0", "--nodns", "none", "--ip=127.0.0.1"]
    said = run([*command, f"--add-ca={ca}", "--jsonfile", str(report), f"https://{NAME}:{port}"])
    found = read(report, said)
    print(f"  testssl: {len(found)} findings, good ones too", flush=True)
    if len(found) < FINDINGS_MIN:
        yield "broken_off", f"at least {FINDINGS_MIN} are known"
    for one in found:
        if one["severity"] == "WARN":
            print(f"  could not be checked: {one['id']}: {one['finding']}")
        if one["severity"] in BAD:
            yield one["id"], f"{one['severity']}: {one['finding']}"


def sslyze(port, ca, oldest, scratch):
    """Findings of sslyze: where it differs from what is recommended, and what could not be scanned."""
    report = scratch / f"sslyze-{port}.json"
    command = [need("sslyze"), f"--mozilla_config={RECOMMENDED[oldest]}", "--certinfo_ca_file", str(ca), "--sni", NAME]
    said = run([*command, "--json_out", str(report), f"127.0.0.1:{port}"])
    results = read(report, said)["server_scan_results"]
    _, _, compared = said.partition("COMPLIANCE AGAINST TLS CONFIGURATION")
    if not results or "127.0.0.1" not in compared:
        yield "broken_off", said[-2000:]
    for result in results:
        scans = result["scan_result"] or {}
        print(f"  sslyze: {len(scans)} scans, compared with Mozilla's {RECOMMENDED[oldest]}", flush=True)
        for name, scan in scans.items():
            if scan["status"] == "ERROR":
                yield name, f"could not be scanned: {scan['error_reason']}"
    for line in compared.splitlines():
        if line.strip().startswith("* "):
            name, _, why = line.strip()[2:].partition(": ")
            yield name, why


def scan(port, ca, oldest, scratch):
    """Both scanners on one port: what nothing excuses."""
    print(f"TLS {oldest} and newer:", flush=True)
    wrong = []
    for tool in (sslyze, testssl):
        for name, why in tool(port, ca, oldest, scratch):
            if excuse := EXCUSED.get((tool.__name__, name)):
                print(f"  excused {tool.__name__} {name}: {why} ({excuse})", flush=True)
            else:
                wrong.append(f"TLS {oldest} and newer: {tool.__name__} {name}: {why}")
    return wrong


def main():
    parser = arguments(__doc__)
    parser.add_argument("--oldest", choices=list(RECOMMENDED), help="only with this oldest version")
    parser.add_argument("--port", type=int, help="a server that runs already on 127.0.0.1")
    parser.add_argument("--ca", default="/etc/ssl/certs/ca-certificates.crt", help="its authority")
    given = parser.parse_args()
    wanted = [given.oldest] if given.oldest else list(RECOMMENDED)
    wrong = []
    with folder() as scratch:
        if given.port:
            return scan(given.port, given.ca, wanted[-1], scratch)
        ca, _, _ = certificate(scratch)
        with backend(given.vanne, scratch) as port:
            for oldest in wanted:
                tls, probe = free_ports(2)
                config = CONFIG.format(tls=tls, probe=probe, oldest=oldest, backend=port)
                with vanne(given.vanne, config, scratch, [tls]):
                    wrong += scan(tls, ca, oldest, scratch)
    return wrong


if __name__ == "__main__":
    verdict(main)
