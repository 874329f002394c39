#!/usr/bin/env python3
"""What HAProxy needs where a pool follows pods: from the change to the first request that the new backend gets.

Beside `latency.py`, and without a cluster: what tells HAProxy of a change is a name server, as for a headless Service, or
somebody who writes its config anew and reloads it, as an ingress controller does. The time that these need to hear of
the change themselves is not in the figures. A client asks on a new connection every few milliseconds.

  dns     server-template with resolvers as they are by default, which ask every second
  reload  master and worker; from the signal, with the config written before

Says percentiles; nothing is judged.
"""

import argparse
import asyncio
import contextlib
import pathlib
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "load"))
import stage  # noqa: E402

ADDRESSES = [f"127.0.1.{number}" for number in range(1, 9)]
EVERY_SECONDS = 0.005
PATIENCE_SECONDS = 30

GLOBAL = """\
global
    nbthread 2
defaults
    mode http
    timeout client 10s
    timeout connect 1s
    timeout server 5s
frontend http
    bind 127.0.0.1:{http}
    default_backend web
"""
DNS = """\
resolvers lab
    nameserver one 127.0.0.1:{dns}
backend web
    server-template web 4 web.test:{port} resolvers lab init-addr none resolve-prefer ipv4
"""
FIXED = """\
backend web
    server web {address}:{port}
"""


class Names(asyncio.DatagramProtocol):
    """A name server that says one address to each question for one (type A)."""

    def __init__(self):
        self.address, self.transport = ADDRESSES[0], None

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        end = data.index(b"\0", 12) + 5
        question, kind = data[12:end], struct.unpack("!H", data[end - 4:end - 2])[0]
        answer = b""
        if kind == 1:
            number = bytes(int(part) for part in self.address.split("."))
            answer = struct.pack("!HHHIH", 0xC00C, 1, 1, 1, 4) + number
        head = data[:2] + struct.pack("!HHHHH", 0x8580, 1, bool(answer), 0, 0)
        self.transport.sendto(head + question + answer, addr)


async def serve(reader, writer):
    """A pod: says on which address it was asked."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        while await reader.readuntil(b"\r\n\r\n"):
            body = writer.get_extra_info("sockname")[0].encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
    writer.close()


async def ask(http):
    """The address of the pod that a request got to; nothing if it failed."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", http)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        text = await reader.read()
        writer.close()
    except OSError:
        return ""
    return text.rpartition(b"\r\n\r\n")[2].decode() if b" 200 " in text[:16] else ""


async def until(http, address):
    """Asks until this pod answers."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await ask(http) != address:
            await asyncio.sleep(EVERY_SECONDS)


async def case(name, config, change, http, changes, scratch):
    """HAProxy with this config, and what so many changes take."""
    path = scratch / "haproxy.cfg"
    path.write_text(config)
    child = subprocess.Popen([stage.need("haproxy"), "-W", "-db", "-f", str(path)], stderr=subprocess.DEVNULL)
    times = []
    try:
        await until(http, ADDRESSES[0])
        for number in range(1, changes + 1):
            # At any moment of the interval between two questions.
            await asyncio.sleep(0.05 + number * 0.37 % 1)
            address = ADDRESSES[number % len(ADDRESSES)]
            began = time.perf_counter()
            change(address, path, child)
            await until(http, address)
            times.append(time.perf_counter() - began)
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait()
    times.sort()
    middle, most = statistics.median(times) * 1e3, times[-1] * 1e3
    print(f"{name:<7} {changes} changes: p50 {middle:.0f} ms, most {most:.0f} ms", flush=True)


async def main(args):
    """All ways."""
    print(subprocess.run([stage.need("haproxy"), "-v"], capture_output=True, text=True, check=True).stdout.split("\n")[0])
    http, port, dns = stage.free_ports(3)
    names = Names()
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: names, local_addr=("127.0.0.1", dns))
    for address in ADDRESSES:
        await asyncio.start_server(serve, address, port)
    head = GLOBAL.format(http=http)

    def by_name(address, _path, _child):
        names.address = address

    def by_reload(address, path, child):
        path.write_text(head + FIXED.format(address=address, port=port))
        child.send_signal(signal.SIGUSR2)

    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        await case("dns", head + DNS.format(dns=dns, port=port), by_name, http, args.changes, scratch)
        await case("reload", head + FIXED.format(address=ADDRESSES[0], port=port), by_reload, http, args.changes, scratch)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=40, help="of each way (default: 40)")
    asyncio.run(main(parser.parse_args()))
