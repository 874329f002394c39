"""Instructions and allocations per request of all proxies, beside each other: `make bench ARGS=--instructions`."""

import callgrind
import load
from cases import CASES
from lab import folder, origins
from proxies import PROXIES
from proxies.setting import Ask


def compared(given):
    """A row for each case and proxy."""
    found = []
    with folder() as scratch, origins(scratch, given.load_core) as ports:
        client = load.compile_client(scratch)
        for case in (CASES[name] for name in given.cases):
            for name in given.proxies:
                setting = PROXIES[name](Ask(ports, scratch, given.vanne))
                out = scratch / "callgrind.out"
                cost = callgrind.per_request(setting, case.way, case.target, given, client, out)
                found.append({"case": case.name, "proxy": name, **vars(cost)})
    return found


def table(found):
    """The rows as a Markdown table."""
    lines = ["| case | proxy | instructions/req | allocations/req |", "|---|---|---|---|"]
    for row in found:
        figures = f"{row['instructions']:,.0f} | {max(0, row['allocations']):.2f}"
        lines.append(f"| {row['case']} | {row['proxy']} | {figures} |")
    lines.append("\nUser space only. A proxy takes memory from pools of its own, too, which are no allocations here.")
    return "\n".join(lines)
