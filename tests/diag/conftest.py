"""Fixtures of the tests of `berth look`."""

import os
import shutil
import subprocess

import lookkit
import pytest


@pytest.fixture(scope="session", autouse=True)
def program():
    if not os.access(lookkit.BERTH, os.X_OK):
        pytest.fail(f"no program at {lookkit.BERTH}: build it, or set BERTH")


@pytest.fixture(scope="session")
def rootfs():
    base = lookkit.temporary()
    base.chmod(0o755)
    yield lookkit.make_rootfs(base / "rootfs")
    shutil.rmtree(base)


@pytest.fixture
def bare():
    """bare(args...): a process, ended after the test."""
    started = []

    def start(*args, **kwargs):
        started.append(lookkit.Bare(*args, **kwargs))
        return started[-1]
    yield start
    for process in started:
        process.stop()


def usable(runtime):
    if os.geteuid() != 0:
        pytest.skip("containers with real limits need root")
    if not shutil.which(runtime):
        pytest.skip(f"needs the program {runtime}")
    if os.path.basename(runtime) == "crun" and os.path.ismount("/sys/fs/cgroup/memory"):
        # It refuses a hybrid layout that leaves hugetlb to v2.
        os.makedirs("/sys/fs/cgroup/hugetlb", exist_ok=True)
        subprocess.run("grep -qw hugetlb /proc/self/cgroup ||"
                       " mount -t cgroup -o hugetlb cgroup /sys/fs/cgroup/hugetlb", shell=True, check=True)


@pytest.fixture
def oci(rootfs, tmp_path):
    """oci(runtime, change): a running container; change(config) edits its config.json."""
    made = []
    parent = f"/berth-look-{os.getpid()}"

    def start(runtime, change=None, prepare=None, container=None):
        usable(runtime)
        bundle = tmp_path / f"bundle{len(made)}"
        bundle.mkdir()
        cgroup = f"{parent}/c{len(made)}"
        container = lookkit.Oci(runtime, bundle, rootfs, cgroup, change, container)
        made.append(container)
        if prepare:
            prepare(parent)
        return container.start()
    yield start
    for container in made:
        container.remove()
    lookkit.remove_cgroup(parent)
