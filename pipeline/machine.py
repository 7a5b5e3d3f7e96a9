"""What this process may use of the machine: cores and memory."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

CGROUPS = {  # files with a limit of memory, below the root
    "": ("sys/fs/cgroup", "memory.max"),  # version 2
    "memory": ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),  # version 1
}


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory() -> int:
    """How many bytes of memory this process may use: all there are, or what its container may."""
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([installed, *limits()])


def limits(root: Path = Path("/")) -> Iterator[int]:
    """The limits, in bytes, of the control groups on Linux that this process belongs to.

    A group is limited by all groups above it, too. In a container, the path of a group may be the
    one outside of it, of which nothing but the last folder can be seen, as the topmost one.
    (The manual's page cgroups(7).)

    Args:
        root: of the file system.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # another system
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in CGROUPS.keys() & set(controllers.split(",")):
            folder, name = CGROUPS[controller]
            inside = PurePosixPath(path.strip("/"))
            for group in (inside, *inside.parents):
                limit = _limit(root / folder / group / name)
                if limit is not None:
                    yield limit


def _limit(path: Path) -> int | None:
    """The number in a file; None if there is no file, or it says max."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
