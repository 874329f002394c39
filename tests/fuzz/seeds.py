#!/usr/bin/env python3
"""Writes the messages of the wire corpus (tests/wire) as what the fuzz targets `wire` and `wire_hyper` begin with.

A file for each message, and for what follows its head: chunks begin there. The notation is the one of
tests/wire/README.md.
"""

import hashlib
import pathlib
import re
import tomllib

FUZZ = pathlib.Path(__file__).resolve().parent
TARGETS = ("wire", "wire_hyper")
ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}
# A repetition, the mark of a case, an escape, or a line break of the file.
NOTATION = re.compile(r"\{([^{}]*)\*(\d+)\}|(\{id\})|\\x([0-9a-fA-F]{2})|\\([rnt0\\])|(\n)")
BYTES_MAX = 4096


def message(text: str) -> bytes:
    """The bytes that `text` stands for."""
    out, at = b"", 0
    for found in NOTATION.finditer(text):
        out += text[at : found.start()].encode()
        at = found.end()
        what, count, mark, number, escape, _ = found.groups()
        if count:
            out += message(what) * int(count)
        elif mark:
            out += b"w1q"
        elif number:
            out += bytes([int(number, 16)])
        elif escape:
            out += ESCAPES[escape]
    return out + text[at:].encode()


def main() -> None:
    messages = set()
    for path in sorted((FUZZ.parent / "wire").glob("*/*.toml")):
        for case in tomllib.loads(path.read_text())["case"]:
            for key in ("send", "answer"):
                whole = message(case.get(key, ""))
                messages |= {whole, whole.partition(b"\r\n\r\n")[2]}
    for target in TARGETS:
        folder = FUZZ / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        for one in messages:
            if 0 < len(one) <= BYTES_MAX:
                (folder / hashlib.sha1(one).hexdigest()).write_bytes(one)
    print(f"{len(messages)} messages")


main()
