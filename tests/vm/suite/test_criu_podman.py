# vm: --cgroup v2
"""Podman checkpoints and restores containers of this runtime: through conmon, in scopes of systemd."""

import kit
import pytest
from test_podman import IMAGE, image, name, podman  # noqa: F401 (fixtures)

pytestmark = pytest.mark.lacks("crun", why="Debian builds it without CRIU")
COUNT = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"


def last(name):
    return int((podman("logs", name).stdout.split() or ["0"])[-1])


def goes_on(name, than):
    return kit.eventually(lambda: last(name) > than, 30)


@pytest.mark.parametrize("flags", [("-d",), ("-dt",)], ids=["pipes", "terminal"])
def test_checkpoint_and_restore(name, flags):
    podman("run", *flags, "--name", name, "--network", "none", "--memory", "64m", IMAGE, "sh", "-c", COUNT)
    assert goes_on(name, 3)
    podman("container", "checkpoint", name)
    assert podman("ps", "-a", "--format", "{{.Status}}").stdout.startswith("Exited (0)")
    before = last(name)
    podman("container", "restore", name)
    assert goes_on(name, before) and last(name) < before + 1000
    assert podman("exec", name, "cat", "/proc/1/comm").stdout == "sh\n"


def test_exported_and_imported(name, base):
    podman("run", "-d", "--name", name, "--network", "none", IMAGE, "sh", "-c", COUNT)
    assert goes_on(name, 3)
    archive = base / "checkpoint.tar.gz"
    podman("container", "checkpoint", "--export", archive, "--leave-running", name)
    assert podman("ps", "--format", "{{.Status}}").stdout.startswith("Up")
    before = last(name)
    podman("rm", "--force", "--time", "0", name)
    podman("container", "restore", "--import", archive, "--name", name)
    assert kit.eventually(lambda: podman("logs", name).stdout, 20)
    assert goes_on(name, 3) and last(name) < before + 1000
