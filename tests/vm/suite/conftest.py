"""Fixtures of the VM's suite. It runs in the guest, on the containers of tests/oci/kit.py.

Each file says in lines of "# vm: OPTIONS" in which guests it is to run (options of tests/vm/run).
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TESTS / "oci"))
import kit  # noqa: E402

PARENT = "/berth-vm"
# The options of the guest, and who we are in it.
VARIANT = os.environ.get("BERTH_VM_VARIANT", "")
TRAITS = VARIANT.split() + ["root"] * (os.geteuid() == 0)


def pytest_configure(config):
    config.addinivalue_line("markers", "lacks(*peers, why): these other runtimes are known not to do this")
    config.addinivalue_line("markers", "only(trait): belongs to guests whose options have this word, or to root")


def pytest_collection_modifyitems(items):
    items[:] = [i for i in items if all(m.args[0] in TRAITS for m in i.iter_markers("only"))]
    for item in items:
        for mark in item.iter_markers("lacks"):
            if kit.PEER in mark.args:
                item.add_marker(pytest.mark.xfail(reason=mark.kwargs["why"], strict=False))


class Prebuilt:
    """What kit.Workshop would compile: the guest has no compiler, so run-tests brought it along."""

    def __init__(self, base):
        self.busybox = base / "busybox"
        shutil.copy2("/bin/busybox", self.busybox)
        self.probe = base / "probe"
        shutil.copy2(TESTS.parent / "bin" / "probe", self.probe)


@pytest.fixture(scope="session")
def base():
    # A disk, not tmpfs: io limits and CRIU want one.
    path = pathlib.Path(tempfile.mkdtemp(prefix="berth-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def workshop(base):
    return Prebuilt(base)


@pytest.fixture(scope="session")
def runtime(base):
    return kit.Runtime(base)


_serial = 0


@pytest.fixture
def containers(runtime, workshop):
    """Makes containers. Each is deleted by force afterwards; none may leave a cgroup, a mount or state."""
    global _serial
    made = []

    def make(id=None, parent=PARENT, kind=kit.Container):
        global _serial
        _serial += 1
        made.append(kind(runtime, workshop, id or f"box{_serial}", parent))
        return made[-1]

    yield make
    results = [c.delete("--force") for c in reversed(made)]
    left = kit.eventually(lambda: not leaks(runtime, made), 5)
    for container in made:
        shutil.rmtree(container.dir, ignore_errors=True)
    assert all(r.code == 0 for r in results), results
    assert left, leaks(runtime, made)


def leaks(runtime, made):
    found = []
    for container in made:
        for top, dirs, _ in os.walk("/sys/fs/cgroup"):
            found += [f"{top}/{d}" for d in dirs if re.fullmatch(rf"(.*[-:])?{container.id}(\.scope)?", d)]
        found += [m for m in kit.mount_table() if m.startswith(str(container.dir))]
        if (runtime.root / container.id).exists():
            found.append(f"state of {container.id}")
    return found


@pytest.fixture
def box(containers):
    """One container."""
    return containers()


@pytest.fixture
def shell():
    """Runs a command of the guest; returns what it printed."""

    def run(*argv, check=True, input=None, timeout=120, **kw):
        done = subprocess.run(list(map(str, argv)), input=input, timeout=timeout, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)
        assert not check or done.returncode == 0, (argv, done.returncode, done.stdout, done.stderr)
        run.code, run.err = done.returncode, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture
def clock():
    """Seconds since the test began."""
    start = time.monotonic()
    return lambda: time.monotonic() - start
