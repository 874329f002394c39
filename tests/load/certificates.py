#!/usr/bin/env python3
"""Certificates under load: swaps that nobody notices, and clients that come back by ticket.

Clients connect anew all the while, each with a full handshake and one request. Meanwhile the certificate is replaced
100 times, by renaming, in place, and by swapping the link of a folder as Kubernetes does; now and then by one that
is broken, which must change nothing. Then a client comes back 1,000 times by its ticket to four workers.

Expected: no handshake fails, each new certificate is served within a second, 99 % are resumed. Exit code 1 if not.
"""

import os
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

import stage

CONFIG = """
[process]
workers = 4
[probe]
address = "127.0.0.1:{probe}"
[access_log]
to = "off"
[log]
level = "off"
[listener.https]
address = "127.0.0.1:{https}"
tls = {{ certificates = ["a.pem", "mount/tls.crt"], default_certificate = "a.pem" }}
[pool.none]
[[route]]
name = "all"
pool = "none"
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def sign(folder, name):
    """A self-signed certificate for `name`: certificate and key as PEM."""
    key, cert = folder / "new.key", folder / "new.crt"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], check=True)
    subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    subprocess.run(["openssl", "req", "-new", "-x509", "-key", key, "-days", "30", "-out", cert, *subject], check=True)
    return cert.read_text(), key.read_text()


def context():
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def ask(made, port, name, session=None):
    """One request on a connection of its own: the stream, closed."""
    with socket.create_connection(("127.0.0.1", port), 10) as raw:
        with made.wrap_socket(raw, server_hostname=name, session=session) as stream:
            stream.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            while stream.recv(4096):
                pass
            return stream.getpeercert(True), stream.session_reused, stream.session


class Load(threading.Thread):
    """Connects anew again and again until told to stop."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.done, self.failed, self.is_over = port, 0, [], False

    def run(self):
        made = context()
        while not self.is_over:
            try:
                ask(made, self.port, "a.example")
                self.done += 1
            except OSError as error:
                self.failed.append(repr(error))


def swap_in(folder, number, cert, key):
    """Puts a certificate where it belongs, in one of three ways: the name by which it is asked for."""
    if number % 3 == 0:
        (folder / "a.tmp").write_text(cert + key)
        os.rename(folder / "a.tmp", folder / "a.pem")
        return "a.example"
    if number % 3 == 1:
        (folder / "a.pem").write_text(cert + key)
        return "a.example"
    mount(folder, number, cert, key)
    return "k.example"


def mount(folder, number, cert, key):
    target = folder / "mount" / f"..{number}"
    target.mkdir(parents=True)
    (target / "tls.crt").write_text(cert)
    (target / "tls.key").write_text(key)
    link = folder / "mount" / "..new"
    link.symlink_to(f"..{number}")
    os.rename(link, folder / "mount" / "..data")


def serves(port, name, cert, within=5.0):
    """How long it takes until the certificate is served."""
    wanted, begin, made = ssl.PEM_cert_to_DER_cert(cert), time.monotonic(), context()
    while time.monotonic() < begin + within:
        if ask(made, port, name)[0] == wanted:
            return time.monotonic() - begin
        time.sleep(0.01)
    return None


def swaps(port, folder, count):
    slowest, ignored = 0.0, 0
    for number in range(count):
        name = "k.example" if number % 3 == 2 else "a.example"
        cert, key = sign(folder, name)
        swap_in(folder, number, cert, key)
        took = serves(port, name, cert)
        if took is None:
            return None, ignored
        slowest = max(slowest, took)
        if number % 12 == 3:
            # Half of a file, and a key that is another's, change nothing.
            other = sign(folder, name)
            broken = cert[: len(cert) // 2] if number % 24 == 3 else other[0] + key
            (folder / "a.pem").write_text(broken)
            time.sleep(0.7)
            ignored += ask(context(), port, name)[0] == ssl.PEM_cert_to_DER_cert(cert)
            (folder / "a.pem").write_text(cert + key)
    return slowest, ignored


def resumption(port, count):
    made = context()
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    session, resumed = ask(made, port, "a.example")[2], 0
    for _ in range(count):
        _, reused, session = ask(made, port, "a.example", session)
        resumed += reused
    return resumed


def main():
    parser = stage.arguments(__doc__)
    parser.add_argument("--swaps", type=int, default=100)
    parser.add_argument("--reconnects", type=int, default=1000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        cert, key = sign(folder, "a.example")
        (folder / "a.pem").write_text(cert + key)
        mount(folder, "first", *sign(folder, "k.example"))
        for file in ("tls.crt", "tls.key"):
            (folder / "mount" / file).symlink_to(f"..data/{file}")
        https, probe = free_port(), free_port()
        (folder / "vanne.toml").write_text(CONFIG.format(https=https, probe=probe))
        process = subprocess.Popen([os.path.abspath(given.vanne), "run", "-c", folder / "vanne.toml", *stage.RUN_OPTIONS])
        try:
            time.sleep(1)
            load = [Load(https) for _ in range(4)]
            for one in load:
                one.start()
            slowest, ignored = swaps(https, folder, given.swaps)
            for one in load:
                one.is_over = True
            for one in load:
                one.join()
            done, failed = sum(one.done for one in load), [why for one in load for why in one.failed]
            resumed = resumption(https, given.reconnects)
        finally:
            process.terminate()
            process.wait()
    print(f"{given.swaps} swaps under {done} handshakes: {len(failed)} failed, slowest {slowest} s")
    print(f"{ignored} broken ones changed nothing")
    print(f"{resumed} of {given.reconnects} resumed with four workers")
    for why in failed[:5]:
        print(why)
    is_met = not failed and slowest is not None and slowest < 1 and resumed >= 0.99 * given.reconnects
    return 0 if is_met and ignored == len(range(3, given.swaps, 12)) else 1


if __name__ == "__main__":
    sys.exit(main())
