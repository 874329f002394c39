"""What a measurement needs: origins, pinned processes, the load generator, the CPU time of a process.

Python 3 and its standard library only. Nothing here knows the proxies (proxies.py) or what is measured (run.py).
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60


class LabError(Exception):
    """The measurement cannot be trusted, or could not start; the message says why."""


def free_ports(count):
    """Ports that the system has just given out, closed again: all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def need(command):
    """Path of a command; an error that names it when it is missing."""
    path = shutil.which(command)
    if path is None:
        raise LabError(f"`{command}` is missing: run `make bench`, which installs it")
    return path


def first_line(*command):
    """First line that a command prints: its version."""
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (run.stdout + run.stderr).splitlines()
    return lines[0].strip() if lines else "unknown"


class Process:
    """A child process, pinned to one core. As a context manager it is stopped at the end."""

    def __init__(self, command, core, log):
        self.log_path = pathlib.Path(log)
        with open(self.log_path, "wb") as output:
            # taskset replaces itself with the command: the pid is the command's own.
            self.child = subprocess.Popen(
                [need("taskset"), "-c", str(core), *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        """Process id."""
        return self.child.pid

    def log(self):
        """What it printed."""
        return self.log_path.read_text(errors="replace")

    def cpu_seconds(self):
        """User and system time of all its threads, dead ones too; children not."""
        stat = pathlib.Path(f"/proc/{self.pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    def rss_bytes(self):
        """Resident memory now."""
        pages = pathlib.Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def open_files(self):
        """Number of open descriptors."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def wait_for_port(self, port):
        """Until the port accepts; an error with the process's output when it ends or stays silent."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if self.child.poll() is not None:
                raise LabError(f"ended with {self.child.returncode} before it listened:\n{self.log()}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.02)
        raise LabError(f"did not listen on {port} in {START_SECONDS_MAX} s:\n{self.log()}")

    def stop(self):
        """SIGTERM, then SIGKILL when it does not end in time."""
        if self.child.poll() is not None:
            return
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


@contextlib.contextmanager
def folder():
    """A temporary folder for configs, logs and the origin's binary."""
    with tempfile.TemporaryDirectory(prefix="vanne-bench-") as path:
        yield pathlib.Path(path)


@contextlib.contextmanager
def origins(scratch, core, count=2):
    """Compiles and starts the origin; yields its ports."""
    binary = scratch / "origin"
    subprocess.run([need("cc"), "-O2", "-o", str(binary), str(HERE / "origin.c")], check=True)
    ports = free_ports(count)
    with Process([str(binary), *map(str, ports)], core, scratch / "origin.log") as process:
        for port in ports:
            process.wait_for_port(port)
        yield ports


def fetch(port, target, connection=None):
    """Body of one GET, over `connection` when given (and left open). An error unless the answer is a 200."""
    owned = connection is None
    connection = connection or socket.create_connection(("127.0.0.1", port), 30)
    try:
        connection.settimeout(30)
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: bench.example\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += receive(connection)
        head, _, body = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise LabError(f"GET {target} was answered with {head.splitlines()[0]!r}")
        found = re.search(rb"(?im)^content-length: *(\d+)", head)
        if found is None:
            raise LabError(f"GET {target} was answered without content-length")
        while len(body) < int(found[1]):
            body += receive(connection)
        return body
    finally:
        if owned:
            connection.close()


def receive(connection):
    """Some bytes; an error at the end of the stream."""
    data = connection.recv(65536)
    if not data:
        raise LabError("the connection was closed in the middle of an answer")
    return data


def certificate(scratch):
    """A self-signed certificate with its P-256 key in one file: the same for all who share the folder."""
    key, cert, pem = (scratch / name for name in ("key.pem", "cert.pem", "both.pem"))
    if pem.exists():
        return pem
    openssl = need("openssl")
    subprocess.run([openssl, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], check=True)
    subprocess.run(
        [openssl, "req", "-new", "-x509", "-key", key, "-days", "30", "-subj", "/CN=localhost", "-out", cert]
        + ["-addext", "subjectAltName=DNS:localhost"],
        check=True,
    )
    pem.write_text(cert.read_text() + key.read_text())
    return pem


class Load:
    """What wrk saw."""

    def __init__(self, output):
        found = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)\b", output)
        if found is None:
            raise LabError(f"cannot read the output of wrk:\n{output}")
        self.requests = int(found[1])
        self.seconds = float(found[2]) * {"ms": 0.001, "s": 1, "m": 60}[found[3]]
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
        refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
        self.errors = sum(map(int, errors.groups())) if errors else 0
        self.errors += int(refused[1]) if refused else 0


def load(port, target, core, seconds, connections=64, keep_alive=True):
    """Runs wrk with one thread for whole seconds."""
    header = [] if keep_alive else ["-H", "Connection: close"]
    command = [need("taskset"), "-c", str(core), need("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", *header]
    run = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{target}"], capture_output=True, text=True, check=False
    )
    if run.returncode != 0:
        raise LabError(f"wrk failed:\n{run.stdout}{run.stderr}")
    return Load(run.stdout)


class StreamLoad:
    """What h2load saw."""

    def __init__(self, output):
        ended = re.search(r"(?m)^requests: .*?(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
        took = re.search(r"(?m)^finished in ([\d.]+)(ms|us|s|m)\b", output)
        if ended is None or took is None:
            raise LabError(f"cannot read the output of h2load:\n{output}")
        self.requests = int(ended[1])
        # The end of the run cuts some off, which counts as failed: the status is what tells.
        refused = re.search(r"(?m)^status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", output)
        self.errors = int(ended[3]) + int(ended[4]) + (sum(map(int, refused.groups())) if refused else 1)
        self.seconds = float(took[1]) * {"us": 1e-6, "ms": 0.001, "s": 1, "m": 60}[took[2]]
        spoken = re.search(r"(?m)^Application protocol: (\S+)", output)
        self.protocol = spoken[1] if spoken else "unknown"


def stream_load(url, core, seconds, connections, streams, protocol):
    """Runs h2load with one thread for whole seconds: `streams` requests at once on each connection, by `protocol`."""
    command = [need("taskset"), "-c", str(core), need("h2load"), "-t1", f"-c{connections}", f"-m{streams}"]
    command += [f"-D{seconds}", *(["--h1"] if protocol == "http/1.1" else []), url]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise LabError(f"h2load failed:\n{run.stdout}{run.stderr}")
    seen = StreamLoad(run.stdout)
    # In plain text h2load calls HTTP/2 `h2c`.
    if seen.protocol not in (protocol, f"{protocol}c"):
        raise LabError(f"h2load spoke {seen.protocol} with {url}, {protocol} was meant")
    return seen
