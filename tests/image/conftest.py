"""Fixtures of the tests of images; kit.py has what they hand out.

    registry          a docker-registry, plain HTTP, shared by the session
    tls_registry      the same with TLS by a private CA (HTTP/2), auth_registry with a password
    proxy, fake       misbehaving ones, empty of faults for each test
    repo              a repository name that no other test uses
    berth             the program with a store of its own; berths() makes more
    disk              disk(megabytes): an ext4 on a loop device

After every test nothing may be left: no process, mount or loop device, nothing in stage/, trash/ or
containers/. A test that means to leave a staged download says @pytest.mark.stages.
"""

import itertools
import os
import pathlib
import secrets
import shutil
import signal

import kit
import pytest


def pytest_configure(config):
    config.addinivalue_line("markers", "fast: part of the one-minute subset")
    config.addinivalue_line("markers", "sampled: some of the steps that another test takes all of")
    config.addinivalue_line("markers", "stages: leaves partial downloads in stage/ on purpose")
    config.addinivalue_line("markers", "big: needs the big image; runs where BERTH_BIG_IMAGE names one")


def pytest_collection_modifyitems(config, items):
    if not config.option.markexpr and not config.option.keyword:
        # What a run of everything does in full it need not do in samples, too.
        items[:] = [item for item in items if "sampled" not in item.keywords]
    for item in items:
        if item.get_closest_marker("big") and not os.environ.get("BERTH_BIG_IMAGE"):
            item.add_marker(pytest.mark.skip(reason="needs $BERTH_BIG_IMAGE, a reference to a big image"))


@pytest.fixture(scope="session")
def base():
    if os.geteuid() != 0:
        pytest.skip("stores with foreign owners, and mounts, need root")
    if not os.access(kit.BERTH, os.X_OK):
        pytest.fail(f"no program at {kit.BERTH}: build it, or set BERTH")
    kit.isolate()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that an ended run cleans up too
    # podman takes the path of a layout for a reference: mkdtemp()'s may begin with '_'.
    path = pathlib.Path(os.environ.get("TMPDIR", "/var/tmp"), f"berth-image-{secrets.token_hex(4)}")
    path.mkdir(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def serve(base, name, **kw):
    if not shutil.which("docker-registry"):
        pytest.skip("needs the program docker-registry")
    return kit.Registry(base / name, **kw)


@pytest.fixture(scope="session")
def registry(base):
    found = serve(base, "registry")
    yield found
    found.stop()


@pytest.fixture(scope="session")
def authority(base):
    return kit.Authority(base / "authority")


@pytest.fixture(scope="session")
def tls_registry(base, authority):
    found = serve(base, "tls-registry", authority=authority)
    yield found
    found.stop()


USERS = {"alice": "wonder land", "bob": "builder"}


@pytest.fixture(scope="session")
def auth_registry(base):
    """Asks for a user and password: auth_registry.users has them."""
    found = serve(base, "auth-registry", users=USERS)
    yield found
    found.stop()


@pytest.fixture
def registries(base, tmp_path):
    """registries(authority=..., users=..., client_ca=...): one more, for this test alone."""
    made = []

    def make(**kw):
        made.append(serve(tmp_path, f"registry{len(made)}", **kw))
        return made[-1]

    yield make
    for found in made:
        found.stop()


@pytest.fixture(scope="session")
def proxy_session(registry):
    found = kit.Proxy(registry.address)
    yield found
    found.stop()


@pytest.fixture
def proxy(proxy_session):
    """Before `registry`, without faults and with an empty record."""
    proxy_session.clear()
    yield proxy_session
    proxy_session.clear()


@pytest.fixture
def fake():
    found = kit.Fake()
    yield found
    found.stop()


_serial = itertools.count(1)


@pytest.fixture
def repo():
    return f"test/r{next(_serial)}"


@pytest.fixture(autouse=True)
def watch(request, base):
    """Fails the test when it leaves something behind."""
    watch = kit.Watch(base)
    watch.may_stage = bool(request.node.get_closest_marker("stages"))
    yield watch
    leaks = watch.leaks()
    kit.children_reap()
    watch.end(set(kit.children()) - watch.children)
    for store in watch.stores:
        store.destroy()
    assert not leaks, leaks


@pytest.fixture
def berths(base, watch):
    """Makes stores; berths(path) at a place of its own, such as a disk."""
    def make(path=None):
        watch.stores.append(kit.Berth(path or base / f"berth{next(_serial)}"))
        return watch.stores[-1]

    return make


@pytest.fixture
def berth(berths):
    return berths()


@pytest.fixture
def disk(base):
    """disk(megabytes, mkfs options...): an ext4 of its own."""
    made = []

    def make(megabytes=256, *options):
        made.append(kit.Disk(base / f"disk{next(_serial)}", megabytes, *options))
        return made[-1]

    yield make
    for found in made:
        found.destroy()
