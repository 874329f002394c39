"""The report of a run: tables with ratios to HAProxy, and where Vanne loses.

    python3 benches/peers/report.py bench-peers.json
"""

import json
import pathlib
import statistics
import sys

from quiet import SHARE_MAX

# Lines of the log for each request; those that a load tool cut off at its end have a line too.
LINES_SHARE_MIN = 0.99
REFERENCE = "haproxy"
OURS = "vanne"
# key: (what it is, unit, decimals, whether more is better)
METRICS = {
    "us_per_request": ("CPU per request", "µs", 1, False),
    "requests_per_second": ("requests a second", "/s", 0, True),
    "p50_us": ("p50 at the fixed rate", "µs", 0, False),
    "p99_us": ("p99 at the fixed rate", "µs", 0, False),
    "kib": ("memory of an idle connection", "KiB", 1, False),
}

HEAD = """\
# Vanne beside HAProxy, nginx and Envoy

Written by `make bench`, from one run; not edited. What is measured and how: `run.py`; the cases: `cases.py`; the whole
settings of each proxy: `proxies/`. One worker on one core; load and origins on another. CPU is that of the proxy's
whole process, from `/proc`: the figure to trust. `×` is the ratio to HAProxy in the same round: the median of the
rounds, and in brackets the least and the most. `haproxy` only adds X-Forwarded-For; `haproxy-even` does all the header
work that Vanne does. Where the core is not busy, the load was the limit: requests a second are then what the load
could do. p50 and p99 count from when a request was due, at a rate that is the same for all in a case.
Logs are each proxy's usual ones, to a file: HAProxy `option httplog` on standard output, nginx `combined`, Envoy its
default format (collected, written in blocks), Vanne one line of JSON.
"""


def ratios(rows, key):
    """`{(case, logs, proxy): (value, ratio, least, most)}`: medians over the rounds; no ratio without HAProxy."""
    values = {}
    for row in rows:
        values.setdefault((row["case"], row["logs"], row["proxy"]), {})[row["round"]] = row[key]
    found = {}
    for place, of_rounds in values.items():
        base = values.get((*place[:2], REFERENCE), {})
        each = [value / base[at] for at, value in of_rounds.items() if base.get(at, 0) > 0]
        median = statistics.median(of_rounds.values())
        found[place] = (median, statistics.median(each), min(each), max(each)) if each else (median, None, None, None)
    return found


def shown(figure, decimals):
    """A value and its ratio, for a table."""
    value, ratio, least, most = figure
    text = f"{value:,.{decimals}f}"
    if ratio is None:
        return f"{text} | –"
    return f"{text} | {ratio:.2f}" + (f" ({least:.2f}–{most:.2f})" if least < most else "")


def traffic_table(rows, logs):
    """The figures of the cases with or without logs."""
    rows = [row for row in rows if row["logs"] == logs]
    keys = ("us_per_request", "requests_per_second", "p50_us", "p99_us")
    by_key = {key: ratios(rows, key) for key in keys}
    lines = [
        "| case | proxy | CPU µs/req | × | core busy | req/s | × | fixed rate/s | p50 µs | × | p99 µs | × |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for place in by_key["p50_us"]:
        of_place = [row for row in rows if (row["case"], row["logs"], row["proxy"]) == place]
        busy = statistics.median(row["busy"] for row in of_place)
        cells = [shown(by_key[key][place], METRICS[key][2]) for key in keys]
        cells.insert(1, f"{busy:.0%}")
        cells.insert(3, f"{of_place[0]['rate']:,.0f}")
        lines.append(f"| {place[0]} | {place[2]} | {' | '.join(cells)} |")
    return lines


def memory_table(rows):
    """The figures of idle connections."""
    lines = ["| connections | proxy | KiB of PSS each | × |", "|---|---|---|---|"]
    for (case, _, proxy), figure in ratios(rows, "kib").items():
        lines.append(f"| {case} | {proxy} | {shown(figure, 1)} |")
    return lines


def losses(rows, key):
    """A sentence: where Vanne is worse than HAProxy in this, the worst first, and where it is not."""
    what, unit, decimals, is_more_better = METRICS[key]
    found = ratios(rows, key)
    worse, better, even = [], [], []
    for (case, logs, proxy), (value, ratio, least, most) in found.items():
        if proxy != OURS or ratio is None:
            continue
        base = found[case, logs, REFERENCE][0]
        name = f"{case} with logs" if logs == "on" else case
        text = f"{name} {ratio:.2f} × ({value:,.{decimals}f} {unit}, HAProxy {base:,.{decimals}f})"
        loss = 1 / ratio if is_more_better and ratio else ratio
        # Every round says the same, or nothing is said.
        sides = {(one < 1) == is_more_better for one in (least, most)}
        group = even if len(sides) > 1 else (worse if sides == {True} else better)
        group.append((loss, text, f"{name} ({ratio:.2f} ×)"))
    for group in (worse, better, even):
        group.sort(key=lambda one: one[0], reverse=True)
    total = len(worse) + len(better) + len(even)
    if not total:
        return None
    sentence = f"**{what[0].upper()}{what[1:]}:** worse than HAProxy in {len(worse)} of {total}"
    sentence += f": {'; '.join(text for _, text, _ in worse)}." if worse else "."
    if better:
        sentence += f" Better in {', '.join(short for _, _, short in reversed(better))}."
    if even:
        sentence += f" The rounds do not agree in {', '.join(short for _, _, short in even)}."
    return sentence


def best_of(rows):
    """A sentence: how many cases another proxy than HAProxy needs less CPU than Vanne in."""
    found = ratios(rows, "us_per_request")
    lines = []
    for proxy in dict.fromkeys(place[2] for place in found):
        if proxy in (OURS, REFERENCE):
            continue
        pairs = [(figure[0], found.get((*place[:2], OURS))) for place, figure in found.items() if place[2] == proxy]
        each = [ours[0] / theirs for theirs, ours in pairs if ours and theirs > 0]
        if each:
            lines.append(
                f"{proxy}: Vanne needs more CPU than it in {sum(one > 1 for one in each)} of {len(each)} cases "
                f"({min(each):.2f} to {max(each):.2f} ×, median {statistics.median(each):.2f})"
            )
    return f"**Beside the others:** {'; '.join(lines)}." if lines else None


def disturbance(result):
    """What is to be known before the figures are believed."""
    figures = result["figures"]
    shares = [row[key] for row in figures for key in ("others", "others_paced")]
    loud = sum(share > SHARE_MAX for share in shares)
    lines = [
        f"Other processes and the hypervisor took {result['others']:.1%} of a core during the run, and more than "
        f"{SHARE_MAX:.0%} during {loud} of {len(shares)} figures."
    ]
    if loud:
        lines[0] = f"**The run was disturbed.** {lines[0]} Repeat it on a quiet machine."
    late = [statistics.median(row[key] for row in figures) for key in ("late_p50_us", "late_p99_us")]
    lines.append(
        f"The client sent {late[0]:.0f} µs (median) and {late[1]:.0f} µs (p99) after requests were due; "
        "that is part of p50 and p99."
    )
    for name, share in result["line_shares"].items():
        if share < LINES_SHARE_MIN:
            lines.append(f"{name} logged {share:.2f} lines for each request: its figures with logs flatter it.")
    return lines


def markdown(result):
    """The whole report."""
    figures, idle = result["figures"], result["memory"]
    facts = [f"| {name} | {value} |" for name, value in result["facts"].items()]
    lines = [HEAD, "| | |", "|---|---|", *facts, "", *disturbance(result), ""]
    said = [losses(idle if key == "kib" else figures, key) for key in METRICS] + [best_of(figures)]
    if any(said):
        lines += ["## Where Vanne loses today", "", *(f"{text}\n" for text in said if text)]
    for logs in ("off", "on"):
        if any(row["logs"] == logs for row in figures):
            lines += [f"## Access logs {logs}", "", *traffic_table(figures, logs), ""]
    if idle:
        title = f"## {result['idle_connections']:,} idle connections, after one request each"
        lines += [title, "", *memory_table(idle), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown(json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))))
