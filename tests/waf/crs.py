"""The Core Rule Set's regression tests as requests, as its reference runner sends them, and what they expect.

`python3 crs.py` prints every stage as a line of JSON for `oracle/`; so are the tests of `rules/`, which have the same
format. Rules and tests of the Core Rule Set are read from VANNE_CRS_DIR: a checkout, or its `rules` and `tests` folders.
Python 3.11 with PyYAML.
"""

import base64
import dataclasses
import json
import os
import pathlib
import re
import urllib.parse

import yaml

from corpus import latin

FORM = "application/x-www-form-urlencoded"
# The reference runner's expression as it is: anchors bind to the outer alternatives only.
HAS_BODY = re.compile(r"^POST|PUT|PATCH|DELETE$")
REPEAT = re.compile(r'\{\{\s*"([^"]*)"\s*\|\s*repeat\s+(\d+)\s*\}\}')
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class CrsError(Exception):
    """The Core Rule Set is not where it should be, or a test cannot be read."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """One request of a test."""

    id: str  # 942100-1, and 942100-1-2 for a test's second stage
    rule: int
    family: str  # REQUEST-942-APPLICATION-ATTACK-SQLI
    request: dict
    expected: tuple  # ids that must match
    forbidden: tuple  # ids that must not
    status: tuple  # statuses of which one is expected; empty: not judged
    wire: bytes  # what a client sends
    texts: tuple  # expressions, in the log of ModSecurity, and whether they must match there
    expects_error: bool  # there is no answer that could be read


def root():
    """The folder of the Core Rule Set."""
    found = os.environ.get("VANNE_CRS_DIR")
    if not found:
        raise CrsError("VANNE_CRS_DIR is not set: the folder of the Core Rule Set 4")
    return pathlib.Path(found)


def rules():
    """Each rule of the Core Rule Set by its id, as it is written, its chain included."""
    found = {}
    for path in sorted((root() / "rules").glob("*.conf")):
        for text in re.split(r"\n(?=Sec)", path.read_text()):
            rule = re.search(r"\bid:(\d+)", text)
            if rule:
                found[int(rule[1])] = text
    return found


# What its tests ask of the setup.
LIMITS = """
    SecAction "id:900005,phase:1,nolog,pass,ctl:ruleRemoveById=910000,setvar:tx.crs_validate_utf8_encoding=1,\
setvar:tx.arg_name_length=100,setvar:tx.arg_length=400,setvar:tx.total_arg_length=64000,setvar:tx.max_num_args=255,\
setvar:tx.max_file_size=64100,setvar:tx.combined_file_sizes=65535"
    """


def directives(paranoia, mode="On"):
    """Options of an engine that load the Core Rule Set; `DetectionOnly` as its own tests are run."""
    limits = LIMITS if mode == "DetectionOnly" else ""
    level = f'SecAction "id:900000,phase:1,nolog,pass,setvar:tx.blocking_paranoia_level={paranoia}"'
    folder = root()
    return [
        "-directive", f"{body_directives(mode)}",
        "-rules", str(folder / "crs-setup.conf.example"),
        "-directive", limits + level,
        "-directive", f"Include {folder}/rules/*.conf",
    ]


def body_directives(mode="On"):
    """What an engine is told besides rules: bodies are read, and how."""
    return f"""
    SecRuleEngine {mode}
    SecRequestBodyAccess On
    SecResponseBodyAccess On
    SecRequestBodyLimit 13107200
    SecResponseBodyMimeType text/plain text/html text/xml application/json
    SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\\+|/)|text/)xml" \
        "id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
    SecRule REQUEST_HEADERS:Content-Type "^application/(?:[a-z0-9.-]+[+])?json" \
        "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
    """


def query_escaped(text):
    """Go's `url.QueryEscape`."""
    return urllib.parse.quote_plus(text, safe="-_.~")


def form_escaped(data):
    """Data of a form as it is sent: keys and values are escaped when unescaping would change nothing."""
    if re.search(rb"%(?![0-9A-Fa-f]{2})", data) or urllib.parse.unquote_to_bytes(data.replace(b"+", b" ")) != data:
        return data
    pairs = [token.split(b"=", 1) for token in data.split(b"&")]
    # A last, empty token is lost, as in the reference runner.
    if pairs[-1] == [b""]:
        pairs.pop()
    return "&".join("=".join(map(query_escaped, pair)) for pair in pairs).encode()


def from_fields(given):
    """Request from a test's fields: method, URI, headers, data."""
    headers = [[name, str(value)] for name, value in (given.get("headers") or {}).items()]
    value_of = {name.lower(): value for name, value in headers}
    method = given.get("method", "GET")
    data = REPEAT.sub(lambda found: found[1] * int(found[2]), given.get("data") or "").encode()
    completes = given.get("autocomplete_headers", True)
    if data and completes:
        if "content-type" not in value_of:
            headers.append(["Content-Type", FORM])
            value_of["content-type"] = FORM
        if value_of["content-type"] == FORM:
            data = form_escaped(data)
    if value_of.get("content-type", "").startswith("multipart/form-data;"):
        data = data.replace(b"\n", b"\r\n")
    if completes:
        if not value_of.get("connection"):
            headers.append(["Connection", "close"])
        if (data or HAS_BODY.search(method)) and "content-length" not in value_of:
            headers.append(["Content-Length", str(len(data))])
    made = {
        "method": latin(method.encode()),
        "uri": latin(given.get("uri", "/").encode()),
        "version": given.get("version", "HTTP/1.1"),
        "headers": [[latin(name.encode()), latin(value.encode())] for name, value in headers],
    }
    if data:
        made["body"] = base64.b64encode(data).decode()
    return made


def dechunked(data):
    """A body without its chunks."""
    out = b""
    while data:
        size, _, data = data.partition(b"\n")
        length = int(size.strip().split(b";")[0], 16)
        if length == 0:
            break
        out += data[:length]
        data = data[length:].removeprefix(b"\r\n")
    return out


def on_the_wire(made):
    """Bytes of a request; its body as it is."""
    lines = [f"{made['method']} {made['uri']} {made['version']}", *(": ".join(header) for header in made["headers"]), "", ""]
    return "\r\n".join(lines).encode("latin-1") + base64.b64decode(made.get("body", ""))


def from_bytes(raw):
    """Request from its bytes on the wire."""
    head, _, body = raw.partition(b"\r\n\r\n")
    line, *rest = head.split(b"\r\n")
    method, uri, version = (line.split(b" ") + [b"", b""])[:3]
    headers = [[latin(part.strip()) for part in field.split(b":", 1)] for field in rest if b":" in field]
    if any(name.lower() == "transfer-encoding" and "chunked" in value for name, value in headers):
        body = dechunked(body)
    made = {"method": latin(method), "uri": latin(uri), "version": latin(version), "headers": headers}
    if body:
        made["body"] = base64.b64encode(body).decode()
    return made


def reflected(made):
    """What the reference backend answers: what `/reflect` asks for, otherwise 200 without a body."""
    if made["method"] != "POST" or not re.match(r"/reflect(/|\?|$)", made["uri"]):
        return None
    try:
        asked = json.loads(base64.b64decode(made.get("body", "")))
    except ValueError:
        return {"status": 400, "headers": [], "body": base64.b64encode(b"Invalid JSON in request body").decode()}
    body = asked["body"].encode() if asked.get("body") else base64.b64decode(asked.get("encodedBody") or "")
    headers = [[name, latin(value.encode())] for name, value in (asked.get("headers") or {}).items()]
    if body and not any(name.lower() == "content-type" for name, _ in headers):
        # The backend's library tells the type of a body by its first bytes; bodies of the tests are text.
        kind = "text/html" if re.match(rb"\s*<(!doctype html|html|head|script|iframe|h1|div|body|br|p|a|b|table)[\s>]", body, re.I) else "text/plain"
        headers.append(["Content-Type", f"{kind}; charset=utf-8"])
    headers.append(["Content-Length", str(len(body))])
    return {"status": asked.get("status") or 200, "headers": headers, "body": base64.b64encode(body).decode()}


def request(name, given):
    """A stage's input as a request with its answer."""
    encoded = given.get("encoded_request")
    made = {"id": name, **(from_bytes(base64.b64decode(encoded)) if encoded else from_fields(given))}
    answer = reflected(made)
    return made if answer is None else {**made, "response": answer}


def stages_of(path):
    """Stages of one file."""
    read = yaml.load(path.read_text(encoding="utf-8"), LOADER)
    for test in (read or {}).get("tests") or []:
        for number, stage in enumerate(test["stages"], 1):
            name = f"{read['rule_id']}-{test['test_id']}" + (f"-{number}" if number > 1 else "")
            output = stage.get("output") or {}
            log = output.get("log") or {}
            status = output.get("status", [])
            made, encoded = request(name, stage["input"]), stage["input"].get("encoded_request")
            texts = ((log.get("match_regex"), True), (log.get("no_match_regex"), False))
            yield Stage(
                id=name,
                rule=read["rule_id"],
                family=path.parent.name,
                request=made,
                expected=tuple(log.get("expect_ids") or ()),
                forbidden=tuple(log.get("no_expect_ids") or ()),
                status=tuple(status if isinstance(status, list) else [status]),
                wire=base64.b64decode(encoded) if encoded else on_the_wire(made),
                texts=tuple((text, is_wanted) for text, is_wanted in texts if text),
                expects_error=output.get("expect_error", False),
            )


def stages(folder=None):
    """All stages below a folder, in the order of paths; without one, those of the Core Rule Set."""
    if folder is None:
        folder = root() / "tests/regression/tests"
    paths = sorted(folder.glob("**/*.yaml"))
    if not paths:
        raise CrsError(f"there are no tests in {folder}")
    for path in paths:
        yield from stages_of(path)


if __name__ == "__main__":
    for one in stages():
        print(json.dumps(one.request))
