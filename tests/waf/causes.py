"""Why Vanne's engine and Coraza may see a request differently: the causes that are known, each with a test of it.

A cause says for which requests it may count, and what they look like without it. A difference has this cause if it is gone
then: nothing is put down to a cause without asking both engines again. README.md explains each.
Python 3.11 and its standard library.
"""

import base64
import dataclasses
import html
import json
import re
import xml.parsers.expat
from collections.abc import Callable

JSON = re.compile(r"application/([a-z0-9.-]+[+])?json")
XML = re.compile(r"(application/(soap\+)?|text/)xml")


@dataclasses.dataclass(frozen=True)
class Cause:
    """One of them."""

    name: str
    applies: Callable  # whether a request may be seen differently for this
    without: Callable  # the request without it


def body_of(request):
    return base64.b64decode(request.get("body", ""))


def type_of(request):
    """The first content type, in lower case."""
    return next((value.lower().strip() for name, value in request["headers"] if name.lower() == "content-type"), "")


def without_body(request):
    return {key: value for key, value in request.items() if key != "body"}


def is_broken_json(request):
    """Said to be JSON, and is none."""
    if not JSON.match(type_of(request)) or "body" not in request:
        return False
    try:
        json.loads(body_of(request), parse_constant=int)
    except ValueError:
        return True
    return False


def is_broken_xml(request):
    """Said to be XML, and is none."""
    if not XML.match(type_of(request)) or "body" not in request:
        return False
    try:
        xml.parsers.expat.ParserCreate().Parse(body_of(request), True)
    except xml.parsers.expat.ExpatError:
        return True
    return False


def is_broken_multipart(request):
    """Said to be multipart, and is not as clients write it."""
    kind = type_of(request)
    if not kind.startswith("multipart/") or "body" not in request:
        return False
    found = re.fullmatch(r'multipart/[a-z-]+; ?boundary=("?)([^";,\s]+)\1', kind)
    original = next(value for name, value in request["headers"] if name.lower() == "content-type").strip()
    if found is None:
        return True
    mark = b"--" + original[found.start(2) : found.end(2)].encode("latin-1")
    first, *parts = (b"\r\n" + body_of(request)).split(b"\r\n" + mark)
    last = parts.pop() if parts else b""
    field = rb"\r\n[A-Za-z-]+: [\x20-\x7e]*"
    part = re.compile(rb'\r\nContent-Disposition: form-data; name="[^"\\\x00-\x1f]*"(; filename="[^"\\\x00-\x1f]*")?(%s)*\r\n\r\n.*' % field, re.S)
    is_whole = first == b"" and last in (b"--", b"--\r\n") and parts != []
    return not is_whole or not all(part.fullmatch(one) for one in parts) or any(b"\n" + mark in one for one in parts)


def is_xml(request):
    """A body of XML."""
    return bool(XML.match(type_of(request))) and "body" in request


def path_of(request):
    return re.split("[?#]", request["uri"], maxsplit=1)[0]


# What Go's parser of URLs refuses in a path, or writes in another way.
ODD_IN_PATH = re.compile(r"[\\\x00-\x20\x7f\"<>^`{|}]|%(?![0-9a-fA-F]{2})")


# What it refuses anywhere.
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def with_plain_path(request):
    """The request with a target that Go's parser of URLs leaves as it is. Of CONNECT it is no path."""
    path = path_of(request)
    made = {**request, "uri": ODD_IN_PATH.sub("x", path) + CONTROL.sub("x", request["uri"][len(path) :])}
    return {**made, "uri": "/"} if request["method"] == "CONNECT" else made


def replaced(request, expression, by):
    """The request with other texts in its target, the values of its fields and its body."""
    made = {**request, "uri": expression.sub(by, request["uri"])}
    made["headers"] = [[name, expression.sub(by, value)] for name, value in request["headers"]]
    if "body" in request:
        body = expression.sub(by, body_of(request).decode("latin-1"))
        made["body"] = base64.b64encode(body.encode("latin-1")).decode()
    return made


# A character beyond ASCII, as a byte or in one of the ways in which it may be written. What a reference of HTML is made of
# may be written by its number, too.
AND, HASH, END = ("(?:%s|%%(?:25)*%x)" % (sign, ord(sign)) for sign in "&#;")
HIGH = re.compile(
    r"[\x80-\xff]|%(?:25)*([89a-f][0-9a-f])|(?:%u|\\u)([0-9a-f]{4})|\\x([89a-f][0-9a-f])"
    f"|{AND}{HASH}x([0-9a-f]+){END}?|{AND}{HASH}([0-9]+){END}?|{AND}([a-z]+){END}",
    re.I,
)


def plain(found):
    """What stands for it in plain ASCII; an escape of an ASCII character stays."""
    double, wide, short, hexadecimal, decimal, name = found.groups()
    if double or short:
        return "x"
    code = int(wide or hexadecimal or "0", 16) or int(decimal or "0")
    is_high = code > 127 or (name and not html.unescape(f"&{name};").isascii())
    return "x" if is_high or not any(found.groups()) else found[0]


def in_ascii(request):
    """The request in plain ASCII."""
    return replaced(request, HIGH, plain)


# A line feed or a vertical tab, as a byte or as it may be written.
BREAK = re.compile(r"[\n\x0b]|%(?:25)*0[ab]|(?:%u|\\u)000[ab]|\\x0[ab]|\\[nv]|&#x0*[ab];?|&#0*1[01];?", re.I)


def on_one_line(request):
    """The request without line feeds and vertical tabs; multipart needs them."""
    return request if type_of(request).startswith("multipart/") else replaced(request, BREAK, "+")


# An empty container, as the value of a member or an element.
EMPTY = re.compile(r"([:,\[]\s*)(?:\{\s*\}|\[\s*\])")


def with_full_containers(request):
    """The request with a number for each empty container of JSON."""
    if not JSON.match(type_of(request)) or "body" not in request:
        return request
    body = EMPTY.sub(r"\g<1>0", body_of(request).decode("latin-1"))
    return {**request, "body": base64.b64encode(body.encode("latin-1")).decode()}


def in_lower_case(request):
    """The request with all arguments in lower case."""
    made = {**request, "uri": request["uri"].lower()}
    if "body" in request:
        made["body"] = base64.b64encode(body_of(request).lower()).decode()
    return made


def with_one_argument(request):
    """The request with the last argument of its query and of its body only."""
    path, mark, query = request["uri"].partition("?")
    made = {**request, "uri": path + mark + query.rpartition("&")[2]}
    if "body" in request and type_of(request) == "application/x-www-form-urlencoded":
        made["body"] = base64.b64encode(body_of(request).rpartition(b"&")[2]).decode()
    return made


# The narrow ones first: a cause that takes the whole body away explains whatever was in it.
CAUSES = (
    Cause("path", lambda one: with_plain_path(one) != one, with_plain_path),
    Cause("line breaks", lambda one: on_one_line(one) != one, on_one_line),
    Cause("beyond ASCII", lambda one: in_ascii(one) != one, in_ascii),
    Cause("empty containers", lambda one: with_full_containers(one) != one, with_full_containers),
    Cause("letters of names", lambda one: in_lower_case(one) != one, in_lower_case),
    Cause("broken JSON", is_broken_json, without_body),
    Cause("broken XML", is_broken_xml, without_body),
    Cause("text of XML", is_xml, without_body),
    Cause("broken multipart", is_broken_multipart, without_body),
    Cause("order of arguments", lambda one: with_one_argument(one) != one, with_one_argument),
)


def without_any(request):
    """The request without all that may be a cause."""
    for cause in CAUSES:
        if cause.applies(request):
            request = cause.without(request)
    return request
