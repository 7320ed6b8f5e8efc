# vm: --cgroup v2
# vm: --cgroup v2 --user tester
"""Podman with this runtime, by its own choice of cgroups: as root and as a user."""

import json
import os
import pathlib
import subprocess

import kit
import pytest

ROOT = os.geteuid() == 0
IMAGE = "localhost/box"


def podman(*args, check=True, input=None, timeout=120):
    argv = ["podman", "--runtime", kit.BINARY, "--log-level=error", *map(str, args)]
    done = subprocess.run(argv, input=input, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=timeout)
    assert not check or done.returncode == 0, (argv, done.returncode, done.stdout, done.stderr)
    return done


@pytest.fixture(scope="module", autouse=True)
def image(base, workshop):
    root = base / "image"
    kit.rootfs_make(root, workshop.busybox, workshop.probe)
    archive = base / "image.tar"
    subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)
    podman("import", "--change", "ENV=PATH=/bin", archive, IMAGE)
    yield
    podman("system", "reset", "--force", check=False)


@pytest.fixture
def name(request):
    name = request.node.originalname.replace("_", "-")
    yield name
    podman("rm", "--force", "--time", "0", name, check=False)


def run(*args):
    return podman("run", "--rm", "--network", "none", *args)


def group(name):
    pid = podman("inspect", "--format", "{{.State.Pid}}", name).stdout.strip()
    return kit.CGROUP / pathlib.Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::/")


def test_output_and_exit_status(name):
    done = podman("run", "--rm", "--network", "none", IMAGE, "sh", "-c", "echo hello; exit 7", check=False)
    assert (done.returncode, done.stdout) == (7, "hello\n")


def test_command_that_is_missing(name):
    """Podman takes the status from our words."""
    done = podman("run", "--rm", "--network", "none", IMAGE, "nonesuch", check=False)
    assert done.returncode == 127, done


def test_life_in_a_cgroup_of_systemds(name):
    podman("run", "-d", "--name", name, "--network", "none", "--memory", "64m", "--pids-limit", "33",
           "--cpus", "0.5", "-t", IMAGE, "sh", "-c", "tty; trap 'exit 5' TERM; while :; do sleep 0.1; done")
    where = group(name)
    # Podman makes "container" beneath the scope itself, for cgroup namespaces.
    scope = where if where.name.endswith(".scope") else where.parent
    assert scope.name.endswith(".scope") and ("machine.slice" if ROOT else "user.slice") in str(scope)
    limits = {"memory.max": str(64 << 20), "pids.max": "33", "cpu.max": "50000 100000"}
    assert {f: (scope / f).read_text().strip() for f in limits} == limits
    done = podman("exec", name, "sh", "-c", "echo inside; exit 9", check=False)
    assert (done.returncode, done.stdout) == (9, "inside\n")
    podman("pause", name)
    podman("unpause", name)
    assert podman("logs", name).stdout.strip() == "/dev/pts/0"
    podman("stop", "--time", "10", name)
    data = json.loads(podman("inspect", name).stdout)[0]
    assert (data["State"]["ExitCode"], data["OCIRuntime"]) == (5, kit.BINARY)


def test_volume_user_and_read_only(name, base):
    volume = base / "volume"
    volume.mkdir(exist_ok=True)
    volume.chmod(0o777)
    out = run("-v", f"{volume}:/data", "--user", "1000", "--read-only", IMAGE, "sh", "-c",
              "id -u; touch /x 2>/dev/null || echo ro; echo data >/data/file; cat /proc/self/attr/current")
    assert out.stdout.split()[:2] == ["1000", "ro"]
    # Profiles are for root alone to load.
    assert not ROOT or "containers-default" in out.stdout
    assert (volume / "file").read_text() == "data\n"


@pytest.mark.only("root")
def test_cgroupfs_manager(name):
    podman("--cgroup-manager", "cgroupfs", "run", "-d", "--name", name, "--network", "none", "--pids-limit", "21",
           IMAGE, "sleep", "1000")
    assert (group(name) / "pids.max").read_text() == "21\n"
    podman("--cgroup-manager", "cgroupfs", "rm", "--force", "--time", "0", name)


def test_default_network(name):
    assert "inet 10." in podman("run", "--rm", "--name", name, IMAGE, "ip", "addr").stdout
