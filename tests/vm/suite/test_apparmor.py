# vm: --lsm apparmor
"""process.apparmorProfile: the label is set, what the profile denies is denied, a missing one is named."""

import subprocess

import pytest

lacks = pytest.mark.lacks
PROFILE = """
profile berth-vm-test flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  network,
  signal,
  umount,
  deny /secret r,
  deny /ro/** w,
}
profile berth-vm-other flags=(attach_disconnected,mediate_deleted) {
  file,
  signal,
}
"""


@pytest.fixture(scope="module", autouse=True)
def profiles():
    subprocess.run(["apparmor_parser", "--replace"], input=PROFILE, text=True, check=True)


@pytest.fixture
def box(box):
    (box.rootfs / "secret").write_text("hidden\n")
    (box.rootfs / "ro").mkdir()
    box.process["apparmorProfile"] = "berth-vm-test"
    box.process["noNewPrivileges"] = False
    return box


def test_profile_is_the_process_label(box):
    assert box.output("cat /proc/self/attr/current").strip() == "berth-vm-test (enforce)"


def test_profile_with_no_new_privileges(box):
    box.process["noNewPrivileges"] = True
    assert box.output("cat /proc/self/attr/current").strip() == "berth-vm-test (enforce)"


def test_profile_denies(box):
    out = box.output("cat /secret; touch /ro/x 2>/dev/null || echo refused; touch /rw && echo made")
    assert out.split() == ["refused", "made"]


def test_without_a_profile_nothing_is_denied(box):
    """The control of the test above."""
    del box.process["apparmorProfile"]
    assert box.output("cat /secret; touch /ro/x 2>/dev/null || echo refused").split() == ["hidden"]


def test_unconfined(box):
    box.process["apparmorProfile"] = "unconfined"
    assert box.output("cat /proc/self/attr/current").strip() == "unconfined"


def test_exec_gets_the_containers_profile(box):
    box.up()
    assert box.exec("cat", "/proc/self/attr/current").ok().out.strip() == "berth-vm-test (enforce)"
    box.exec("cat", "/secret").failed("denied")


def test_exec_with_a_profile_of_its_own(box):
    box.up()
    result = box.exec("cat", "/proc/self/attr/current", flags=["--apparmor", "berth-vm-other"]).ok()
    assert result.out.strip() == "berth-vm-other (enforce)"
    result = box.exec_process({"args": ["cat", "/proc/self/attr/current"], "apparmorProfile": "berth-vm-other"}).ok()
    assert result.out.strip() == "berth-vm-other (enforce)"


@lacks("runc", "crun", why="name no profile")
def test_a_profile_that_is_not_loaded_is_an_error(box):
    box.process["apparmorProfile"] = "berth-vm-missing"
    box.create().failed("apparmor", "berth-vm-missing")


def test_profile_in_a_user_namespace(box):
    box.mapped()
    assert box.output("cat /proc/self/attr/current").strip() == "berth-vm-test (enforce)"
