"""Fixtures of the OCI runtime's tests; kit.py has what they hand out."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import kit
import pytest

PARENT = f"/berth-test-{os.getpid()}"


def pytest_configure(config):
    config.addinivalue_line("markers", "lacks(*peers, why): these other runtimes are known not to do this")
    config.addinivalue_line("markers", "fast: part of the one-minute subset")


def pytest_collection_modifyitems(items):
    for item in items:
        for mark in item.iter_markers("lacks"):
            if kit.PEER in mark.args:
                item.add_marker(pytest.mark.xfail(reason=mark.kwargs["why"], strict=False))


@pytest.fixture(scope="session")
def base():
    if os.geteuid() != 0:
        pytest.skip("containers with real limits need root")
    if not shutil.which(kit.BINARY):
        pytest.fail(f"no runtime at {kit.BINARY}: build it, or set BERTH_OCI")
    kit.isolate()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that an ended run cleans up too
    if kit.PEER == "crun":  # it refuses a hybrid layout that leaves hugetlb to v2
        os.makedirs("/sys/fs/cgroup/hugetlb", exist_ok=True)
        subprocess.run("mountpoint -q /sys/fs/cgroup/hugetlb ||"
                       " mount -t cgroup -o hugetlb cgroup /sys/fs/cgroup/hugetlb", shell=True, check=True)
    path = pathlib.Path(tempfile.mkdtemp(prefix="berth-oci-"))
    path.chmod(0o755)
    yield path
    kit.cgroup_parents_remove(PARENT)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def workshop(base):
    return kit.Workshop(base)


@pytest.fixture(scope="session")
def runtime(base):
    return kit.Runtime(base)


@pytest.fixture(autouse=True)
def watch(request, base, runtime):
    """Fails the test when it leaves a process, a mount, a cgroup or a state directory behind."""
    watch = kit.Watch(runtime, PARENT)
    yield watch
    leaks = watch.leaks()
    assert not leaks, leaks


_serial = 0


@pytest.fixture
def containers(watch, runtime, workshop):
    """Makes containers; whatever a test leaves of them is deleted by force afterwards."""
    made = []

    def make(id=None):
        global _serial
        _serial += 1
        made.append(kit.Container(runtime, workshop, id or f"c{_serial}", PARENT))
        return made[-1]

    yield make
    for container in reversed(made):
        kit.children_reap()
        result = container.delete("--force")
        if result.code != 0:  # runc waits in vain for a zombie that only we can reap
            kit.children_reap()
            result = container.delete("--force")
        shutil.rmtree(container.dir, ignore_errors=True)
        assert result.code == 0, result


@pytest.fixture
def box(containers):
    """One container."""
    return containers()
