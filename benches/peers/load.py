"""The load generators: wrk and h2load as fast as the proxy answers, and our own client for what they do not do.

The client (client.c) sends at a fixed rate whatever the proxy does, and counts from when a request was due; it also
makes handshakes and holds idle connections.
"""

import contextlib
import json
import re
import subprocess

from lab import LabError, compile_c, need

# A server may change its keys now and then.
RESUMED_SHARE_MIN = 0.98
CLIENT = ["client.c", "client_http.c", "client_settings.c"]


def compile_client(scratch):
    """Our own client: the path of its binary."""
    binary = scratch / "client"
    compile_c(binary, CLIENT, "-lssl", "-lcrypto")
    return str(binary)


def run(core, command):
    """What a pinned command printed; an error when it failed."""
    done = subprocess.run([need("taskset"), "-c", str(core), *command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def seconds_of(number, unit):
    """A time with its unit."""
    return float(number) * {"us": 1e-6, "ms": 0.001, "s": 1, "m": 60}[unit]


def wrk(case, setting, given):
    """Requests and seconds of a closed loop by wrk."""
    header = ["-H", "Connection: close"] if case.is_new else []
    command = [need("wrk"), "-t1", f"-c{case.connections}", f"-d{given.seconds}s", *header]
    output = run(given.load_core, [*command, f"http://127.0.0.1:{setting.port}{case.target}"])
    found = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)\b", output)
    if found is None:
        raise LabError(f"cannot read the output of wrk:\n{output}")
    if re.search(r"Socket errors: connect (\d+)|Non-2xx or 3xx", output):
        raise LabError(f"{setting.name}, {case.name}: errors\n{output}")
    return int(found[1]), seconds_of(found[2], found[3])


def h2load(case, setting, given):
    """Requests and seconds of a closed loop by h2load."""
    scheme = "http" if case.way == "h2c" else "https"
    command = [need("h2load"), "-t1", f"-c{case.connections}", f"-m{case.streams}", f"-D{given.seconds}"]
    command += ["--h1"] if case.way == "h1s" else []
    output = run(given.load_core, [*command, f"{scheme}://127.0.0.1:{setting.port_of(case.way)}{case.target}"])
    ended = re.search(r"(?m)^requests: .*?(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
    took = re.search(r"(?m)^finished in ([\d.]+)(ms|us|s|m)\b", output)
    status = re.search(r"(?m)^status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", output)
    spoken = re.search(r"(?m)^Application protocol: (\S+)", output)
    if not (ended and took and status and spoken):
        raise LabError(f"cannot read the output of h2load:\n{output}")
    # The end of the run cuts some off, which counts as failed: the status is what tells.
    if sum(map(int, (*status.groups(), ended[3], ended[4]))):
        raise LabError(f"{setting.name}, {case.name}: errors\n{output}")
    if spoken[1] != {"h1s": "http/1.1", "h2": "h2", "h2c": "h2c"}[case.way]:
        raise LabError(f"h2load spoke {spoken[1]} with {setting.name}, {case.name}")
    return int(ended[1]), seconds_of(took[1], took[2])


def client_command(client, case, setting, **settings):
    """The client's command line for a case."""
    words = [f"{name}={value}" for name, value in settings.items()]
    if case.is_new:
        words += ["new=1", f"resume={int(case.is_resumed)}"]
    return [client, case.way, str(setting.port_of(case.way)), case.target, *words]


def closed(case, setting, given, client):
    """As many requests as the proxy answers: how many, in how many seconds."""
    if case.tool != "client":
        return {"wrk": wrk, "h2load": h2load}[case.tool](case, setting, given)
    command = client_command(client, case, setting, seconds=given.seconds, connections=case.connections)
    seen = json.loads(run(given.load_core, command))
    check_resumed(case, setting, seen)
    return seen["requests"], seen["seconds"]


def paced(case, setting, given, client, rate):
    """So many requests a second, whatever becomes of them: what the client prints."""
    # More places for requests at once than are needed, unless the proxy falls behind.
    places = {"streams": 100 if case.way in ("h2", "h2c") else 1}
    connections = case.connections if places["streams"] > 1 else max(case.connections, 256)
    places |= {"seconds": given.paced_seconds, "rate": rate, "connections": connections}
    command = client_command(client, case, setting, **places)
    seen = json.loads(run(given.load_core, command))
    check_resumed(case, setting, seen)
    return seen


def check_resumed(case, setting, seen):
    """An error when fewer handshakes were resumed than meant, or more."""
    share = seen["resumed"] / seen["requests"] if case.is_new else 0
    if share < RESUMED_SHARE_MIN if case.is_resumed else share > 0:
        raise LabError(f"{setting.name}, {case.name}: {share:.0%} of the handshakes were resumed")


@contextlib.contextmanager
def idle_connections(client, way, setting, count, core):
    """So many connections, each of which was used once, open until the end of the block."""
    command = [client, way, str(setting.port_of(way)), "/1k", f"connections={count}", f"requests={count}"]
    child = subprocess.Popen(
        [need("taskset"), "-c", str(core), *command, "at_once=8", "hold=1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        if not child.stdout.readline():
            raise LabError(f"{setting.name}, {count} connections: {child.stderr.read()}")
        yield
    finally:
        child.stdin.close()
        child.wait()
        child.stdout.close()
        child.stderr.close()
