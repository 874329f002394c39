"""User-space instructions and allocations per request of a proxy, counted by valgrind's callgrind.

A proxy answers a fixed number of requests over four kept connections, one at a time, once few and once many; the
difference over the difference of the numbers is the cost of one, without start and stop. Counts hardly vary from run
to run, unlike times: what is left are a few timers, which run by the clock. Valgrind shows every program the same
processor (with AVX2 if the machine has it), so code that is chosen by its abilities is the same everywhere.
"""

import dataclasses
import json
import re

from lab import LabError, Process, need
from load import run

CONNECTIONS = 4
# Enough that pools, buffers and lazy parts are all there before the difference begins.
REQUESTS_FEW = 400
# jemalloc tidies up by the clock: under valgrind, and on a busy machine, that is more often for each request.
NO_TIDYING = "_RJEM_MALLOC_CONF=dirty_decay_ms:-1,muzzy_decay_ms:-1,experimental_tcache_gc:false"
# The C library's functions, and jemalloc's under the names that Rust's crate gives them.
ALLOCATING = re.compile(r"(_rjem_)?(malloc|mallocx|calloc|realloc|rallocx|memalign|posix_memalign|aligned_alloc)$")


@dataclasses.dataclass
class Counts:
    """Of one request."""

    instructions: float
    allocations: float


def calls(path):
    """`{function: how often it was called}` of a file that callgrind wrote: names are said once, then by number."""
    names, found, called = {}, {}, None
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("calls="):
                found[called] = found.get(called, 0) + int(line[6:].split()[0])
                continue
            named = re.match(r"(c?)fn=\((\d+)\)(?: (.*))?$", line)
            if named and named[3]:
                names[named[2]] = named[3]
            if named and named[1]:
                called = names[named[2]]
    return found


def counted(setting, way, target, requests, given, client, out):
    """`(instructions, allocations)` of a whole life with so many requests."""
    tool = [need("env"), NO_TIDYING, need("valgrind"), "--tool=callgrind", f"--callgrind-out-file={out}"]
    said, printed = out.with_suffix(".log"), out.with_suffix(".txt")
    with Process([*tool, *setting.command], given.proxy_core, said, printed) as process:
        process.wait_for_port(setting.port_of(way))
        words = [f"connections={CONNECTIONS}", "at_once=1", f"requests={requests}"]
        seen = json.loads(run(given.load_core, [client, way, str(setting.port_of(way)), target, *words]))
        process.stop()
        total = re.search(r"Collected : (\d+)", process.log())
    if total is None or seen["requests"] != requests:
        raise LabError(f"{setting.name} under valgrind: {seen}:\n{process.log()[-2000:]}")
    return int(total[1]), sum(number for name, number in calls(out).items() if ALLOCATING.match(name))


def per_request(setting, way, target, given, client, out):
    """What one request costs. The file of the longer life stays at `out`, for `callgrind_annotate`."""
    few = counted(setting, way, target, REQUESTS_FEW, given, client, out)
    many = counted(setting, way, target, REQUESTS_FEW + given.requests, given, client, out)
    return Counts(*((after - before) / given.requests for before, after in zip(few, many)))
