"""Fixtures of the monitor's tests: `make` gives containers, and cleans up after them."""

import os
import pathlib
import shutil
import tempfile

import kit
import pytest


def pytest_configure(config):
    config.addinivalue_line("markers", "fast: part of the one-minute subset")


@pytest.fixture
def make():
    if os.geteuid() != 0:
        pytest.skip("containers need root")
    if not os.access(kit.MONITOR, os.X_OK):
        pytest.fail(f"no monitor at {kit.MONITOR}: build it, or set BERTH_MONITOR")
    base = pathlib.Path(tempfile.mkdtemp(prefix="berth-monitor-"))
    made = []

    def one():
        made.append(kit.Monitored(base, len(made)))
        return made[-1]

    yield one
    try:
        for container in made:
            container.clean()
    finally:
        shutil.rmtree(base, ignore_errors=True)
        for path in sorted(pathlib.Path("/sys/fs/cgroup").glob(f"*{kit.GROUP}")) + \
                sorted(pathlib.Path("/sys/fs/cgroup").glob(kit.GROUP[1:])):
            os.rmdir(path)
