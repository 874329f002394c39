"""User-space instructions and allocations per request, counted by valgrind.

A proxy answers a fixed number of keep-alive requests for 1 KiB under valgrind, once few and once many; the
difference over the difference of the numbers is the cost of one, without start and stop. Counts hardly vary from run
to run, unlike times: a change of a percent is a change of the code.
"""

import re
import socket

from lab import LabError, Process, fetch, need

CONNECTIONS = 4
# Enough that pools, buffers and lazy parts are all there before the difference begins.
REQUESTS_FEW = 400

# Instructions, with the tool that counts them.
CALLGRIND = ["--tool=callgrind", "--callgrind-out-file=/dev/null"]
# Allocations; what else memcheck would look for is off.
MEMCHECK = ["--tool=memcheck", "--leak-check=no", "--undef-value-errors=no"]


def answer(port, requests):
    """Requests over a few connections in turn, one at a time."""
    connections = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(CONNECTIONS)]
    for at in range(requests):
        fetch(port, "/1k", connections[at % CONNECTIONS])
    for connection in connections:
        connection.close()


def log_of(setting, tool, requests, given, scratch):
    """What valgrind printed about one run."""
    command = [need("valgrind"), *tool, *setting.command]
    with Process(command, given.proxy_core, scratch / "valgrind.log") as process:
        process.wait_for_port(setting.port)
        answer(setting.port, requests)
        process.stop()
        return process.log()


def number(text, pattern):
    """The number that the pattern's group finds; thousands may be marked by commas."""
    found = re.search(pattern, text)
    if found is None:
        raise LabError(f"no {pattern!r} in the output of valgrind:\n{text[-2000:]}")
    return int(found[1].replace(",", ""))


def per_request(setting, tool, patterns, given, scratch):
    """For each pattern, the difference of its number between many and few requests, over the difference."""
    few = log_of(setting, tool, REQUESTS_FEW, given, scratch)
    many = log_of(setting, tool, REQUESTS_FEW + given.requests, given, scratch)
    return [(number(many, pattern) - number(few, pattern)) / given.requests for pattern in patterns]


def rows(settings, given, scratch):
    """A row for each proxy."""
    found = []
    for setting in settings:
        (instructions,) = per_request(setting, CALLGRIND, [r"Collected : (\d+)"], given, scratch)
        heap = [r"total heap usage: ([\d,]+) allocs", r"frees, ([\d,]+) bytes allocated"]
        allocations, allocated = per_request(setting, MEMCHECK, heap, given, scratch)
        found.append(
            {
                "proxy": setting.name,
                "instructions_per_request": instructions,
                "allocations_per_request": allocations,
                "allocated_bytes_per_request": allocated,
            }
        )
    return found


def table(found):
    """The rows as a Markdown table."""
    lines = ["| proxy | instructions/req | allocations/req | bytes allocated/req |", "|---|---|---|---|"]
    for row in found:
        figures = [f"{row['instructions_per_request']:,.0f}", f"{row['allocations_per_request']:.2f}"]
        lines.append(f"| {row['proxy']} | {' | '.join(figures)} | {row['allocated_bytes_per_request']:,.0f} |")
    lines.append("\nA proxy with its own allocator (plain `vanne`: jemalloc) shows no allocations to valgrind:")
    lines.append("read those of `vanne-system-allocator`.")
    return "\n".join(lines)
