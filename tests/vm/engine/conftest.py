"""Fixtures of what the engine does with systemd: those of tests/engine, in a guest."""

import importlib.util
import pathlib
import subprocess
import sys

import pytest

ENGINE_TESTS = pathlib.Path(__file__).resolve().parents[2] / "engine"
sys.path.insert(0, str(ENGINE_TESTS))

_spec = importlib.util.spec_from_file_location("enginefixtures", ENGINE_TESTS / "conftest.py")
_engine = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_engine)
for _name in ("base", "layout", "shared_engine", "watch", "engine", "engines", "podman", "pytest_configure"):
    globals()[_name] = getattr(_engine, _name)


class Systemctl:
    """systemctl: its output; show() has a unit's properties."""

    def __call__(self, *words, check=True):
        done = subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=120)
        assert not check or done.returncode == 0, (words, done.stdout, done.stderr)
        self.code = done.returncode
        return done.stdout.strip()

    def show(self, unit):
        return dict(line.split("=", 1) for line in self("show", unit).splitlines() if "=" in line)


@pytest.fixture
def systemctl():
    return Systemctl()


@pytest.fixture
def unit(systemctl):
    """Makes a unit of this text until the test ends."""
    made = []

    def make(name, text):
        path = pathlib.Path("/run/systemd/system", name)
        path.write_text(text)
        made.append(path)
        systemctl("daemon-reload")

    yield make
    for path in made:
        systemctl("stop", path.name, check=False)
        path.unlink()
        systemctl("reset-failed", path.name, check=False)
    systemctl("daemon-reload")
