"""What the load scripts share: their processes, ports, certificates, and the verdict.

Python 3 and its standard library, and the `openssl` command. Nothing here knows the tools or what is asked of the
proxy: `traffic.py` does.
"""

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 20
NAME = "vanne.test"
HERE = pathlib.Path(__file__).parent
# What `vanne run` is told besides its config.
RUN_OPTIONS = []

# What the scripts on pools ask of the process; pools and routes follow.
CONFIG = """\
[process]
workers = {workers}
drain_delay = "10ms"
drain_deadline = "5s"
watch_config = false
[admin]
socket = "admin.sock"
[log]
level = "warn"
[access_log]
to = "off"
[probe]
address = "127.0.0.1:{probe}"
[listener.http]
address = "127.0.0.1:{http}"
"""


class StageError(Exception):
    """Nothing can be said, because something could not start; the message says what."""


def free_ports(count):
    """Ports that the system has just given out, closed again: all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def lasting_ports(count):
    """Free ports that the system gives to nobody by itself: they stay free while their process is down."""
    found = []
    for port in random.sample(range(10_000, 32_000), 2_000):
        with contextlib.suppress(OSError), socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise StageError(f"there are no {count} free ports")


def need(command):
    """Path of a command; an error that names it when it is missing."""
    path = shutil.which(command)
    if path is None:
        raise StageError(f"`{command}` is missing: `make conformance` and `make verify` install it")
    return os.path.abspath(path)


@contextlib.contextmanager
def folder():
    """A temporary folder for configs, certificates and logs."""
    with tempfile.TemporaryDirectory(prefix="vanne-load-") as path:
        yield pathlib.Path(path)


@contextlib.contextmanager
def running(command, log, ports=()):
    """A process from when it listens on all of `ports` until the end of the block."""
    with open(log, "wb") as output:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        for port in ports:
            wait_for_port(child, port, log)
        yield child
    finally:
        stop(child)


def wait_for_port(child, port, log):
    """Until the port accepts; an error with the process's output when it ends or stays silent."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if child.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    said = pathlib.Path(log).read_text(errors="replace")[-2000:]
    raise StageError(f"`{child.args[0]}` does not listen on {port}:\n{said}")


def stop(child):
    """SIGTERM, then SIGKILL when it does not end in time."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
    try:
        child.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def openssl(*arguments):
    """Runs one `openssl` command; an error with what it said when it fails."""
    run = subprocess.run([need("openssl"), *map(str, arguments)], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise StageError(f"openssl {arguments[0]} failed:\n{run.stderr}")


def certificate(scratch):
    """An authority and a P-256 certificate by it for NAME, localhost and 127.0.0.1: `(ca, certificate, key)`.

    The certificate's file holds the key too. 80 days: within what strict scanners take.
    """
    names = ("ca.key", "ca.pem", "site.key", "site.csr", "site.crt", "site.pem", "site.ext")
    ca_key, ca, key, request, leaf, both, extensions = (scratch / name for name in names)
    for path in (ca_key, key):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)
    openssl("req", "-new", "-x509", "-key", ca_key, "-days", 90, "-subj", "/CN=Vanne load tests", "-out", ca)
    openssl("req", "-new", "-key", key, "-subj", f"/CN={NAME}", "-out", request)
    extensions.write_text(
        f"subjectAltName=DNS:{NAME},DNS:localhost,IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n"
        "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
    )
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-set_serial", f"0x{os.urandom(16).hex()}",
            "-days", 80, "-extfile", extensions, "-out", leaf)
    both.write_text(leaf.read_text() + ca.read_text() + key.read_text())
    return ca, both, key


@contextlib.contextmanager
def vanne(binary, config, scratch, ports, name="vanne"):
    """Vanne with this config, listening on `ports`. Its files of the config are found beside it, in `scratch`."""
    path = scratch / f"{name}.toml"
    path.write_text(config)
    with running([need(binary), "run", "-c", str(path), *RUN_OPTIONS], scratch / f"{name}.log", ports) as child:
        yield child
        if child.poll() is not None:
            said = (scratch / f"{name}.log").read_text(errors="replace")[-2000:]
            raise StageError(f"vanne ended with {child.returncode}:\n{said}")


@contextlib.contextmanager
def backend(binary, scratch):
    """One demo backend of Vanne's own, HTTP/1.1; yields its port."""
    (port,) = free_ports(1)
    command = [need(binary), "demo", "--backends-only", "--count", "1", "--base-port", str(port)]
    with running(command, scratch / "backend.log", [port]):
        yield port


def origins(ports, scratch, name="origin"):
    """One process of `origin.py` on these ports."""
    return running([sys.executable, str(HERE / "origin.py"), *map(str, ports)], scratch / f"{name}.log", ports)


def reload(binary, scratch, config, name="vanne"):
    """Has Vanne use this config; an error when it does not."""
    (scratch / f"{name}.toml").write_text(config)
    command = [need(binary), "reload", "--socket", str(scratch / "admin.sock"), "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    report = json.loads(run.stdout or "{}")
    if report.get("result") != "applied":
        raise StageError(f"the config was not applied:\n{run.stdout}{run.stderr}")


def rss_mib(child):
    """Resident memory of a process."""
    pages = int(pathlib.Path(f"/proc/{child.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def cpu_seconds(child):
    """CPU time of a process since it began, its system calls included."""
    fields = pathlib.Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Findings:
    """What was found, line by line: printed at once, and what is wrong is kept."""

    def __init__(self):
        self.wrong = []

    def note(self, is_met, text):
        """One line: met or not."""
        print(f"{'PASS' if is_met else 'FAIL'}  {text}", flush=True)
        if not is_met:
            self.wrong.append(text)


def arguments(doc):
    """A parser that knows what every script is told: where Vanne is."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vanne", default="target/release/vanne", help="path of the binary")
    parser.add_argument("--lane", action=Lane, help="the engine that it is told to use")
    return parser


class Lane(argparse.Action):
    """The engine: told to each process that `vanne` starts from then on."""

    def __call__(self, parser, namespace, lane, option_string=None):
        RUN_OPTIONS.extend(["--lane", lane])


def play(main, args):
    """Runs `main(args, scratch, findings)`; the exit code says whether all is met."""
    def whole():
        findings = Findings()
        with folder() as scratch:
            asyncio.run(main(args, scratch, findings))
        return findings.wrong

    verdict(whole)


def verdict(main):
    """Exit code 0 when `main` returns nothing wrong, 1 when it returns something or could not begin."""
    try:
        wrong = main()
    except StageError as error:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {error}")
    if wrong:
        sys.exit("not met:\n" + "\n".join(f"  {line}" for line in wrong))
    print("met")
