"""Fixtures of the tests of the engine. enginekit.py has what they hand out.

    engine          berth with the busybox image loaded as IMAGE; one store for the session
    engines         engines(path): one more, with a store of its own, such as on a small disk
    podman          the same image in a podman of its own, the oracle
    disk, registry  as in tests/image

After every test nothing may be left of any engine: no container, process (monitors too), mount, cgroup or
directory in the store's or the run directory's containers/. The fixtures of tests/image (berth, berths,
registry, repo, disk ...) are here too.
"""

import importlib.util
import pathlib
import shutil
import sys

import pytest

IMAGE_TESTS = pathlib.Path(__file__).resolve().parent.parent / "image"
sys.path.insert(0, str(IMAGE_TESTS))

import enginekit  # noqa: E402
import kit  # noqa: E402

_spec = importlib.util.spec_from_file_location("imagefixtures", IMAGE_TESTS / "conftest.py")
_images = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_images)
for _name in ("base", "registry", "registries", "authority", "repo", "berths", "berth", "disk",
              "pytest_configure", "pytest_collection_modifyitems"):
    globals()[_name] = getattr(_images, _name)


@pytest.fixture(scope="session")
def layout(base):
    """An OCI layout of the image that all containers here are made of."""
    return kit.busybox().layout(base / "layout", enginekit.IMAGE)


@pytest.fixture(scope="session")
def shared_engine(base, layout):
    found = enginekit.Engine(base / "engine", layout)
    yield found
    found.destroy()


@pytest.fixture(autouse=True)
def watch(base):
    """Fails the test when it leaves something behind."""
    watch = enginekit.Watch(base)
    yield watch
    leaks = watch.leaks()
    watch.end_all()
    assert not leaks, leaks


@pytest.fixture
def engine(shared_engine, watch):
    watch.engines.append(shared_engine)
    return shared_engine


@pytest.fixture
def engines(base, layout, watch):
    def make(path=None, **kw):
        watch.engines.append(enginekit.Engine(path or base / f"engine{next(enginekit.serial)}", layout, **kw))
        watch.own.append(watch.engines[-1])
        return watch.engines[-1]

    return make


@pytest.fixture(scope="session")
def podman(base, layout):
    if not shutil.which("podman"):
        pytest.skip("needs the program podman")
    found = enginekit.Peer(base / "podman", layout)
    yield found
    found.destroy()
