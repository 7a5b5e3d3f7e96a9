"""A container's limit of memory, in made-up trees of control groups, and in one of our own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import machine
from tests.support import REPOSITORY

GB, MB = 1 << 30, 1 << 20


def tree(root: Path, groups: str, **limits: str) -> Path:
    """A root with /proc/self/cgroup, and limits by the paths of their files in /sys/fs/cgroup."""
    for path, content in {
        "proc/self/cgroup": groups,
        **{f"sys/fs/cgroup/{name}": f"{limit}\n" for name, limit in limits.items()},
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    return root


def test_version_2_with_the_groups_above(tmp_path: Path) -> None:
    limits = {"memory.max": "max", "a/memory.max": str(GB), "a/b/memory.max": str(2 * GB)}
    root = tree(tmp_path, "0::/a/b\n", **limits)
    assert sorted(machine.limits(root)) == [GB, 2 * GB]


def test_version_1(tmp_path: Path) -> None:
    groups = "7:cpu,cpuacct:/a\n4:memory:/a\n0::/\n"
    limits = {
        "memory/memory.limit_in_bytes": "9223372036854771712",  # for none
        "memory/a/memory.limit_in_bytes": str(GB),
        "cpu/a/memory.limit_in_bytes": "1",
    }
    root = tree(tmp_path, groups, **limits)
    assert sorted(machine.limits(root)) == [GB, 9223372036854771712]


@pytest.mark.parametrize(
    ("groups", "name"),
    [
        ("0::/\n", "memory.max"),
        ("0::/../../other\n", "memory.max"),
        ("4:memory:/docker/0123\n", "memory/memory.limit_in_bytes"),
        ("4:memory:/a: b\n", "memory/memory.limit_in_bytes"),
    ],
)
def test_in_a_container_the_own_group_is_at_the_top(groups: str, name: str, tmp_path: Path) -> None:
    assert list(machine.limits(tree(tmp_path, groups, **{name: str(GB)}))) == [GB]


def test_no_control_groups(tmp_path: Path) -> None:
    assert list(machine.limits(tmp_path)) == []
    assert machine.memory() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group below ours, limited to 512 MiB, where we may make one."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    own = {controller: path for _, names, path in lines for controller in names.split(",")}
    folder, name = machine.CGROUPS["memory" if "memory" in own else ""]
    path = Path("/", folder, own.get("memory", own.get("", "")).strip("/"), f"test-{os.getpid()}")
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        (path / name).write_text(str(512 * MB))
        yield path
    except OSError as error:
        pytest.skip(f"the control group cannot be limited: {error}")
    finally:
        path.rmdir()


def test_a_real_group(group: Path) -> None:
    program = (
        "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid()))\n"
        "from pipeline import machine; print(machine.memory())"
    )
    command = (sys.executable, "-c", program, str(group / "cgroup.procs"))
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert int(result.stdout) == 512 * MB
