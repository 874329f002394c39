"""Engines that judge requests: Coraza, libmodsecurity and Vanne's own, each a process that reads lines and writes lines.

Built by `scripts/waf_tools.sh`, which puts `oracle` and `modsecurity` on the path; Vanne's is what `--ours` names: a
command that takes the options and lines of `oracle`.
Python 3.11 and its standard library.
"""

import base64
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess


class EngineError(Exception):
    """An engine is missing or ended early; the message says what it said."""


def found(command):
    """Path of a program."""
    path = shutil.which(command)
    if path is None:
        raise EngineError(f"`{command}` is missing: add the folders that scripts/waf_tools.sh prints to the path")
    return path


def encoded(text):
    """A field for libmodsecurity's program: the bytes of a Latin-1 text in base64."""
    return base64.b64encode(text.encode("latin-1")).decode() or "-"


def plain_line(request):
    """A request as libmodsecurity's program reads it."""
    response = request.get("response") or {"status": 200, "headers": []}
    version = request.get("version", "HTTP/1.1").removeprefix("HTTP/")
    fields = [
        encoded(request["id"]), encoded(request["method"]), encoded(request["uri"]), encoded(version),
        request.get("body") or "-", encoded(str(response["status"])), response.get("body") or "-",
        encoded(str(len(request["headers"]))),
    ]
    fields += [encoded(text) for header in request["headers"] + response["headers"] for text in header]
    return " ".join(fields)


def plain_answer(line):
    """An answer of libmodsecurity's program as one of `oracle`; it does not tell scores."""
    name, rule, status, ids = (line.split(" ") + [""])[:4]
    refused = {"id": int(rule), "status": int(status)} if int(status) else None
    return {
        "id": base64.b64decode(name).decode("latin-1"),
        "matched": [int(one) for one in ids.split(",") if one],
        "scores": {},
        "interruption": refused,
        "error": "",
    }


class Engine:
    """One engine with its rules."""

    def __init__(self, name, command, options):
        self.name = name
        self.is_plain = name == "modsecurity"
        self.command = [*command, *options]

    def lines(self, requests, options=()):
        """What it writes for these requests, a line each."""
        make = plain_line if self.is_plain else json.dumps
        text = "".join(make(request) + "\n" for request in requests)
        run = subprocess.run(
            [*self.command, *options], input=text, capture_output=True, text=True, check=False, encoding="utf-8"
        )
        answers = run.stdout.splitlines()
        if run.returncode != 0 or len(answers) != len(requests):
            raise EngineError(f"{self.name} answered {len(answers)} of {len(requests)}: {run.stderr[-2000:]}")
        return answers

    def judge(self, requests):
        """An answer for each request."""
        read = plain_answer if self.is_plain else json.loads
        return [read(line) for line in self.lines(requests)]

    def start_up(self, request):
        """Seconds of CPU until it has loaded its rules and answered this request, and MiB that it has in memory then."""
        make = plain_line if self.is_plain else json.dumps
        with subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
            process.stdin.write(make(request) + "\n")
            process.stdin.flush()
            if not process.stdout.readline():
                raise EngineError(f"{self.name} answered nothing")
            fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            process.stdin.close()
        ticks = int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK"), int(re.search(r"(?m)^VmRSS:\s+(\d+) kB", status)[1]) / 1024

    def cost(self, requests, rounds):
        """Microseconds of CPU that a transaction of each request costs."""
        lines = self.lines(requests, ["-bench", str(rounds)])
        return [float(line.split(" ")[1]) if self.is_plain else json.loads(line)["us"] for line in lines]


def coraza(options):
    return Engine("coraza", [found("oracle")], options)


def modsecurity(options):
    return Engine("modsecurity", [found("modsecurity")], options)


def ours(command, options):
    """Vanne's engine; `command` as a shell would read it."""
    return Engine("ours", shlex.split(os.path.expanduser(command)), options)
