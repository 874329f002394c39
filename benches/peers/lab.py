"""What a measurement needs: origins, pinned processes, the CPU time and the memory of a process.

Python 3 and its standard library only. Nothing here knows the proxies (proxies/) or what is measured (run.py).
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
    """First line with something in it that a command prints: its version."""
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (run.stdout + run.stderr).strip().splitlines()
    return lines[0].strip() if lines else "unknown"


class Process:
    """A child process, pinned to one core. As a context manager it is stopped at the end.

    What it prints goes to `log`; what it prints on standard output to `output`, if that is given, which is appended to.
    """

    def __init__(self, command, core, log, output=None):
        self.log_path = pathlib.Path(log)
        with open(self.log_path, "wb") as errors, open(output or os.devnull, "ab") as printed:
            # taskset replaces itself with the command: the pid is the command's own.
            self.child = subprocess.Popen(
                [need("taskset"), "-c", str(core), *command],
                stdin=subprocess.DEVNULL,
                stdout=printed if output else errors,
                stderr=errors,
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

    def pss_kib(self):
        """Memory now, shared pages in proportion."""
        text = pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return int(re.search(r"(?m)^Pss: *(\d+) kB", text)[1])

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


def compile_c(binary, sources, *libraries):
    """Compiles files of this folder."""
    paths = [str(HERE / source) for source in sources]
    subprocess.run([need("cc"), "-O2", "-o", str(binary), *paths, *libraries], check=True)


@contextlib.contextmanager
def origins(scratch, core, count=2):
    """Compiles and starts the origin; yields its ports."""
    binary = scratch / "origin"
    compile_c(binary, ["origin.c"])
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
