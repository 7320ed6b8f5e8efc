"""Fixtures of the tests with other engines. They fail, not skip, where the runtime is missing."""

import os
import pathlib
import shutil
import tempfile

import peers
import pytest


def pytest_configure(config):
    config.addinivalue_line("markers", "lacks(*peers, why): these other runtimes are known not to do this")


def pytest_collection_modifyitems(items):
    for item in items:
        for mark in item.iter_markers("lacks"):
            if peers.PEER in mark.args:
                item.add_marker(pytest.mark.xfail(reason=mark.kwargs["why"], strict=False))


@pytest.fixture(scope="session")
def base():
    if os.geteuid() != 0:
        pytest.skip("needs root: engines mount images and make cgroups")
    if not shutil.which(peers.BINARY):
        pytest.fail(f"no runtime at {peers.BINARY}: build it, or set BERTH_OCI")
    peers.isolate()
    # a short name: socket paths of conmon and shims must fit into 108 bytes
    path = pathlib.Path(tempfile.mkdtemp(prefix="bp-"))
    path.chmod(0o755)
    yield path
    left = leftovers(path)
    shutil.rmtree(path, ignore_errors=True)
    assert not left, f"left behind: {left}"


def leftovers(path):
    """Everything that a container or its engine should have taken away."""
    peers.eventually(lambda: not peers.reaper.orphans() and not peers.processes_naming(str(path)), timeout=10)
    found = [f"process {pid}" for pid in peers.reaper.orphans() + peers.processes_naming(str(path))]
    found += peers.remove_parent_cgroups()
    for state in (path / "ctr/s", path / "conmon/state"):
        if state.exists():
            found += [str(p) for p in state.rglob("*") if p.is_file() and not p.name.endswith(".lock")]
    return found


@pytest.fixture(scope="session")
def podman(base):
    for program in ("podman", "conmon", "buildah"):
        if not shutil.which(program):
            pytest.skip(f"needs the program {program}")
    podman = peers.Podman(base / "podman")
    peers.build_image(podman, base)
    yield podman
    podman.remove_all()
    left = podman.leftovers()
    peers.call(["umount", "-R", "-l", f"{base}/podman/g/overlay"])
    assert not left, f"containers left behind: {left}"


@pytest.fixture(autouse=True)
def clean(request):
    """Removes what a test left in its engine, so that the next one starts from nothing."""
    yield
    for name in ("podman", "ctr", "conmon"):
        if name in request.fixturenames:
            request.getfixturevalue(name).remove_all()


@pytest.fixture(scope="session")
def ctr(base, podman):
    for program in ("containerd", "ctr", "containerd-shim-runc-v2"):
        if not shutil.which(program):
            pytest.skip(f"needs the program {program}")
    ctr = peers.Containerd(base / "ctr")
    ctr("images", "import", base / "image.tar").ok()
    yield ctr
    ctr.stop()


@pytest.fixture(scope="session")
def conmon(base, podman):
    for program in ("conmon", "umoci"):
        if not shutil.which(program):
            pytest.skip(f"needs the program {program}")
    yield peers.Conmon(base / "conmon", base / "layout")
