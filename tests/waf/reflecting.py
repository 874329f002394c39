"""The backend of the Core Rule Set's tests: what `POST /reflect` asks for in JSON, and 200 without a body to all else.

Answers are those of `crs.reflected`. Python 3.11 and its standard library: good for some thousand requests a second.
"""

import asyncio
import base64

import crs
from corpus import latin

HEAD_BYTES_MAX = 1 << 20


async def body_of(reader, fields):
    """A request's body; its framing is what a proxy makes of it."""
    if "chunked" not in fields.get("transfer-encoding", ""):
        return await reader.readexactly(int(fields.get("content-length", 0)))
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readline()
    while await reader.readline() != b"\r\n":
        pass
    return body


def answer(method, target, body):
    """Bytes of the answer."""
    made = {"method": method, "uri": target, "body": base64.b64encode(body).decode()}
    told = crs.reflected(made) or {"status": 200, "headers": [], "body": ""}
    sent = base64.b64decode(told["body"])
    headers = [header for header in told["headers"] if header[0].lower() != "content-length"]
    headers.append(["Content-Length", str(len(sent))])
    lines = [f"HTTP/1.1 {told['status']} Told", *(": ".join(header) for header in headers), "", ""]
    if method == "HEAD":
        sent = b""
    return "\r\n".join(lines).encode("latin-1") + sent


async def connection(reader, writer):
    """Answers requests one after the other."""
    try:
        while True:
            head = latin(await reader.readuntil(b"\r\n\r\n"))
            line, *rest = head.rstrip("\r\n").split("\r\n")
            method, target, _ = line.split(" ")
            fields = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in rest)}
            writer.write(answer(method, target, await body_of(reader, fields)))
            await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        # The proxy is done with it, or all is over.
        pass
    finally:
        writer.close()


async def start():
    """Begins to listen; the server, and its port."""
    server = await asyncio.start_server(connection, "127.0.0.1", limit=HEAD_BYTES_MAX)
    return server, server.sockets[0].getsockname()[1]
