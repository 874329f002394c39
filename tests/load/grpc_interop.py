#!/usr/bin/env python3
"""The interoperability cases of gRPC, by its own Go client and server, through the proxy.

First the client asks the server itself, which shows that the cases pass where no proxy is. Then it asks Vanne: in
plain text and by TLS, each before a server in plain text and one that speaks TLS. With `--concurrent` copies of the
client at once, to meet what only shows between streams.

Expected: each of the 14 cases passes on each way. Exit code 1 if not.
"""

import concurrent.futures
import subprocess

from stage import NAME, arguments, certificate, folder, free_ports, need, running, vanne, verdict

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
protocols = ["h2"]
tls = {{ certificates = ["site.pem"] }}
[pool.grpc]
protocol = "h2"
backends = ["127.0.0.1:{backend}"]
{pool_tls}
[[route]]
name = "all"
pool = "grpc"
"""
POOL_TLS = f'tls = {{ ca_file = "ca.pem", server_name = "{NAME}" }}'

CASES = (
    "cancel_after_begin",
    "cancel_after_first_response",
    "client_streaming",
    "custom_metadata",
    "empty_stream",
    "empty_unary",
    "large_unary",
    "ping_pong",
    "server_streaming",
    "special_status_message",
    "status_code_and_message",
    "timeout_on_sleeping_server",
    "unimplemented_method",
    "unimplemented_service",
)
CASE_SECONDS_MAX = 30


def ask(case, port, ca):
    """Runs one case once: None, or what the client said."""
    command = [need("grpc-interop-client"), f"--test_case={case}", "--server_host=127.0.0.1", f"--server_port={port}"]
    if ca:
        command += ["--use_tls", "--use_test_ca", f"--ca_file={ca}", f"--server_host_override={NAME}"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=CASE_SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired:
        return f"did not end in {CASE_SECONDS_MAX} s"
    said = (run.stdout + run.stderr).strip().splitlines()
    return None if run.returncode == 0 else (said[-1] if said else f"exit code {run.returncode}")


def all_cases(way, port, ca, copies):
    """Every case, `copies` times at once: what was wrong."""
    wrong, passed = [], 0
    with concurrent.futures.ThreadPoolExecutor(copies) as pool:
        for case in CASES:
            whys = [why for why in pool.map(lambda _: ask(case, port, ca), range(copies)) if why]
            passed += not whys
            wrong += [f"{way}: {case}: {whys[0]} ({len(whys)} of {copies})"] if whys else []
    print(f"{way}: {passed} of {len(CASES)} cases passed, each {copies} times", flush=True)
    return wrong


def through(binary, server, pool_tls, scratch, given):
    """Through Vanne before a server: what was wrong."""
    h2c, tls, probe = free_ports(3)
    config = CONFIG.format(h2c=h2c, tls=tls, probe=probe, backend=server, pool_tls=pool_tls)
    to = "TLS" if pool_tls else "plain"
    with vanne(binary, config, scratch, [h2c, tls]):
        wrong = all_cases(f"plain → vanne → {to}", h2c, None, given.concurrent)
        return wrong + all_cases(f"TLS → vanne → {to}", tls, scratch / "ca.pem", given.concurrent)


def main():
    parser = arguments(__doc__)
    parser.add_argument("--concurrent", type=int, default=4, help="copies of the client at once")
    parser.add_argument("--direct", action="store_true", help="only the server itself: is the script sound?")
    given = parser.parse_args()
    server = need("grpc-interop-server")
    with folder() as scratch:
        _, both, key = certificate(scratch)
        plain, tls = free_ports(2)
        secret = [f"--tls_cert_file={both}", f"--tls_key_file={key}", "--use_tls"]
        with (
            running([server, f"--port={plain}"], scratch / "plain.log", [plain]),
            running([server, f"--port={tls}", *secret], scratch / "tls.log", [tls]),
        ):
            wrong = all_cases("direct, plain", plain, None, given.concurrent)
            wrong += all_cases("direct, TLS", tls, scratch / "ca.pem", given.concurrent)
            if given.direct or wrong:
                return wrong
            wrong += through(given.vanne, plain, "", scratch, given)
            return wrong + through(given.vanne, tls, POOL_TLS, scratch, given)


if __name__ == "__main__":
    verdict(main)
