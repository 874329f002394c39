"""The attacks and benign requests of this folder as requests: one dictionary each, as `oracle/` reads them.

`README.md` says what a case may hold; `filters/tests/corpus.rs` reads the same files in Rust.
Python 3.11 and its standard library.
"""

import base64
import json
import pathlib
import tomllib

HERE = pathlib.Path(__file__).parent
BODIES = ("form", "json", "xml", "parts", "body", "base64")
KEYS = {"id", "why", "from", "method", "target", "query", "headers", "values", *BODIES}
PART_KEYS = {"name", "file", "type", "body", "base64"}
BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
# What a browser's form leaves as it is, besides letters and digits.
FORM_SAFE = "*-._"


class CorpusError(Exception):
    """A case that cannot be read; the message names it."""


def latin(data):
    """Bytes as text, one character each: what JSON can carry."""
    return data.decode("latin-1")


def form_encoded(text):
    """`application/x-www-form-urlencoded`, as browsers do it."""
    out = []
    for byte in text.encode():
        char = chr(byte)
        if char == " ":
            out.append("+")
        elif char.isascii() and (char.isalnum() or char in FORM_SAFE):
            out.append(char)
        else:
            out.append(f"%{byte:02X}")
    return "".join(out)


def pairs(found, value):
    """Names and values of a form or query, encoded."""
    return "&".join(f"{form_encoded(name)}={form_encoded(text.replace('{}', value))}" for name, text in found)


def multipart(parts, value):
    """A body of `multipart/form-data`."""
    out = bytearray()
    for part in parts:
        if not part.keys() <= PART_KEYS:
            raise CorpusError(f"a part has keys besides {sorted(PART_KEYS)}")
        out += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{part["name"]}"'.encode()
        if "file" in part:
            out += f'; filename="{part["file"]}"'.encode()
        if "type" in part:
            out += f"\r\nContent-Type: {part['type']}".encode()
        out += b"\r\n\r\n"
        out += base64.b64decode(part["base64"]) if "base64" in part else part["body"].replace("{}", value).encode()
        out += b"\r\n"
    return bytes(out) + f"--{BOUNDARY}--\r\n".encode()


def body_of(case, value):
    """The body and its content type; None for what is not there."""
    match [key for key in BODIES if key in case]:
        case []:
            return None, None
        case ["form"]:
            return pairs(case["form"], value).encode(), "application/x-www-form-urlencoded"
        case ["json"]:
            inside = json.dumps(value, ensure_ascii=False)[1:-1]
            return case["json"].replace("{}", inside).encode(), "application/json"
        case ["xml"]:
            return case["xml"].replace("{}", value).encode(), "application/xml"
        case ["parts"]:
            return multipart(case["parts"], value), f"multipart/form-data; boundary={BOUNDARY}"
        case ["body"]:
            return case["body"].replace("{}", value).encode(), None
        case ["base64"]:
            return base64.b64decode(case["base64"]), None
        case several:
            raise CorpusError(f"{case['id']}: {several}, at most one body")


def headers_of(case, clients, value, body, body_type):
    """Headers in their order: those of the client, with those of the case in place of or after them."""
    own = [(name, text.replace("{}", value)) for name, text in case.get("headers", [])]
    replaced = {name.lower() for name, _ in own}
    found = [] if "host" in replaced else [("Host", "www.example.com")]
    found += [(name, text) for name, text in clients[case.get("from", "attacker")] if name.lower() not in replaced]
    found += [(name, text) for name, text in own if text]
    if body_type is not None and "content-type" not in replaced:
        found.append(("Content-Type", body_type))
    if body is not None:
        found.append(("Content-Length", str(len(body))))
    return [[name, latin(text.encode())] for name, text in found]


def request(case, clients, name, value):
    """One case with one value as a request."""
    if not case.keys() <= KEYS:
        raise CorpusError(f"{name}: has keys besides {sorted(KEYS)}")
    body, body_type = body_of(case, value)
    target = case.get("target", "/").replace("{}", value)
    if "query" in case:
        target += "?" + pairs(case["query"], value)
    made = {
        "id": name,
        "method": case.get("method", "GET" if body is None else "POST").replace("{}", value),
        "uri": latin(target.encode()),
        "version": "HTTP/1.1",
        "headers": headers_of(case, clients, value, body, body_type),
    }
    if body is not None:
        made["body"] = base64.b64encode(body).decode()
    return made


def requests(kind):
    """All cases of `attacks` or `benign`, each as (class, request); a case with values once for each."""
    clients = {name: found["headers"] for name, found in tomllib.loads((HERE / "clients.toml").read_text()).items()}
    for path in sorted((HERE / kind).glob("*.toml")):
        read = tomllib.loads(path.read_text())
        for case in read["case"]:
            values = case.get("values")
            # Without values, `{}` is nothing special.
            named = [(case["id"], "{}")] if values is None else [
                (f"{case['id']}-{number}", value) for number, value in enumerate(values, 1)
            ]
            for name, value in named:
                yield read["class"], request(case, clients, name, value)


if __name__ == "__main__":
    import sys

    for wanted in sys.argv[1:] or ("attacks", "benign"):
        for _, one in requests(wanted):
            print(json.dumps(one))
