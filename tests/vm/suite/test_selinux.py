# vm: --lsm selinux-enforcing
"""process.selinuxLabel and linux.mountLabel under an enforcing policy (src/container.cil)."""

import subprocess

import pytest

PROCESS = "system_u:system_r:container_t:s0:c1,c2"
FILES = "system_u:object_r:container_file_t:s0:c1,c2"
OTHERS = "system_u:object_r:container_file_t:s0:c3,c4"


def label(path, context):
    subprocess.run(["chcon", "-R", context, path], check=True)


@pytest.fixture
def box(box):
    (box.rootfs / "mine").write_text("mine\n")
    (box.rootfs / "others").write_text("others\n")
    (box.rootfs / "system").write_text("system\n")
    # The directory above has the files that the container's output goes to.
    label(box.dir.parent, FILES.removesuffix(":c1,c2"))
    label(box.dir, FILES)
    label(box.rootfs / "others", OTHERS)
    label(box.rootfs / "system", "system_u:object_r:shadow_t:s0")
    box.process["selinuxLabel"] = PROCESS
    box.linux["mountLabel"] = FILES
    return box


def test_enforcing():
    """The control: without it each of the others could pass for the wrong reason."""
    assert open("/sys/fs/selinux/enforce").read() == "1"


def test_process_label(box):
    assert box.output("cat /proc/self/attr/current").strip("\0\n ") == PROCESS


def test_process_label_with_new_privileges(box):
    box.process["noNewPrivileges"] = False
    assert box.output("cat /proc/self/attr/current").strip("\0\n ") == PROCESS


def test_mount_label(box):
    """On what the runtime mounts of its own; proc, sysfs and mqueue label themselves."""
    out = box.output("grep -E ' /dev(/shm|/pts)? ' /proc/self/mountinfo")
    lines = out.splitlines()
    assert len(lines) == 3 and all(f'context="{FILES}"' in line or f"context={FILES}" in line for line in lines), out


def test_own_files_are_read_and_others_denied(box):
    out = box.output("for f in mine others system; do cat /$f 2>/dev/null || echo denied; done")
    assert out.split() == ["mine", "denied", "denied"]


def test_without_a_label_nothing_is_denied(box):
    del box.process["selinuxLabel"]
    out = box.output("for f in mine others system; do cat /$f 2>/dev/null || echo denied; done")
    assert out.split() == ["mine", "others", "system"]


def test_files_made_inside_are_its_own(box):
    box.output("echo x >/new; echo y >/dev/shm/new; cat /new /dev/shm/new")
    out = subprocess.check_output(["stat", "-c", "%C", box.rootfs / "new"], text=True)
    assert out.strip() == FILES


def test_exec_gets_the_label(box):
    box.up()
    assert box.exec("cat", "/proc/self/attr/current").ok().out.strip("\0\n ") == PROCESS
    box.exec("cat", "/others").failed("denied")


def test_exec_with_a_label_of_its_own(box):
    box.up()
    other = PROCESS.replace("c1,c2", "c1,c2,c5")
    result = box.exec_process({"args": ["cat", "/proc/self/attr/current"], "selinuxLabel": other}).ok()
    assert result.out.strip("\0\n ") == other


def test_an_invalid_label_is_an_error(box):
    box.process["selinuxLabel"] = "no:such:label"
    box.create().failed(("label", "selinux", "attr"))


def test_keyring_is_labelled(box):
    """The session keyring is made with the container's label, or the container can't use it."""
    box.output("cat /proc/self/attr/keycreate >/dev/null; true")
