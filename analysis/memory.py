"""How much memory a job may use."""

import os
import resource
from contextlib import suppress
from pathlib import Path

LEAST = 4 * 1024**2  # bytes that are used even where that is too much
PART = 8  # of what is left, one in so many


def affordable(most):
    """Bytes that may be used out of a limit of this process or of its job: at most `most`."""
    left = [most]
    with suppress(OSError, ValueError):
        words = Path("/proc/self/statm").read_text().split()
        virtual, resident = (int(words[n]) * os.sysconf("SC_PAGE_SIZE") for n in (0, 1))
        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            left.append((limit - virtual) // PART)
        for path in cgroup_limits():
            left.append((int(path.read_text()) - resident) // PART)
    return max(min(left), LEAST)


def cgroup_limits():
    """Files with the memory limits that the system sets for this process, if there are any."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, name = line.split(":", 2)
        kind = ("memory/", "limit_in_bytes") if "memory" in controllers else ("", "max")
        path = Path(f"/sys/fs/cgroup/{kind[0]}{name}/memory.{kind[1]}")
        if path.exists() and path.read_text().strip().isdecimal():
            yield path
