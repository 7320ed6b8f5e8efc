"""This machine: what a reader must know about it, and what is set up on it for a while."""

import contextlib
import os
import pathlib
import subprocess
import sys

HUGETLB = pathlib.Path("/sys/fs/cgroup/hugetlb")


def isolate():
    """Starts this program again in a mount namespace of its own: what is mounted here stays here."""
    if os.environ.get("BERTH_BENCH_ISOLATED"):
        return
    os.environ["BERTH_BENCH_ISOLATED"] = "1"
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])


def first_line(path):
    try:
        return pathlib.Path(path).read_text().splitlines()[0]
    except (OSError, IndexError):
        return ""


def cgroup_layout():
    kinds = {line.split(" - ")[1].split()[0] for line in open("/proc/self/mountinfo")
             if " - cgroup" in line}
    return {("cgroup",): "v1", ("cgroup2",): "v2", ("cgroup", "cgroup2"): "hybrid"}.get(
        tuple(sorted(kinds)), "none")


def describe():
    """What the results depend on. Nothing that names the machine or the hour."""
    memory = int(first_line("/proc/meminfo").split()[1]) // 1024
    return {"kernel": ".".join(os.uname().release.split(".")[:2]), "cpus": os.cpu_count(), "memory_mib": memory,
            "cgroups": cgroup_layout(), "load_at_start": os.getloadavg()[0]}


def needs_hugetlb():
    """Whether the controller exists and is mounted nowhere: crun refuses a hybrid host without it."""
    if cgroup_layout() != "hybrid":
        return False
    rows = [line.split() for line in open("/proc/cgroups") if not line.startswith("#")]
    return any(r[0] == "hugetlb" and r[1] == "0" and r[3] == "1" for r in rows)


@contextlib.contextmanager
def tmpfs(path):
    """A tmpfs on path for a while. State directories belong on one, as /run is: on a disk, making and
    deleting small files would be measured as well."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", path], check=True)
    try:
        yield pathlib.Path(path)
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@contextlib.contextmanager
def hugetlb():
    """Mounts the v1 hugetlb controller while it is needed, and takes it away again."""
    if not needs_hugetlb():
        yield
        return
    made = not HUGETLB.exists()
    HUGETLB.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "cgroup", "-o", "hugetlb", "cgroup", HUGETLB], check=True)
    try:
        yield
    finally:
        # busy when somebody else has begun to use it: then it is theirs now
        gone = subprocess.run(["umount", HUGETLB], stderr=subprocess.DEVNULL).returncode == 0
        if gone and made:
            HUGETLB.rmdir()
