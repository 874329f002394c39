"""Whether the machine was quiet: what other processes and the hypervisor took while something was measured."""

import os
import pathlib
import time

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
KERNEL_THREAD = 0x00200000
# Of one core. More than this, and a figure is called disturbed.
SHARE_MAX = 0.05


def processes():
    """`{pid: (parent, ticks)}` of all that are no kernel threads; ticks with those of children that have ended."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if not int(fields[6]) & KERNEL_THREAD:
            found[int(path.parent.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    return found


def stolen(cores):
    """Ticks that the hypervisor kept from these cores."""
    names = {f"cpu{core}" for core in cores}
    lines = map(str.split, pathlib.Path("/proc/stat").read_text().splitlines())
    return sum(int(line[8]) for line in lines if line and line[0] in names)


class Watch:
    """What others take from now on: processes that are neither this one nor its children."""

    def __init__(self, cores):
        self.cores = cores
        self.began, self.before, self.stolen = time.monotonic(), self.others(), stolen(cores)

    def others(self):
        """Ticks of all other processes."""
        own = os.getpid()
        return sum(ticks for pid, (parent, ticks) in processes().items() if own not in (pid, parent))

    def share(self):
        """Of one core, since the beginning."""
        ticks = max(0, self.others() - self.before) + stolen(self.cores) - self.stolen
        return ticks / TICKS_PER_SECOND / max(1e-9, time.monotonic() - self.began)
